"""Fifty packages of the real index, compiled extensions and sdists among them: published once, then staged on two nodes
that have neither a network nor a compiler."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uv

from da_agent.domain.packages.wheels import Wheel
from da_agent.wiring import NodeAgent
from tests.clusters_of_witnesses import folder
from tests.disks import disk

# One download, one compilation.
pytestmark = pytest.mark.xdist_group("fifty packages")

HERE = Path(__file__).parents[2]
SDISTS = ("crcmod", "docopt")
"""Had as sources only; the first has a C extension."""

REQUIREMENTS = (
    *SDISTS,
    "aiohttp",
    "celery",
    "cryptography",
    "flask-sqlalchemy",
    "msgpack",
    "psycopg2-binary",
    "pydantic",
    "pyyaml",
    "requests",
    "rich",
    "zope-interface",
)
DEAD = "http://127.0.0.1:9/simple"

# The compiler is replaced under its own name: whoever finds it by whatever path finds the trap.
CUT_OFF = """\
set -eu
trap_=$1 compiler=$2
shift 2
mount --bind "$trap_" "$compiler"
exec "$@"
"""
TRAP = """\
#!/bin/sh
echo called >>'{}'
exit 1
"""
STAGE = """\
import sys
from da_agent.wiring import NodeAgent
machine = NodeAgent()
machine.prepare()
release = machine.ledger.read(1)
machine.transfers.fetch(release.contents.blobs())
machine.installation.stage(release, machine.settings(release))
"""
READ_ONLY = """\
set -eu
mount --bind "$1" "$1"
mount -o remount,ro,bind "$1"
! touch "$1/x" 2>/dev/null
shift
exec "$@"
"""
IMPORT_ALL = """\
import sys
compiled = []
def hear(event, given):
    if event == "compile" and str(given[1]).startswith(sys.argv[1]):
        compiled.append(given[1])
sys.addaudithook(hear)
import importlib, importlib.metadata as metadata, site
site.addsitedir(sys.argv[1])
names = {
    file.parts[0].removesuffix(".py")
    for found in metadata.distributions(path=[sys.argv[1]])
    for file in found.files
    if file.name == "__init__.py" and len(file.parts) == 2 or file.suffix == ".py" and len(file.parts) == 1
}
for name in sorted(names):
    importlib.import_module(name)
print(len(names), len(sys.modules), compiled)
"""


@dataclass(frozen=True)
class Two:
    """Two nodes that have staged release 1. `called`: what the compiler's trap has heard."""

    wheels: tuple[Wheel, ...]
    environments: tuple[Path, Path]
    called: Path
    inside: list[str] = field(repr=False)

    def packages(self, number: int = 0) -> Path:
        return self.environments[number] / "lib" / "python3.11" / "site-packages"


@pytest.fixture(scope="module")
def two() -> Iterator[Two]:
    # In memory: tens of thousands of small files are no test of this machine's disk.
    with folder() as path, disk(path / "disk", 2 << 30):
        store = path / "disk" / "store"
        (store / "packages").mkdir(parents=True)
        (store / "config.yml").write_text("secretkey: abcdefghijklmnop\nda agent:\n  quiet period: 0\n")
        (store / "packages" / "requirements.txt").write_text("".join(f"{line}\n" for line in REQUIREMENTS))
        environment = {**os.environ, "DA_AGENT_STORE": f"file://{store}"}
        admin = NodeAgent({**environment, "DA_AGENT_ROOT": str(path / "nowhere"), "DA_AGENT_NODE": "admin"})
        assert admin.publisher.publish("a test").mistakes == ()
        called, trap = path / "called", path / "trap"
        trap.write_text(TRAP.format(called))
        trap.chmod(0o755)
        compiler = subprocess.run(["realpath", "/usr/bin/cc"], capture_output=True, text=True, check=True).stdout
        inside = ["unshare", "--net", "--mount", "sh", "-c", CUT_OFF, "sh", str(trap), compiler.strip()]
        dead = dict.fromkeys(("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL", "HTTPS_PROXY", "HTTP_PROXY"), DEAD)
        roots = path / "disk" / "one", path / "disk" / "two"
        for root in roots:
            own = {**environment, **dead, "DA_AGENT_ROOT": str(root), "DA_AGENT_NODE": root.name}
            subprocess.run([*inside, sys.executable, "-c", STAGE], env=own, check=True, cwd=HERE)
        wheels = admin.ledger.read(1).contents.wheels
        first, second = (root / "releases" / "0000000001" / "local" for root in roots)
        yield Two(wheels, (first, second), called, inside)


def by_uv(environment: Path, command: str) -> str:
    return subprocess.run(
        [uv.find_uv_bin(), "pip", command, "--no-config", "--offline", "--python", str(environment / "bin" / "python")],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


def test_there_are_fifty_with_compiled_ones_and_sdists_among_them(two: Two) -> None:
    assert len(two.wheels) >= 50
    assert {wheel.name for wheel in two.wheels if wheel.source is not None} == set(SDISTS)
    assert sum(not wheel.filename.endswith("-none-any.whl") for wheel in two.wheels) >= 10
    assert len(list(two.packages().rglob("*.so"))) >= 20
    assert list(two.packages().rglob("_crcfunext*.so"))


def test_both_nodes_have_the_same_and_what_they_have_fits_together(two: Two) -> None:
    frozen = [by_uv(environment, "freeze") for environment in two.environments]
    assert frozen[0] == frozen[1]
    assert frozen[0].splitlines() == [f"{wheel.name}=={wheel.version}" for wheel in two.wheels]
    for environment in two.environments:
        by_uv(environment, "check")


def test_no_compiler_was_called(two: Two) -> None:
    assert not two.called.exists()
    # The trap would have heard it.
    assert subprocess.run([*two.inside, "/usr/bin/gcc", "--version"], check=False).returncode == 1
    assert two.called.read_text() == "called\n"


def test_every_module_that_can_be_compiled_has_its_bytecode(two: Two) -> None:
    without = []
    for source in two.packages().rglob("*.py"):
        if not (source.parent / "__pycache__" / f"{source.stem}.cpython-311.pyc").exists():
            with pytest.raises((SyntaxError, ValueError)):
                compile(source.read_bytes(), source, "exec", dont_inherit=True)
            without.append(source)
    assert len(without) < 5


def test_a_read_only_release_imports_everything_without_compiling_anything(two: Two) -> None:
    packages = str(two.packages())
    command = ["unshare", "--mount", "sh", "-c", READ_ONLY, "sh", packages, "/usr/bin/python3", "-I", "-c", IMPORT_ALL]
    ran = subprocess.run([*command, packages], stdout=subprocess.PIPE, text=True, check=True).stdout
    imported, modules, compiled = ran.split(maxsplit=2)
    assert int(imported) > 50
    assert int(modules) > 1000
    assert compiled == "[]\n"
