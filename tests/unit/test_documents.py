import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from da_agent.domain.config import documents
from da_agent.domain.config.documents import Document, DocumentEntry, Mistake, Scalar, Section, Series
from da_agent.errors import Invalid


def read(text: str) -> Document:
    return documents.parse(text.encode(), "config.yml")


def refusal(data: bytes) -> str:
    with pytest.raises(Invalid) as refused:
        documents.parse(data, "config.yml")
    (mistake,) = refused.value.mistakes
    return mistake


def found(text: str) -> list[tuple[int, str]]:
    return [(mistake.line, mistake.text) for mistake in read(text).mistakes]


def test_every_key_knows_its_line() -> None:
    document = read("# comment\na: 1\n\nb:\n  c: [x, y]\n")
    series = Series((Scalar("x", 5), Scalar("y", 5)), 5)
    assert document.root == Section(
        (DocumentEntry("a", 2, Scalar(1, 2)), DocumentEntry("b", 4, Section((DocumentEntry("c", 5, series),), 5))), 2
    )
    assert document.root.plain == {"a": 1, "b": {"c": ["x", "y"]}}
    assert document.mistakes == ()


def test_a_second_key_of_the_same_name_is_refused_at_any_depth_with_both_lines() -> None:
    assert found("a: 1\nb:\n- c: 1\n  d: 2\n  c: 3\na: 4\na: 5\n") == [
        (5, '"b[1].c" is written twice, first in line 3: delete one of the two'),
        (6, '"a" is written twice, first in line 1: delete one of the two'),
        (7, '"a" is written twice, first in line 1: delete one of the two'),
    ]


def test_keys_that_become_one_in_python_are_the_same_key() -> None:
    assert found("1: a\ntrue: b\n") == [(2, '"True" is written twice, first in line 1: delete one of the two')]


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.system", "!!python/tuple", "!Ref", "!!python/name:os.system", "!!map"]
)
def test_a_tag_that_could_make_objects_is_refused_with_its_line(tag: str) -> None:
    assert found(f"a: 1\nb:\n  c: {tag} [id]\n") == [
        (3, f'"b.c" has the tag "{tag}": only plain values are allowed, delete the tag')
    ]


def test_all_mistakes_are_found_in_one_pass() -> None:
    text = "a: !x 1\na: !y 2\n? [k]\n: !z 3\nday: 2020-13-45\nnumber: !!int abc\ntruth: !!bool maybe\n"
    assert [line for line, _ in found(text)] == [1, 2, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    "text",
    ["day: 2020-02-30", "n: !!int x", "n: !!float x", "t: !!timestamp x", "n: 1" + "0" * 5000, "n: 0x" + "f" * 5000],
)
def test_a_value_that_is_no_value_of_its_kind_is_a_mistake(text: str) -> None:
    ((line, mistake),) = found(text)
    assert line == 1
    assert "is not a valid" in mistake


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "config.yml is empty: it must hold keys and values, such as `db:`"),
        (b"# nothing\n", "config.yml is empty: it must hold keys and values, such as `db:`"),
        (b"---\n", "config.yml is empty: it must hold keys and values, such as `db:`"),
        (b"- a\n", "config.yml line 1: must begin with a key and a colon, such as `db:`"),
        (b"\nhello\n", "config.yml line 2: must begin with a key and a colon, such as `db:`"),
        (b"a: 1\nb: \xff\n", "config.yml line 2: is not UTF-8 text: save the file in the encoding UTF-8"),
        ("a: 1\n".encode("utf-16"), "config.yml line 1: is not UTF-8 text: save the file in the encoding UTF-8"),
        (b"a: 1\nb: \x00\n", "config.yml line 2: has the control character U+0000: delete it"),
        (b"a:\n\tb: 1\n", "config.yml line 2, column 1: has a tab where YAML allows only spaces: indent with spaces"),
        (b"a: 1\n---\nb: 2\n", "config.yml line 2, column 1: begins a second document: only one is allowed"),
        (b"a: b: c\n", "config.yml line 1, column 5: has a colon that YAML does not expect: check the indentation"),
        (
            b"a: 1\nb: 'x\n",
            "config.yml line 3, column 1: the text in quotes that begins in line 2 has no closing quote",
        ),
        (b"a: @b\n", 'config.yml line 1, column 4: has a text that begins with "@": put it into quotes'),
        (b"a: *x\n", "config.yml line 1, column 4: cannot be read as YAML: found undefined alias"),
        (b"a: 'x' y\n", "config.yml line 1, column 8: cannot be read as YAML: "),
        (
            b"a: &x 1\nb: &x 2\n",
            "config.yml line 2, column 4: defines the name of an alias (&name) again, after line 1",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_sentence_with_its_place(data: bytes, expected: str) -> None:
    refused = refusal(data)
    assert refused.startswith(expected)
    assert "\n" not in refused


def test_a_mistake_in_the_writing_also_names_the_line_where_the_trouble_began() -> None:
    assert refusal(b"a: [1\nb: 2\n").endswith(" (while parsing a flow sequence that begins in line 1)")
    assert "begins in line" not in refusal(b"a: [1}\n")


def test_a_mark_at_the_beginning_of_the_file_is_no_part_of_the_first_key() -> None:
    assert documents.parse(b"\xef\xbb\xbfa: 1\n", "config.yml").root.plain == {"a": 1}


def test_a_key_is_shown_on_one_line_and_not_at_any_length() -> None:
    long = "k" * 200
    ((_, mistake),) = found(f'"a\\nb":\n  {long}: !x 1\n')
    assert mistake == f'"a?b.{long[:100]}" has the tag "!x": only plain values are allowed, delete the tag'


@pytest.mark.parametrize("key", ["? [k]\n", "? {k: 1}\n", "!x k"])
def test_a_key_that_is_not_a_plain_value_is_a_mistake(key: str) -> None:
    assert found(f"{key}: 1\n") == [(1, "has a key that is not a plain value")]


def test_merged_keys_are_there_and_give_way_to_the_sections_own() -> None:
    document = read("a: &a {x: 1, y: 1}\nb: &b {x: 2, z: 2}\nc:\n  <<: [*a, *b]\n  y: 3\nd: {<<: *b}\n")
    plain = document.root.plain
    assert plain["c"] == {"y": 3, "x": 1, "z": 2}
    assert plain["d"] == {"x": 2, "z": 2}
    assert document.mistakes == ()


def test_merging_what_is_no_mapping_is_a_mistake() -> None:
    assert found("a:\n  <<: 3\n") == [(2, '"a.<<" merges something that is not a mapping')]


def bomb(levels: int) -> str:
    steps = [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, levels)]
    return "\n".join(["a0: &a0 [x, x, x, x, x, x, x, x, x, x]", *steps])


def test_aliases_that_grow_beyond_all_measure_are_refused_before_they_grow() -> None:
    assert read(bomb(4)).mistakes == ()
    assert refusal(bomb(40).encode()).startswith("config.yml line 5: holds more than 100000 values")


@pytest.mark.parametrize("text", ["a: &a {b: *a}\n", "a: &a [1, *a]\n", "a: &a [{b: [*a]}]\n"])
def test_an_alias_to_itself_is_refused(text: str) -> None:
    assert refusal(text.encode()) == "config.yml line 1: contains itself through an alias (*name)"


def test_nesting_without_end_is_refused_and_does_not_end_the_process() -> None:
    assert read("a: " + "[" * 63 + "]" * 63).mistakes == ()
    assert refusal(b"a: " + b"[" * 64 + b"]" * 64) == "config.yml line 1: is nested deeper than 64 levels"
    # Some versions of libyaml give up before we do, in their own words.
    assert re.fullmatch(r"config.yml line 1\b.*\bnest(ed|ing)\b.*", refusal(b"a: " + b"[" * 100_000))
    chain = "\n".join(["a0: &a0 [x]", *(f"a{level}: &a{level} [*a{level - 1}]" for level in range(1, 5000))])
    assert refusal(chain.encode()) == "config.yml line 65: is nested deeper than 64 levels by its aliases"


def test_mistakes_are_refused_once_each_in_the_order_of_the_file() -> None:
    documents.refuse("config.yml", [])
    with pytest.raises(Invalid) as refused:
        documents.refuse("config.yml", [Mistake(9, "is bad"), Mistake(2, "is worse"), Mistake(9, "is bad")])
    assert refused.value.mistakes == ("config.yml line 2: is worse", "config.yml line 9: is bad")


@settings(max_examples=100, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.text("ab:-&*[]{}<!?|>'\"\n\t #%@1", max_size=40).map(str.encode)))
def test_whatever_the_bytes_are_the_answer_is_a_document_or_a_refusal(data: bytes) -> None:
    try:
        mistakes = [f"config.yml line {mistake.line}" for mistake in documents.parse(data, "config.yml").mistakes]
    except Invalid as refused:
        mistakes = list(refused.mistakes)
    assert all(mistake.startswith("config.yml ") for mistake in mistakes)
