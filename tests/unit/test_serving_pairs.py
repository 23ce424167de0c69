import pytest

from da_agent.domain.certificates.serving_pairs import Pair, pair

DOCASSEMBLE = ("docassemble.crt", "docassemble.key", "docassemble.ca.pem")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (DOCASSEMBLE, Pair("docassemble.crt", "docassemble.key", "docassemble.ca.pem")),
        (("docassemble.crt", "docassemble.key"), Pair("docassemble.crt", "docassemble.key", None)),
        (("apache.key", "apache.crt", "apache.ca.pem"), Pair("apache.crt", "apache.key", "apache.ca.pem")),
        (("nginx.crt", "nginx.key"), Pair("nginx.crt", "nginx.key", None)),
        (("nginx.crt", "nginx.key", "apache.crt", "apache.key"), Pair("apache.crt", "apache.key", None)),
        (("apache.crt", "apache.key", *DOCASSEMBLE), Pair(*DOCASSEMBLE)),
    ],
)
def test_the_web_server_presents_the_preferred_complete_pair(names: tuple[str, ...], expected: Pair) -> None:
    assert pair(names) == expected


@pytest.mark.parametrize(
    "names",
    [
        (),
        ("docassemble.crt",),
        ("docassemble.key", "docassemble.ca.pem"),
        ("docassemble.crt", "apache.key"),
        ("old/docassemble.crt", "old/docassemble.key"),
        ("postgresql.crt", "postgresql.key", "redis.crt", "redis.key", "exim.crt", "exim.key"),
    ],
)
def test_without_a_complete_pair_of_the_web_server_there_is_nothing_to_present(names: tuple[str, ...]) -> None:
    assert pair(names) is None


def test_a_chain_of_another_name_is_not_borrowed() -> None:
    chosen = pair(["apache.crt", "apache.key", "docassemble.ca.pem"])
    assert chosen is not None
    assert chosen.chain is None
