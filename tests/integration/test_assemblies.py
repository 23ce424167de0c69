"""What no node could install, or would install by chance, is refused before it is published: by `plan` as by `push`."""

import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from da_agent.domain.packages.wheels import Wheel
from da_agent.domain.store import keys
from da_agent.domain.store.blobs import blob_of
from da_agent.domain.store.inboxes import Inbox
from da_agent.errors import Invalid, ReleaseBroken
from da_agent.wiring import NodeAgent
from da_agent.workflows.publish import pushes
from da_agent.workflows.publish.pushes import InboxWrites
from tests import packages

CONFIG = "secretkey: abcdefghijklmnop\nda agent:\n  quiet period: 0\n"
INFO = "w-1.0.dist-info"


@pytest.fixture
def machine(desk: Path) -> NodeAgent:
    store = desk / "store"
    store.mkdir()
    (store / "config.yml").write_text(CONFIG)
    variables = {"DA_AGENT_STORE": f"file://{store}", "DA_AGENT_ROOT": str(desk / "node"), "DA_AGENT_NODE": "web-1"}
    made = NodeAgent({**variables, "PATH": "/usr/bin:/bin", "PIP_NO_INDEX": "1"})
    made.prepare()
    return made


def refused(machine: NodeAgent, *paths: Path) -> tuple[str, ...]:
    """The mistakes with which a push of these files is refused. A plan has the same, and nothing changes."""
    before = {entry.key for entry in machine.store.scan("packages/")}
    files = {path.name: path for path in paths}

    def change(inbox: Inbox) -> InboxWrites:
        return pushes.packages(inbox, b"", (), files)

    with pytest.raises(Invalid) as planned:
        machine.plans.push(change)
    with pytest.raises(Invalid) as pushed:
        machine.pushes.push(change, "test")
    assert planned.value.mistakes == pushed.value.mistakes
    assert {entry.key for entry in machine.store.scan("packages/")} == before
    return pushed.value.mistakes


def push(machine: NodeAgent, *paths: Path) -> int:
    release = machine.pushes.push(
        lambda inbox: pushes.packages(inbox, b"", (), {p.name: p for p in paths}), "test"
    ).release
    assert release is not None
    return release


def configure(machine: NodeAgent, more: str) -> None:
    machine.pushes.push(lambda _: InboxWrites({keys.CONFIG: f"{CONFIG}{more}".encode()}), "test")


def wheel_of(folder: Path, changes: Mapping[str, str | None], method: int = zipfile.ZIP_STORED) -> Path:
    parts: dict[str, str | None] = {
        "w.py": "x=1\n",
        f"{INFO}/METADATA": "Metadata-Version: 2.1\nName: w\nVersion: 1.0\n\n",
        f"{INFO}/WHEEL": "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{INFO}/RECORD": f"w.py,,\n{INFO}/METADATA,,\n{INFO}/WHEEL,,\n{INFO}/RECORD,,\n",
    }
    path = folder / "w-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, text in (parts | dict(changes)).items():
            if text is not None:
                archive.writestr(name, text)
    return path


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({f"{INFO}/WHEEL": None}, f"cannot use w-1.0-py3-none-any.whl: {INFO}/WHEEL is missing in it"),
        ({f"{INFO}/WHEEL": "Wheel-Version: 1.0\nTag: \nTag: -manylinux_2_17_x86_64\n"}, "which no installer can read"),
        ({f"{INFO}/METADATA": ""}, "METADATA in it has no Name"),
        ({f"{INFO}/RECORD": None}, "RECORD is missing in it"),
        ({f"{INFO}/RECORD": 'a,b,c,d,e\n"\n'}, "Failed to read `w` `RECORD` file is invalid"),
        ({f"{INFO}/METADATA": "Metadata-Version: 2.1\nName: w\nVersion: 1.0\nRequires-Python: >=3.99\n"}, "3.99"),
    ],
)
def test_a_wheel_that_no_node_can_install_is_refused_by_plan_and_push_alike(
    machine: NodeAgent, desk: Path, changes: Mapping[str, str | None], sentence: str
) -> None:
    found = refused(machine, wheel_of(desk, changes))
    assert sentence in " ".join(found)
    assert str(desk) not in " ".join(found), "a path of this machine helps no reader"
    # And it spoils nothing: the next good push is published.
    assert push(machine, packages.wheel(desk, "shop", "1.0", {"shop": "x = 1\n"})) >= 1


def test_two_distributions_that_own_one_file_are_refused_and_an_allowed_pair_has_a_fixed_order(
    machine: NodeAgent, desk: Path
) -> None:
    one = packages.wheel(desk, "one", "1.0", {"shared.code": "owner = 'one'\n", "one": ""})
    two = packages.wheel(desk, "two", "1.0", {"shared.code": "owner = 'two'\n", "two": ""})
    (mistake,) = refused(machine, one, two)
    assert mistake.startswith("one and two both have the file shared/code.py: ")
    for winner, loser in (("one", "two"), ("two", "one")):
        configure(machine, f"  overlapping packages: [{winner} over {loser}]\n")
        number = push(machine, one, two)
        release = machine.ledger.read(number)
        machine.transfers.fetch(release.contents.blobs())
        machine.web.prepare()
        machine.installation.stage(release, machine.settings(release))
        site = machine.paths.release(number) / "local/lib/python3.11/site-packages"
        assert (site / "shared/code.py").read_text() == f"owner = '{winner}'\n"
        (bytecode,) = (site / "shared/__pycache__").iterdir()
        assert winner.encode() in bytecode.read_bytes(), "the bytecode is that of the other one"
        assert loser.encode() not in bytecode.read_bytes()
    # Without the setting the same packages are refused, although nothing else has changed.
    with pytest.raises(Invalid, match="both have the file shared/code"):
        configure(machine, "")


def test_equal_files_of_two_distributions_are_installed(machine: NodeAgent, desk: Path) -> None:
    one = packages.wheel(desk, "one", "1.0", {"space.__init__": "", "space.one": "x = 1\n"})
    two = packages.wheel(desk, "two", "1.0", {"space.__init__": "", "space.two": "x = 2\n"})
    assert push(machine, one, two) >= 1


def test_a_wheel_that_only_a_look_at_the_environment_shows_to_be_wrong_is_refused(
    machine: NodeAgent, desk: Path
) -> None:
    other = f"{INFO}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: cp27-none-win_amd64\n"
    (mistake,) = refused(machine, wheel_of(desk, dict([other])))
    assert mistake.startswith("the packages do not fit together: The package `w` ")


def test_what_was_published_here_is_staged_without_a_download(machine: NodeAgent, desk: Path) -> None:
    release = machine.ledger.read(push(machine, packages.wheel(desk, "shop", "1.0", {"shop": "x = 1\n"})))
    assert all(machine.blobs.has(wheel.blob) for wheel in release.contents.wheels)


def test_a_node_unpacks_no_wheel_that_was_put_past_the_publication(machine: NodeAgent, desk: Path) -> None:
    release = machine.ledger.read(push(machine, packages.wheel(desk, "shop", "1.0", {"shop": "x = 1\n"})))
    bomb = wheel_of(desk, {"data": "0" * 200_000_000}, zipfile.ZIP_DEFLATED).read_bytes()
    machine.blobs.receive(blob_of(bomb), lambda sink, _: sink(bomb))
    evil = Wheel("w", "1.0", "w-1.0-py3-none-any.whl", blob_of(bomb))
    forged = replace(release, contents=replace(release.contents, wheels=(evil,)))
    with pytest.raises(ReleaseBroken, match=r"cannot install w-1\.0-py3-none-any\.whl: it unpacks to many times"):
        machine.installation.stage(forged, machine.settings(release))


def test_a_package_that_prints_when_python_starts_is_published(machine: NodeAgent, desk: Path) -> None:
    prints = "import sys; print('hello from a .pth file'); print('{', file=sys.stderr)\n"
    assert push(machine, wheel_of(desk, {"zz.pth": prints})) == 1
