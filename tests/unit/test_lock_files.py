"""The lock files of the agent's own dependencies suit setup.cfg."""

import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

TOP = Path(__file__).resolve().parents[2]
LOCKS = ("agent.txt", "dev.txt")
PYTHONS = {"Debian 12": "3.11", "Debian 13": "3.13"}


def locked(name: str) -> list[tuple[Requirement, int]]:
    """Each requirement of a lock file, and how many hashes it has."""
    text = (TOP / "requirements" / name).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(Requirement(line.split(" --hash=")[0]), line.count("--hash=sha256:")) for line in lines]


def wanted(extras: tuple[str, ...]) -> list[Requirement]:
    config = configparser.ConfigParser(inline_comment_prefixes=("#",))
    config.read(TOP / "setup.cfg")
    texts = [config["options"]["install_requires"], *(config["options.extras_require"][each] for each in extras)]
    return [Requirement(line) for text in texts for line in text.splitlines() if line]


def check(below: Path) -> "subprocess.CompletedProcess[str]":
    command = (sys.executable, below / "scripts" / "lock", "--check")
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_lock_files_were_made_from_the_requirements_of_today() -> None:
    done = check(TOP)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("file", ["setup.cfg", "pyproject.toml"])
def test_a_changed_requirement_asks_for_new_lock_files(tmp_path: Path, file: str) -> None:
    for name in ("scripts/lock", "setup.cfg", "pyproject.toml", *(f"requirements/{lock}" for lock in LOCKS)):
        copy = tmp_path / name
        copy.parent.mkdir(exist_ok=True)
        copy.write_text((TOP / name).read_text())
    assert check(tmp_path).returncode == 0
    changed = tmp_path / file
    changed.write_text(re.sub(r"(boto3|setuptools)>=", r"\1>", changed.read_text()))
    done = check(tmp_path)
    assert (done.returncode, "run scripts/lock" in done.stderr) == (1, True)


@pytest.mark.parametrize("lock", LOCKS)
def test_everything_locked_has_one_exact_version_and_its_hashes(lock: str) -> None:
    for requirement, hashes in locked(lock):
        assert re.fullmatch(r"==[\w.+!]+", str(requirement.specifier)), requirement
        assert hashes > 0, requirement


@pytest.mark.parametrize("python", PYTHONS.values(), ids=PYTHONS)
@pytest.mark.parametrize(("lock", "extras"), [("agent.txt", ()), ("dev.txt", ("dev",))])
def test_the_locked_versions_are_what_setup_cfg_requires(lock: str, extras: tuple[str, ...], python: str) -> None:
    environment = {"python_version": python, "python_full_version": f"{python}.0"}
    versions = {
        canonicalize_name(each.name): next(iter(each.specifier)).version
        for each, _ in locked(lock)
        if each.marker is None or each.marker.evaluate(environment)
    }
    for requirement in wanted(extras):
        assert versions[canonicalize_name(requirement.name)] in requirement.specifier, requirement


def test_an_admin_installs_the_versions_that_were_tested() -> None:
    tested = {str(each) for each, _ in locked("dev.txt")}
    assert {str(each) for each, _ in locked("agent.txt")} <= tested
