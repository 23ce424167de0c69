"""Which changes of a configuration an application can notice."""

import pytest

from da_agent.domain.config.config_digest import digest

TEXT = """\
db:
  name: shop
  host: "h"
languages: [en, fr]
debug: no
da agent:
  poll interval: 10
"""


def of(text: str) -> str:
    return digest(text.encode(), without="da agent")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"# a comment\n{TEXT}", id="a comment"),
        pytest.param(TEXT.replace("poll interval: 10", "poll interval: 20"), id="our own section"),
        pytest.param(TEXT.replace("da agent:", "da_agent:"), id="our section, spelt with an underscore"),
        pytest.param(TEXT.replace("da agent:\n  poll interval: 10\n", ""), id="without our section"),
        pytest.param("debug: no\nlanguages:\n- en\n- fr\ndb: {host: h, name: 'shop'}\n", id="order and quotes"),
    ],
)
def test_the_same_is_said(text: str) -> None:
    assert of(text) == of(TEXT)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(TEXT.replace("shop", "warehouse"), id="another value"),
        pytest.param(TEXT.replace("[en, fr]", "[fr, en]"), id="the order of a list"),
        pytest.param(TEXT.replace("debug: no", 'debug: "no"'), id="a text that looked like something else"),
        pytest.param(TEXT.replace("debug: no", "debug: false"), id="readers of another YAML see a difference"),
        pytest.param(TEXT.replace("languages", "tongues"), id="another key"),
    ],
)
def test_something_else_is_said(text: str) -> None:
    assert of(text) != of(TEXT)


def test_what_cannot_be_read_counts_by_its_bytes() -> None:
    assert of("# nothing\n") != of("# nothing else\n")
    assert of("a: [\n") == of("a: [\n")


def test_keys_that_are_inherited_count() -> None:
    text = "base: &base {a: 1}\nshop:\n  <<: *base\n  b: 2\n"
    assert of(text) != of(text.replace("a: 1", "a: 3"))
