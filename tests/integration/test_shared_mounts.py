"""A directory store on a real mount whose locks hold on one machine alone."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clusters_of_witnesses import folder

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/dev/fuse").exists() or shutil.which("bindfs") is None,
    reason="needs root, /dev/fuse and bindfs, which scripts/setup installs",
)

LOCKED_TWICE = """
import fcntl, sys
held = [open(path + "/lock", "w") for path in sys.argv[1:]]
fcntl.flock(held[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
try:
    fcntl.flock(held[1], fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.exit("locked")
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """The folder `disk` of a file server, and two folders where machines mount it."""
    with folder() as path:
        for name in ("disk", "one", "two"):
            (path / name).mkdir(mode=0o755)
        yield path


def mounted(place: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run `command` where `disk` is mounted on `one` and on `two`; the mounts end with it, whatever happens."""
    script = 'disk=$1 one=$2 two=$3; shift 3; bindfs "$disk" "$one" && bindfs "$disk" "$two" && "$@"'
    alone = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
    return subprocess.run(
        (*alone, "sh", "-c", script, "sh", place / "disk", place / "one", place / "two", *command),
        env={**os.environ, "DA_AGENT_STORE": f"file://{place}/one", "DA_AGENT_ROOT": f"{place}/nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_two_mounts_of_one_folder_have_a_lock_each() -> None:
    """Why such mounts are refused: what one machine locks, another one locks as well."""
    with folder() as path:
        for name in ("disk", "one", "two"):
            (path / name).mkdir()
        assert mounted(path, sys.executable, "-c", LOCKED_TWICE, path / "disk", path / "disk").stderr == "locked\n"
        assert mounted(path, sys.executable, "-c", LOCKED_TWICE, path / "one", path / "two").returncode == 0


def test_a_push_into_such_a_mount_is_refused_in_one_sentence_and_leaves_nothing(place: Path) -> None:
    config = place / "config.yml"
    config.write_text("secretkey: abcdefghijklmnop\n")
    pushed = mounted(place, sys.executable, "-m", "da_agent", "push", "config", config)
    assert pushed.returncode == 5, pushed
    (line,) = pushed.stderr.splitlines()
    assert f"is not fit for a cluster: locks on {place}/one (fuse) hold on this machine alone" in line
    assert "use a store with conditional writes" in line
    assert [path for path in (place / "disk").rglob("*") if path.is_file()] == [place / "disk/.agent/lock"]


def test_doctor_names_the_check_that_fails(place: Path) -> None:
    examined = mounted(place, sys.executable, "-m", "da_agent", "doctor", "store")
    assert examined.returncode == 1
    first, *others = examined.stdout.splitlines()
    assert first.startswith("BAD  its locks keep out other machines: locks on ")
    assert all(line.startswith("ok ") for line in others[:-1])
