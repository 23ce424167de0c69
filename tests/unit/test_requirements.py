import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from da_agent.domain import limits
from da_agent.domain.packages.requirements import add, normalise, parse, remove, told
from da_agent.errors import Invalid


def mistakes(text: str) -> tuple[str, ...]:
    with pytest.raises(Invalid) as refused:
        parse(text.encode())
    return tuple(mistake.removeprefix("packages/requirements.txt ") for mistake in refused.value.mistakes)


def test_requirements_are_read_without_comments_and_blank_lines() -> None:
    text = b"""\xef\xbb\xbf# what we need
docassemble.base[x,y] >= 1.4  # newest

Shop==1.0; python_version >= "3.9"
other @ https://example.com/other.zip#egg=other
"""
    assert parse(text) == (
        "docassemble.base[x,y] >= 1.4",
        'Shop==1.0; python_version >= "3.9"',
        "other @ https://example.com/other.zip#egg=other",
    )
    assert parse(b"") == ()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("-r other.txt", "has the option -r, which is not supported: write the lines of the other file here"),
        ("-r /etc/passwd", "has the option -r, which is not supported: write the lines of the other file here"),
        ("-rother.txt", "has the option -r, which is not supported: write the lines of the other file here"),
        ("--constraint=limits.txt", "has the option --constraint, which is not supported: write the lines"),
        ("-c limits.txt", "has the option -c, which is not supported: write the lines"),
        (
            "--index-url https://u:hunter2@host",
            "has the option --index-url, which is not supported: use `pip index url`",
        ),
        (
            "--index-url=https://u:hunter2@host",
            "has the option --index-url, which is not supported: use `pip index url`",
        ),
        ("-ihttps://u:hunter2@host", "has the option -i, which is not supported: use `pip index url` in config.yml"),
        ("shop -i https://u:hunter2@host", "has the option -i, which is not supported: use `pip index url`"),
        ("--trusted-host host", "has the option --trusted-host, which is not supported: use `pip trusted host`"),
        ("--find-links=https://u:hunter2@host", "has the option --find-links, which is not supported: put the wheel"),
        ("--extra-index-url=x", "has the option --extra-index-url, which is not supported: use `pip extra index urls`"),
        (
            "--editable=git+https://u:hunter2@host/shop#egg=shop",
            "has the option --editable, which is not supported: put",
        ),
        ("--secret=hunter2", "has the option --secret: only requirements such as"),
        ("    --hash=sha256:abc \\", "has the option --hash: leave it out, the release records the hash"),
        ("- shop", "is not a requirement such as `docassemble.base>=1.4`: "),
        ("-e .", "has the option -e, which is not supported: put the wheel, .tar.gz or .zip into packages/"),
        ("--pre", "has the option --pre: only requirements such as"),
        ("shop==1 --hash=sha256:abc", "has the option --hash: leave it out, the release records the hash"),
        ("shop==1 \\", "goes on in the next line: write each requirement on one line, without hashes"),
        ("./shop", "is a path: put the file itself into packages/"),
        ("/srv/shop.zip", "is a path: put the file itself into packages/"),
        ("shop-1.0-py3-none-any.whl", "is a path: put the file itself into packages/"),
        ("docassemble.shop.ZIP", "is a path: put the file itself into packages/"),
        ("https://u:hunter2@example.com/shop", "is a URL without a name: write `NAME @ https://…`"),
        ("https://example.com/shop.zip", "is a URL without a name: write `NAME @ https://…`"),
        ("file:///srv/shop", "is a URL without a name: write `NAME @ https://…`"),
        ("git+https://u:hunter2@example.com/shop", "is a URL without a name: write `NAME @ https://…`"),
        ("shop @ http://u:hunter2@host/s.zip", "names a URL that does not begin with https://, which not every node"),
        ("shop @ file:///srv/shop.zip", "names a URL that does not begin with https://, which not every node can read"),
        (
            "shop @ git+https://host/shop",
            "names a URL that does not begin with https://, which not every node can read",
        ),
        ("shop @ https://u:hunter2@host/x y z", "is not a requirement such as `docassemble.base>=1.4`: "),
        ("two words", "is not a requirement such as `docassemble.base>=1.4`: "),
        ("shop>=1.*", "is not a requirement such as `docassemble.base>=1.4`: "),
    ],
)
def test_what_is_no_plain_requirement_is_refused_with_its_line_and_a_remedy(line: str, expected: str) -> None:
    (mistake,) = mistakes(f"# first\n{line}\n")
    assert mistake.startswith(f"line 2: {expected}")
    assert "hunter2" not in mistake


def test_all_mistakes_come_at_once_in_the_order_of_the_file() -> None:
    found = mistakes("shop==1\n-r x\nSHOP==2\ntwo words\n")
    assert [mistake.split(":")[0] for mistake in found] == ["line 2", "line 3", "line 4"]


def test_text_that_is_not_utf8_is_refused() -> None:
    for work in (parse, lambda text: add(text, "shop"), lambda text: remove(text, "shop")):
        with pytest.raises(Invalid, match=r"^packages/requirements.txt line 2: is not UTF-8 text"):
            work(b"a\n\xff\n")


def test_one_name_with_two_versions_is_refused_with_both_lines() -> None:
    (mistake,) = mistakes("Foo.X>=1\nbar\nfoo-x<2\n")
    assert mistake.startswith("line 3: foo-x is already wanted in line 1, with another version: write both conditions")


def test_one_name_may_be_repeated_alike_or_under_other_conditions() -> None:
    text = 'foo==1\nFoo==1\nfoo[x]==1\nfoo==2; python_version<"3"\nfoo==3; python_version>"4"\n'
    assert len(parse(text.encode())) == 5


# ---- editing --------------------------------------------------------------------------------------------------

TEXT = b"# ours\r\nDocassemble.Shop==1.0  # pinned\r\n\r\n# theirs\r\nother"


def test_adding_replaces_the_line_of_the_same_name_and_keeps_everything_else() -> None:
    assert add(TEXT, "docassemble-shop>=2") == (b"# ours\r\ndocassemble-shop>=2  # pinned\r\n\r\n# theirs\r\nother\r\n")


def test_adding_a_new_name_appends_it() -> None:
    assert add(b"", "shop") == b"shop\n"
    assert add(b"# c\nother", " shop==1 ") == b"# c\nother\nshop==1\n"


def test_adding_replaces_every_line_of_the_name_by_one() -> None:
    assert add(b'a\nfoo==1; python_version<"3"\nb\nFoo==2\n', "foo") == b"a\nfoo\nb\n"


@pytest.mark.parametrize(
    "spec", ["", "two words", "-r x", "shop\nevil", "shop @ https://h/x\nevil", "shop @ file:///x"]
)
def test_adding_what_is_no_requirement_is_refused(spec: str) -> None:
    with pytest.raises(Invalid, match=r"^cannot install"):
        add(b"", spec)


@pytest.mark.parametrize(
    "line", ["-e .", "-r other.txt", "-c limits.txt", "--index-url=https://host", "https://host/shop.zip", "shop \\"]
)
def test_a_push_and_a_publication_refuse_a_line_with_the_same_sentence(line: str) -> None:
    (mistake,) = mistakes(line)
    with pytest.raises(Invalid) as refused:
        add(b"", line)
    assert str(refused.value) == f'cannot install "{line}": it {mistake.removeprefix("line 1: ")}'


def test_a_refused_addition_does_not_show_a_password() -> None:
    with pytest.raises(Invalid) as refused:
        add(b"", "shop @ http://u:hunter2/hunter2@host/x.zip")
    assert "hunter2" not in str(refused.value)


def test_removing_takes_every_line_of_the_name_and_nothing_else() -> None:
    assert remove(TEXT, "docassemble_shop") == b"# ours\r\n\r\n# theirs\r\nother"
    assert remove(b'foo; python_version<"3"\nFOO[x]\nfoobar\n', "foo") == b"foobar\n"


def test_removing_what_is_not_there_leaves_the_very_same_bytes() -> None:
    for text in (TEXT, b"", b"\xef\xbb\xbffoo\n-r x\n"):
        assert remove(text, "shop") is not None
        assert remove(text, "shop") == text


NAMES = st.sampled_from(["foo", "Foo", "foo.bar", "foo-bar", "FOO_bar", "x"])
LINES = st.one_of(
    NAMES,
    NAMES.map(lambda name: f"{name}==1  # why"),
    st.sampled_from(["", "# c", "-r x", "  ", "junk junk", "\ufeffx"]),
)
FILES = st.tuples(st.lists(LINES, max_size=6), st.sampled_from(["\n", "\r\n"]), st.booleans()).map(
    lambda parts: (parts[1].join(parts[0]) + parts[1] * parts[2]).encode()
)


@settings(max_examples=100, deadline=None)
@given(FILES, NAMES)
def test_adding_and_removing_twice_is_the_same_as_once_and_they_undo_each_other(text: bytes, name: str) -> None:
    added = add(text, f"{name}>=2")
    assert add(added, f"{name}>=2") == added
    removed = remove(added, name)
    assert remove(removed, name) == removed
    assert remove(text, name).rstrip(b"\r\n") == removed.rstrip(b"\r\n")


def test_names_have_one_spelling() -> None:
    assert normalise(" Docassemble.Base ") == normalise("docassemble__base") == "docassemble-base"


@pytest.mark.parametrize(
    ("requirement", "said"),
    [
        ("shop>=1.0", "shop>=1.0"),
        ("shop @ https://user:hunter2@host/shop.zip", "shop @ …"),
        ("shop[a]@https://host/hunter2/shop.zip", "shop[a] @ …"),
        ("https://user:hunter2@host/shop.zip", "a URL"),
    ],
)
def test_what_is_said_of_a_requirement_has_nothing_of_its_url(requirement: str, said: str) -> None:
    assert told(requirement) == said


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"six\n" * (limits.LINES + 1), "has 10001 lines, and may have 10000"),
        (b" " * 8_000_000 + b"x", "line 1: has 8000001 characters, and may have 2000"),
        (b"six; " + b"(" * 1_900 + b"os_name", "line 1: .*(too many brackets|nested)"),
    ],
    ids=["lines", "characters", "brackets"],
)
def test_lines_that_would_take_very_long_to_read_are_refused(text: bytes, sentence: str) -> None:
    with pytest.raises(Invalid, match=sentence):
        parse(text)


def test_a_requirement_of_a_command_has_the_same_limit() -> None:
    with pytest.raises(Invalid, match="more than 2000 characters"):
        add(b"", "six" + " " * 3_000 + "#")
