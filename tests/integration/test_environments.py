"""Environments made by real uv from blobs, on a machine that reaches no index."""

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from da_agent.adapters.packaging import UvEnvironments
from da_agent.domain.node.paths import Paths
from da_agent.domain.packages.wheels import Wheel
from da_agent.domain.store.blobs import Blob, blob_of
from da_agent.errors import Corrupt, NodeBroken, ReleaseBroken
from tests import packages
from tests.fakes import MemoryBlobs

PYTHON = Path("/usr/bin/python3")


class FolderOfBlobs(MemoryBlobs):
    """Blobs as files, read-only, whatever bytes a test says they have."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        folder.mkdir(parents=True)
        self._folder = folder

    def path(self, blob: Blob) -> Path:
        return self._folder / blob.sha256

    def put(self, blob: Blob, data: bytes) -> None:
        self.bodies[blob] = data
        self.path(blob).write_bytes(data)
        self.path(blob).chmod(0o400)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "root")


@pytest.fixture
def blobs(paths: Paths) -> FolderOfBlobs:
    return FolderOfBlobs(paths.blobs)


@pytest.fixture
def environments(paths: Paths, blobs: FolderOfBlobs) -> UvEnvironments:
    return UvEnvironments(PYTHON, blobs, paths)


@pytest.fixture(autouse=True)
def no_index(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whoever asks an index here fails."""
    with closing(socket.socket()) as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}/simple"
        for variable in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "PIP_INDEX_URL", "HTTPS_PROXY", "HTTP_PROXY"):
            monkeypatch.setenv(variable, url)
        yield


def wheel_of(blobs: FolderOfBlobs, path: Path) -> Wheel:
    name, version, _ = path.name.split("-", 2)
    data = path.read_bytes()
    blobs.put(blob_of(data), data)
    return Wheel(name, version, path.name, blob_of(data))


def imports(environment: Path, code: str) -> str:
    """What `code` prints where the environment's packages are added as the web server's loader does it."""
    add = f"import site; site.addsitedir({str(environment / 'lib/python3.11/site-packages')!r})"
    return printed(PYTHON, f"{add}\n{code}")


def printed(python: Path, code: str) -> str:
    command = [str(python), "-I", "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def some(blobs: FolderOfBlobs, tmp_path: Path) -> tuple[Wheel, ...]:
    # `shop` needs something that is not there: what is installed was decided long ago, and is not decided again.
    return tuple(
        wheel_of(blobs, packages.wheel(tmp_path, name, "1.0", {name: f"name = {name!r}"}, ["not-there"]))
        for name in ("shop", "kiosk")
    )


def test_an_environment_has_exactly_these_wheels(
    environments: UvEnvironments, some: Sequence[Wheel], paths: Paths
) -> None:
    into = paths.release(1) / "local"
    environments.build(some, into)
    assert imports(into, "import shop, kiosk; print(shop.name, kiosk.name)") == "shop kiosk"
    everything = "import importlib.metadata as m; print(sorted(found.name for found in m.distributions()))"
    assert printed(into / "bin/python", everything) == "['kiosk', 'shop']"


def test_an_environment_without_wheels_is_whole_too(environments: UvEnvironments, paths: Paths) -> None:
    into = paths.release(1) / "local"
    environments.build((), into)
    assert (into / "lib/python3.11/site-packages").is_dir()
    assert printed(into / "bin/python", "import sys; print(sys.prefix)") == str(into)


def test_everybody_may_read_everything(environments: UvEnvironments, some: Sequence[Wheel], paths: Paths) -> None:
    into = paths.release(1) / "local"
    before = os.umask(0o077)
    try:
        environments.build(some, into)
    finally:
        os.umask(before)
    packages_ = into / "lib/python3.11/site-packages"
    for path in (packages_, *packages_.rglob("*")):
        assert path.stat().st_mode & (stat.S_IROTH if path.is_file() else stat.S_IXOTH), path


def test_files_are_shared_between_releases(environments: UvEnvironments, some: Sequence[Wheel], paths: Paths) -> None:
    modules = [paths.release(number) / "local/lib/python3.11/site-packages/shop.py" for number in (1, 2)]
    for number in (1, 2):
        environments.build(some, paths.release(number) / "local")
    assert modules[0].stat().st_ino == modules[1].stat().st_ino
    assert [path.parent.name for path in (paths.agent / "wheels").glob("*/shop*")] == [some[0].blob.sha256]


def test_building_twice_over_an_unfinished_one_gives_a_whole_one(
    environments: UvEnvironments, some: Sequence[Wheel], paths: Paths
) -> None:
    into = paths.release(1) / "local"
    environments.build(some, into)
    (into / "bin/python").unlink()
    (into / "lib/python3.11/site-packages/kiosk.py").unlink()
    (into / "lib/python3.11/site-packages/kiosk-1.0.dist-info/METADATA").unlink()
    environments.build(some, into)
    assert imports(into, "import kiosk; print(kiosk.name)") == "kiosk"


def test_wheels_that_the_node_has_forgotten_take_no_room(
    environments: UvEnvironments, blobs: FolderOfBlobs, some: Sequence[Wheel], paths: Paths
) -> None:
    environments.build(some, paths.release(1) / "local")
    blobs.remove(some[1].blob.sha256)
    environments.build(some[:1], paths.release(2) / "local")
    assert [path.name for path in (paths.agent / "wheels").iterdir()] == [some[0].blob.sha256]


def test_bytes_that_are_not_the_releases_are_not_installed(
    environments: UvEnvironments, blobs: FolderOfBlobs, some: Sequence[Wheel], paths: Paths, tmp_path: Path
) -> None:
    evil = packages.wheel(tmp_path, "shop", "1.0", {"shop": "name = 'evil'"}).read_bytes()
    blobs.path(some[0].blob).unlink()
    blobs.put(some[0].blob, evil)
    with pytest.raises(Corrupt, match=r"[Hh]ash mismatch for `shop`"):
        environments.build(some, paths.release(1) / "local")
    assert not list(paths.release(1).rglob("shop.py"))


def test_a_wheel_for_another_python_breaks_the_release(
    environments: UvEnvironments, blobs: FolderOfBlobs, paths: Paths, tmp_path: Path
) -> None:
    future = wheel_of(blobs, packages.wheel(tmp_path, "future", "1.0", {"future": ""}, tag="cp314-cp314-win_amd64"))
    with pytest.raises(ReleaseBroken, match=r"future-1\.0-cp314.*incompatible"):
        environments.build([future], paths.release(1) / "local")


def test_what_is_no_wheel_breaks_the_release(environments: UvEnvironments, blobs: FolderOfBlobs, paths: Paths) -> None:
    junk = Wheel("junk", "1.0", "junk-1.0-py3-none-any.whl", blob_of(b"junk"))
    blobs.put(junk.blob, b"junk")
    with pytest.raises(ReleaseBroken, match="junk"):
        environments.build([junk], paths.release(1) / "local")


def test_a_missing_blob_python_or_uv_is_the_nodes_fault(
    environments: UvEnvironments, blobs: FolderOfBlobs, some: Sequence[Wheel], paths: Paths
) -> None:
    into = paths.release(1) / "local"
    strange = Wheel("strange", "1.0", "strange-1.0-py3-none-any.whl", blob_of(b"strange"))
    with pytest.raises(NodeBroken, match="does not have its bytes"):
        environments.build([strange], into)
    with pytest.raises(NodeBroken, match="/no/python3"):
        UvEnvironments(Path("/no/python3"), blobs, paths).build(some, into)
    with pytest.raises(NodeBroken, match="cannot run /no/uv"):
        UvEnvironments(PYTHON, blobs, paths, uv=Path("/no/uv")).build(some, into)


def test_a_full_disk_is_the_nodes_fault_and_named(
    blobs: FolderOfBlobs, some: Sequence[Wheel], paths: Paths, tmp_path: Path
) -> None:
    # uv's own words, noted on a full file system: filling one takes a mount, which needs root.
    full = tmp_path / "uv"
    full.write_text(
        f"#!{sys.executable}\nprint('error: x\\n  cause: No space left on device (os error 28)'); exit(2)\n"
    )
    full.chmod(0o755)
    into = paths.release(1) / "local"
    with pytest.raises(NodeBroken, match=f"{into}: the disk of \\S+ is full, or its quota is"):
        UvEnvironments(PYTHON, blobs, paths, uv=full).build(some, into)
