"""Bytecode is made once, where packages are resolved, and travels in the wheels."""

import csv
import importlib.util
import io
import marshal
import stat
import subprocess
import zipfile
from pathlib import Path

from da_agent.adapters.packaging import UvEnvironments
from da_agent.domain.node.paths import Paths
from da_agent.domain.packages.wheels import Wheel
from da_agent.domain.store.blobs import blob_of
from tests import packages
from tests.integration.test_environments import FolderOfBlobs
from tests.integration.test_resolvers import PYTHON, inbox_of, lock, resolver_at

CACHED = "__pycache__/{}.cpython-311.pyc"
COMPILES = """
import sys
compiled = []
sys.addaudithook(lambda event, given: compiled.append(str(given[1])) if event == "compile" else None)
import site
site.addsitedir(sys.argv[1])
import shop, shop.parts, kiosk
sys.stdout.write(f"{shop.parts.__cached__ is not None} {shop.where()} ")
sys.stdout.write(str([name for name in compiled if sys.argv[1] in name or "shop" in name or "kiosk" in name]))
"""


def given(desk: Path) -> list[Path]:
    modules = {
        "shop.__init__": "def where():\n    return where.__code__.co_filename\n",
        "shop.parts": "PARTS = [1]\n",
        "shop.template": "this is {{ no }} Python\n",
    }
    script = {"shop-1.0.data/scripts/shop-run": "#!python\nprint('ran')\n"}
    return [
        packages.wheel(desk / "inbox", "shop", "1.0", modules, files=script),
        packages.wheel(desk / "inbox", "kiosk", "1.0", {"kiosk": "OPEN = True\n"}),
    ]


def resolved(desk: Path, blobs: FolderOfBlobs) -> list[Wheel]:
    """What a node gets: the wheels with their bytecode, as blobs."""
    with resolver_at(desk).resolve(inbox_of(*given(desk)), ()) as locked:
        for each in locked:
            assert each.path is not None
            data = each.path.read_bytes()
            assert blob_of(data) == each.wheel.blob
            blobs.put(each.wheel.blob, data)
        return [each.wheel for each in locked]


def installed(desk: Path, tmp_path: Path) -> Path:
    """The environment that a node makes of them."""
    paths = Paths(tmp_path / "root")
    blobs = FolderOfBlobs(paths.blobs)
    into = paths.release(1) / "local"
    UvEnvironments(PYTHON, blobs, paths).build(resolved(desk, blobs), into)
    return into


def test_wheels_carry_the_bytecode_of_what_can_be_compiled_and_say_so(desk: Path, tmp_path: Path) -> None:
    blobs = FolderOfBlobs(tmp_path / "blobs")
    _, shop = resolved(desk, blobs)
    with zipfile.ZipFile(blobs.path(shop.blob)) as archive:
        names = archive.namelist()
        record = list(csv.reader(io.StringIO(archive.read("shop-1.0.dist-info/RECORD").decode())))
        assert archive.testzip() is None
    assert [name for name in names if name.endswith(".pyc")] == [
        "shop/" + CACHED.format("__init__"),
        "shop/" + CACHED.format("parts"),
    ]
    assert sorted(row[0] for row in record) == sorted(names)
    assert all(row[1].startswith("sha256=") for row in record if not row[0].endswith("RECORD"))


def test_bytecode_that_a_wheel_brings_itself_is_replaced_by_ours(desk: Path, tmp_path: Path) -> None:
    """Such a wheel was zipped from a folder in which it had been tried: the times of its sources have changed since."""
    source = b"OPEN = True\n"
    stale = importlib.util.MAGIC_NUMBER + bytes(4) + (1).to_bytes(4, "little") + len(source).to_bytes(4, "little")
    stale += marshal.dumps(compile(source, "stall.py", "exec"))
    brought = {
        "__pycache__/stall.cpython-311.pyc": stale,
        "__pycache__/stall.cpython-311.opt-1.pyc": stale,
        "__pycache__/stall.cpython-38.pyc": b"of another Python",
        "__pycache__/gone.cpython-311.pyc": stale,
        "sourceless.pyc": stale,
    }
    made = packages.wheel(desk / "inbox", "stall", "1.0", {"stall": source.decode()}, files=brought)
    with resolver_at(desk).resolve(inbox_of(made), ()) as (locked,):
        assert locked.path is not None
        with zipfile.ZipFile(locked.path) as archive:
            names = archive.namelist()
            record = [row[0] for row in csv.reader(io.StringIO(archive.read("stall-1.0.dist-info/RECORD").decode()))]
            ours = archive.read(CACHED.format("stall"))
            assert archive.read("sourceless.pyc") == stale
    assert sorted(names) == sorted(record)
    assert sorted(name for name in names if name.endswith(".pyc")) == [CACHED.format("stall"), "sourceless.pyc"]
    assert int.from_bytes(ours[4:8], "little") == 1, "it is never compared with its source"


def test_the_wheel_that_came_is_remembered_and_not_compiled_again(desk: Path, tmp_path: Path) -> None:
    blobs = FolderOfBlobs(tmp_path / "blobs")
    first = resolved(desk, blobs)
    originals = {path.name: blob_of(path.read_bytes()).sha256 for path in given(desk)}
    assert {wheel.filename: wheel.original for wheel in first} == originals
    again = lock(resolver_at(desk), inbox_of(*given(desk)), first)
    assert [(each.wheel, each.path) for each in again] == [(wheel, None) for wheel in first]


def test_a_read_only_release_starts_without_compiling_anything(desk: Path, tmp_path: Path) -> None:
    into = installed(desk, tmp_path)
    packages_ = into / "lib/python3.11/site-packages"
    for path in packages_.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = sorted(path.name for path in packages_.rglob("*"))
    ran = subprocess.run(
        [str(PYTHON), "-I", "-c", COMPILES, str(packages_)], capture_output=True, text=True, check=True
    ).stdout
    assert ran == f"True {packages_ / 'shop' / '__init__.py'} []"
    assert sorted(path.name for path in packages_.rglob("*")) == before
    script = into / "bin" / "shop-run"
    assert script.stat().st_mode & stat.S_IXOTH
    assert subprocess.run([str(script)], capture_output=True, text=True, check=True).stdout == "ran\n"


def test_what_is_not_compiled_is_still_installed(desk: Path, tmp_path: Path) -> None:
    into = installed(desk, tmp_path)
    package = into / "lib/python3.11/site-packages/shop"
    assert (package / "template.py").read_text() == "this is {{ no }} Python\n"
    assert not (package / CACHED.format("template")).exists()
