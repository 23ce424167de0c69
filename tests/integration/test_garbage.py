"""What `gc` removes from the disk of a real node, and what it leaves."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from da_agent.domain.journals import Journal
from da_agent.wiring import Machine
from da_agent.workflows.ledgers import Ledger
from tests import packages

DAYS = 3 * 24 * 3600


def node(desk: Path) -> Machine:
    (desk / "store" / "packages").mkdir(parents=True)
    variables = {"DA_AGENT_STORE": f"file://{desk}/store", "DA_AGENT_ROOT": f"{desk}/root", "DA_AGENT_NODE": "n"}
    machine = Machine({**os.environ, **variables})
    machine.prepare()
    machine.web.prepare()
    return machine


def staged(machine: Machine, desk: Path, text: str) -> int:
    (desk / "store" / "config.yml").write_text(f"da agent:\n  quiet period: 0\nname: {text}\n")
    verdict = machine.adoption.adopt("a test")
    assert verdict.release is not None, verdict.mistakes
    release = Ledger(machine.store).read(verdict.release)
    machine.transfers.fetch(release.contents.blobs())
    machine.installation.stage(release, machine.settings(release))
    return release.number


def grow_old(*folders: Path) -> None:
    then = time.time() - DAYS
    for folder in folders:
        for path in (folder, *folder.rglob("*")):
            if not path.is_symlink():
                os.utime(path, (then, then))


@contextmanager
def using(path: Path) -> Iterator[None]:
    """A process that has the file open, as the loader has one of its release."""
    code = "import sys; held = open(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield
        assert process.stdin is not None
        process.stdin.close()


def test_releases_and_wheels_that_nobody_needs_leave_the_disk_but_not_those_a_process_uses(desk: Path) -> None:
    machine = node(desk)
    inbox = desk / "store" / "packages"
    old = packages.wheel(inbox, "gift", "1.0", {"gift.py": "VERSION = '1.0'\n"})
    assert staged(machine, desk, "first") == 1
    gift = Ledger(machine.store).read(1).contents.wheels[0]
    old.unlink()
    packages.wheel(inbox, "gift", "2.0", {"gift.py": "VERSION = '2.0'\n"})
    for number in range(2, 6):
        assert staged(machine, desk, f"number {number}") == number
    machine.installation.switch(5)
    machine.journals.save(Journal(live=5))
    assert machine.clear(dry_run=False).releases == (), "all of it is young"
    grow_old(machine.paths.blobs, *map(machine.paths.release, range(1, 6)))

    with using(machine.paths.release(1) / "config.yml"):
        assert machine.clear(dry_run=True).releases == (2,)
        assert machine.installation.staged() == {1, 2, 3, 4, 5}
        assert machine.clear(dry_run=False).releases == (2,)
        assert machine.installation.staged() == {1, 3, 4, 5}
        assert machine.blobs.has(gift.blob)
        assert unpacked(machine, "1.0") != []

    assert machine.clear(dry_run=False).releases == (1,)
    assert machine.installation.staged() == {3, 4, 5}
    assert not machine.blobs.has(gift.blob)
    assert unpacked(machine, "1.0") == []
    assert machine.clear(dry_run=False).blobs == ()
    (module,) = machine.paths.release(5).rglob("gift.py")
    assert module.read_text() == "VERSION = '2.0'\n"
    assert staged(machine, desk, "another") == 6


def unpacked(machine: Machine, version: str) -> list[Path]:
    """What uv's cache has of that version."""
    found = machine.paths.wheel_cache.rglob("gift.py")
    return [path for path in found if version in path.read_text()]
