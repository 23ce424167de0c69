"""How long staging takes from a warm cache, bytecode included, against a bare `uv pip sync` without bytecode.

    python -m benchmarks.staging [REQUIREMENT…]        (docassemble.webapp, which needs libldap2-dev and libsasl2-dev)

Both install the same versions, from caches that are warm, with hard links, on the same disk, in turns; the table has
the median and the range of the rounds, and the ratio of the medians. Then one package changes: what the next release
costs, and what was done again for it.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import uv

from da_agent.domain.release.releases import Release
from da_agent.wiring import NodeAgent

T = TypeVar("T")
PYTHON = "/usr/bin/python3"
OWN = "da_bench-{}-py3-none-any.whl"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.staging", description=__doc__)
    parser.add_argument("requirements", nargs="*", default=["docassemble.webapp"])
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    # The home of root is closed to the user who builds.
    with tempfile.TemporaryDirectory(prefix="da-bench-", dir="/var/tmp") as folder:
        work = Path(folder)
        work.chmod(0o755)
        measure(work, chosen.requirements, chosen.rounds)


def measure(work: Path, requirements: list[str], rounds: int) -> None:
    machine, release, publishing = published(work, requirements)
    wheels = release.contents.wheels
    settings = machine.settings(release)
    _, fetching = timed(lambda: machine.transfers.fetch(release.contents.blobs()))
    machine.web.prepare()
    _, cold = timed(lambda: machine.installation.stage(release, settings))
    lock = work / "lock.txt"
    lock.write_text("".join(f"{each.name}=={each.version}\n" for each in wheels if each.name != "da-bench"))
    sync(work / "peer-first", lock, work / "peer-cache")
    ours, bare = [], []
    for number in range(rounds):
        following = renumbered(release, number)
        ours.append(timed(partial(machine.installation.stage, following, settings))[1])
        bare.append(timed(partial(sync, work / f"peer-{number}", lock, work / "peer-cache"))[1])
    version = subprocess.run([uv.find_uv_bin(), "--version"], capture_output=True, text=True, check=True).stdout.strip()
    environment = machine.paths.release(release.number) / "local"
    compiled = sum(1 for _ in environment.rglob("*.pyc"))
    modules = sum(1 for _ in environment.rglob("*.py"))
    print(f"{len(wheels)} packages, {modules} modules, {compiled} of them with bytecode; {version}")
    print(f"{'once: resolve, build, compile, store':<44}{publishing:8.2f} s")
    print(f"{'once on a node: fetch':<44}{fetching:8.2f} s")
    print(f"{'once on a node: stage with a cold cache':<44}{cold:8.2f} s")
    print(row("stage, warm, with bytecode", ours))
    print(row("uv pip sync, warm, without bytecode", bare))
    print(f"{'ratio of the medians':<44}{statistics.median(ours) / statistics.median(bare):8.2f}")
    _, read = reading(lambda: machine.installation.stage(renumbered(release, rounds), settings))
    print(f"{'  read by it':<44}{read / 1e6:8.1f} MB")
    change_one(machine, work, release, rounds)


def change_one(machine: NodeAgent, work: Path, before: Release, rounds: int) -> None:
    """The package of our own gets a new version in each round; then the same release is staged once more, unchanged."""
    publishing, fetching, staging, again, numbers = [], [], [], [], set()
    for version in range(2, rounds + 2):
        (work / "store" / "packages" / OWN.format(version - 1)).unlink()
        own_package(work, version)
        verdict, seconds = timed(lambda: machine.publisher.publish("benchmark"))
        publishing.append(seconds)
        assert verdict.release is not None, verdict.mistakes
        release = machine.ledger.read(verdict.release)
        settings = machine.settings(release)
        compiled = len(set(release.contents.wheels) - set(before.contents.wheels))
        blobs = release.contents.blobs()
        missing = sum(not machine.blobs.has(blob) for blob in blobs)
        fetching.append(timed(partial(machine.transfers.fetch, blobs))[1])
        # What publishing has left in memory is not for staging to write.
        os.sync()
        (_, seconds), read = reading(partial(timed, partial(machine.installation.stage, release, settings)))
        staging.append(seconds)
        os.sync()
        again.append(timed(partial(machine.installation.stage, renumbered(release, version), settings))[1])
        numbers.add((compiled, missing, round(read / 1e6)))
        before = release
    print(f"one package of {len(before.contents.wheels)} changed: wheels compiled, blobs fetched, MB read: {numbers}")
    print(row("  resolve, compile, store", publishing))
    print(row("  fetch", fetching))
    print(row("  stage", staging))
    print(row("  stage, unchanged", again))
    print(f"{'  ratio of the medians':<44}{statistics.median(staging) / statistics.median(again):8.2f}")


def renumbered(release: Release, number: int) -> Release:
    """The same contents once more, far above the numbers that the ledger gives: nothing has to be removed first."""
    return replace(release, number=release.number + 1000 + number)


def published(work: Path, requirements: list[str]) -> tuple[NodeAgent, Release, float]:
    store = work / "store"
    (store / "packages").mkdir(parents=True)
    (store / "config.yml").write_text("secretkey: abcdefghijklmnop\nda agent:\n  quiet period: 0\n")
    own_package(work, 1)
    (store / "packages" / "requirements.txt").write_text("".join(f"{line}\n" for line in requirements))
    variables = {"DA_AGENT_STORE": f"file://{store}", "DA_AGENT_ROOT": str(work / "node"), "DA_AGENT_NODE": "bench"}
    machine = NodeAgent({**os.environ, **variables})
    machine.prepare()
    verdict, seconds = timed(lambda: machine.publisher.publish("benchmark"))
    if verdict.release is None:
        raise SystemExit("\n".join(verdict.mistakes))
    return machine, machine.ledger.read(verdict.release), seconds


def own_package(work: Path, version: int) -> None:
    """A wheel with one module."""
    stem = f"da_bench-{version}"
    with zipfile.ZipFile(work / "store" / "packages" / OWN.format(version), "w") as archive:
        archive.writestr("da_bench.py", f"VERSION = {version}\n")
        archive.writestr(f"{stem}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: da-bench\nVersion: {version}\n")
        archive.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{stem}.dist-info/RECORD", "")


def reading(work: Callable[[], T]) -> tuple[T, int]:
    """Bytes read from files, by uv too: what is hashed again or copied shows here."""

    def read() -> int:
        return int(Path("/proc/self/io").read_text().split()[1])

    before = read()
    return work(), read() - before


def sync(into: Path, lock: Path, cache: Path) -> None:
    program, options = uv.find_uv_bin(), ["--quiet", "--no-config", "--system-certs", "--cache-dir", str(cache)]
    shutil.rmtree(into, ignore_errors=True)
    subprocess.run([program, "venv", "--python", PYTHON, str(into), *options], check=True)
    command = [program, "pip", "sync", "--link-mode", "hardlink", "--python", str(into / "bin" / "python"), str(lock)]
    subprocess.run([*command, *options], check=True)


def timed(work: Callable[[], T]) -> tuple[T, float]:
    began = time.monotonic()
    return work(), time.monotonic() - began


def row(title: str, seconds: list[float]) -> str:
    return f"{title:<44}{statistics.median(seconds):8.2f} s  ({min(seconds):.2f} to {max(seconds):.2f})"


if __name__ == "__main__":
    main()
