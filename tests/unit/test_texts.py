"""Text from outside: secrets masked, one bounded line, nothing that a terminal obeys."""

import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from da_agent.adapters.boards import LinedBoard
from da_agent.adapters.boards.live import LiveBoard
from da_agent.adapters.progress import Lines
from da_agent.adapters.progress.bars import Bars
from da_agent.cli import options
from da_agent.domain import limits, texts
from da_agent.domain.config.redaction import MASK, masked
from da_agent.domain.display.tables import Row, Table
from da_agent.domain.rollout import verdicts
from da_agent.domain.rollout.rollouts import State
from da_agent.domain.store import keys
from da_agent.domain.store.blobs import PUT_BACK
from da_agent.errors import ReleaseBroken
from da_agent.views import nodes, outputs
from tests import built
from tests.fake_nodes import FakeWeb
from tests.fakes import NOON, MemoryStore
from tests.members import Member
from tests.unit.test_bad_records import cycle, shown

EVIL = "\x1b[2J\x1b]0;owned\x07 \u202etxt.exe\u2066 \x9b31m \r\x00 \u200b"
SECRET = "hunter2hunter2"

SAID = [
    f"RuntimeError('postgresql://u:{SECRET}@db/shop')",
    f'RuntimeError("postgresql://u:{SECRET}@db/shop?sslmode=require")',
    f"could not connect to amqp://user:{SECRET}@mq//",
    f"redis://:{SECRET}@localhost:6379/0 is away",
    f"u:{SECRET}@db is away",
    f"Server=tcp:db;Uid=app;Pwd={SECRET};Database=shop",
    f"Driver={{ODBC}};PWD={SECRET}",
    f"host=db user=app password={SECRET} dbname=shop",
    f"password: '{SECRET}'",
    f'{{"password": "{SECRET}", "user": "app"}}',
    f"{{'secret_key': '{SECRET}'}}",
    f"--password {SECRET} --verbose",
    f"mysql -p{SECRET} shop",
    f"Authorization: Bearer {SECRET}",
    f"GET /login?user=a&token={SECRET}",
    f"PGPASSWORD={SECRET} psql",
    f"password := {SECRET}",
]
TOKENS = [
    *("AKIAIOSFODNN7EXAMPLE", "ghp_abcdefghijklmnopqrstuvwxyz", "github_pat_11abcdefghij_klmnop", "sk_live_abcdefghij"),
    *("glpat-abcdefghijklmnopqrst", "xoxb-abcdefghijklmnopqrstuv", "pypi-AgEIcHlwaS5vcmcabcdef", "hf_abcdefghijklmnop"),
    *(
        "AIzaSyabcdefghijklmnopqrstuv",
        "eyJhbGciOiJI.eyJzdWIiOiI.abcdefgh",
        "npm_abcdefghijklmnop",
        "sk-proj-abcdefghijklmnop",
    ),
    *("SG.abcdefghijkl.mnopqrstuvwx", "5f3d2a1b-1111-2222-3333-444455556666", "wJalrXUtnFEMIK7MDENGbPxRfiCY"),
]


@pytest.mark.parametrize("said", SAID)
def test_a_secret_in_what_a_program_says_is_masked(said: str) -> None:
    for kept in (
        texts.reason(said),
        texts.log([said])[0],
        texts.mistake(said),
        texts.reason(f"it fails: {said} again"),
    ):
        assert SECRET not in kept
        assert MASK in kept


@pytest.mark.parametrize("token", TOKENS)
def test_a_token_of_a_known_shape_is_masked(token: str) -> None:
    assert texts.reason(f"the service refuses {token} today") == f"the service refuses {MASK} today"
    assert token not in texts.reason(f"ValueError('{token}')")


@pytest.mark.parametrize(
    "said",
    [
        "certs/docassemble.key: it does not belong to docassemble.crt",
        "docassemble.key: OpenSSL cannot read it",
        "Because shop==1.0 depends on authlib==1.2 and tokenizers==0.13.3, they cannot be installed together",
        f"{keys.BLOBS}9a/{'9a' * 32} is missing from s3://shop",
        "release 7 is quarantined: web-1: GET /health timed out after 30 s",
        "da-agent retry 7 --reason TEXT lets the nodes try it again",
    ],
)
def test_what_we_say_ourselves_stays_as_it_is(said: str) -> None:
    assert texts.reason(said) == said


def test_a_reason_is_one_line_that_keeps_its_beginning_and_its_end() -> None:
    said = texts.reason("cannot load it:\n\n" + "one\ttwo three " * 1000 + "\nValueError: the end")
    assert len(said) <= limits.REASON
    assert said.startswith("cannot load it: one two three")
    assert said.endswith("ValueError: the end")
    assert " … " in said
    assert texts.reason("a\r\nb") == "a b"


@given(st.text() | st.text("ab :=\n\x1b\u202e/@'\"-password", max_size=3000))
def test_whatever_is_said_is_one_printable_line(said: str) -> None:
    assert texts.reason(said).isprintable()
    assert len(texts.reason(said)) <= limits.REASON
    assert all(line.isprintable() and len(line) <= limits.LOG_LINE for line in texts.log([said]))
    assert texts.mistake(said).isprintable()
    assert all(map(str.isprintable, texts.shown(said).split("\n")))


def test_a_reason_names_the_object_and_not_the_whole_address_of_its_store() -> None:
    key, store = f"{keys.BLOBS}9a/{'9a' * 32}", "s3://bucket-123456?endpoint_url=http://127.0.0.1:9000&region=us-east-1"
    said = texts.reason(f"release 3 cannot be taken yet: cannot use {key} in {store}: its bytes are wrong; {PUT_BACK}")
    assert f"cannot use {key[:35]}… in s3://bucket-123456?… its bytes are wrong" in said
    assert said.endswith(PUT_BACK)


def test_the_end_of_a_log_and_the_first_mistakes_are_kept() -> None:
    assert texts.log(f"line {number}" for number in range(1000)) == tuple(f"line {each}" for each in range(980, 1000))
    found = texts.mistakes(f"mistake {number}" for number in range(1000))
    assert found[:2] == ("mistake 0", "mistake 1")
    assert found[-1] == "… and 900 more mistakes"


def test_an_integer_of_any_length_is_masked() -> None:
    assert masked("/a?page=" + "7" * 10_000) == f"/a?page={MASK}"


# ---- what is stored


@dataclass
class Talkative(FakeWeb):
    """A web server whose rehearsals fail with what an application says."""

    said: str | None = None

    def rehearse(self, number: int) -> None:
        if self.said is not None:
            raise ReleaseBroken(self.said, (self.said, *["a line"] * 5, self.said, EVIL))


def test_what_an_application_says_is_stored_masked_and_bounded_everywhere() -> None:
    """Eight million characters, as one line: in no record, report, node state, log or `status` are more than a few."""
    node = Member(MemoryStore(), "a")
    web = node.web = Talkative(node.installation)
    node.begin()
    node.put(keys.CONFIG, b"title: one\n")
    cycle(node, 4)
    assert node.live == 1
    web.said = f"{SAID[0]} {EVIL} {'x' * 8_000_000} password={SECRET}"
    node.put(keys.CONFIG, b"title: two\n")
    cycle(node, 8)
    assert node.live == 1
    record = built.rollouts(node.store, str).read(2)
    assert record is not None
    assert record.state is State.QUARANTINED
    stored = {entry.key: node.store.read(entry.key).data.decode() for entry in node.store.scan(".agent/")}
    assert {key: len(body) for key, body in stored.items() if len(body) > 20_000} == {}
    everything = [*stored.values(), repr(node.node_states.load()), *node.progress.said, shown(node.store)]
    assert [text for text in everything if SECRET in text] == []
    assert [key for key, body in stored.items() if not body.replace("\n", "").isprintable()] == []
    assert any("RuntimeError" in text for text in stored.values())


def test_many_failures_keep_few_logs() -> None:
    record = built.rollouts(MemoryStore(), str).open(1, None)
    record = replace(record, strategy=replace(record.strategy, max_failures=5000))
    names = [f"web-{number}" for number in range(50)]
    for name in names:
        record = verdicts.failed(record, name, "it fails", ("a line",) * 20, names, now=NOON)
    assert len(record.failures) == 50
    assert sum(bool(failure.log) for failure in record.failures) == limits.LOGS
    assert record.failures[-1].log


# ---- what is shown


def table() -> Table:
    row = Row(f"web{EVIL}", f"7{EVIL}", f"serving{EVIL}", NOON, f"note{EVIL}")
    return Table(NOON, 7, State.OPEN, f"Release 7{EVIL}", (row,))


def unseen(text: str) -> list[str]:
    """What a terminal would obey, or not show."""
    return [character for character in text if not character.isprintable() and character != "\n"]


def test_no_way_out_shows_what_a_terminal_obeys() -> None:
    out = io.StringIO()
    Lines(out).say(EVIL)
    with LinedBoard(out).shown() as show:
        show(table())
    with Lines(out).work(EVIL, 1, "nodes") as advance:
        advance(1)
    assert "\\x1b[2J" in out.getvalue()
    assert "\\u202e" in out.getvalue()
    assert unseen(out.getvalue()) == []

    plain = Console(file=io.StringIO(), force_terminal=False, width=500)
    Bars(plain).say(EVIL)
    with Bars(plain).step(EVIL) as tell:
        tell(EVIL)
    with LiveBoard(plain).shown() as show:
        show(table())
    assert isinstance(plain.file, io.StringIO)
    assert unseen(plain.file.getvalue()) == []
    assert "\\x1b[2J" in plain.file.getvalue()


@pytest.mark.parametrize("as_json", [True, False])
def test_no_command_prints_what_a_terminal_obeys(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    options.echo(nodes.why("web-1", EVIL), nodes.why_lines, as_json=as_json)
    printed = capsys.readouterr().out
    assert unseen(printed) == []
    if as_json:
        assert json.loads(printed)["why"] == EVIL
    else:
        assert "\\u202e" in printed


def test_an_emoji_outside_of_the_basic_plane_and_a_tag_are_json() -> None:
    said = "\U0001f600 \U000e0041"
    printed = outputs.json(nodes.why("a", said))
    assert json.loads(printed)["why"] == said
    assert "\U0001f600" in printed
    assert "\U000e0041" not in printed


def test_the_sentence_of_an_error_has_nothing_that_a_terminal_obeys(tmp_path: Path) -> None:
    """A file name may have it, too."""
    name = EVIL.replace("\0", "").replace(" ", "")
    done = subprocess.run(
        (sys.executable, "-m", "da_agent", "history", "--store", f"file://{tmp_path}/{name}"),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "DA_AGENT_ROOT": str(tmp_path / "root"), "XDG_CACHE_HOME": str(tmp_path)},
    )
    assert done.returncode not in (0, 1), done.stderr
    assert unseen(done.stderr) == []
    assert done.stderr.startswith("da-agent: ")
