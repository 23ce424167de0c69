"""The loader finds its release once, whatever happens to the pin meanwhile."""

import runpy
import shutil
import sys
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """The root of a node with one release, whose live group is blue, without a pin."""
    (tmp_path / "releases" / "0000000001").mkdir(parents=True)
    (tmp_path / "agent" / "web").mkdir(parents=True)
    (tmp_path / "webapp").mkdir()
    shutil.copy(str(resources.files("da_agent") / "templates" / "docassemble.wsgi"), tmp_path / "webapp")
    return tmp_path


@pytest.fixture
def loader(node: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names of the loader as a process of the idle group has them."""
    monkeypatch.setitem(sys.modules, "mod_wsgi", SimpleNamespace(process_group="green"))
    return runpy.run_path(str(node / "webapp" / "docassemble.wsgi"), run_name="loader")


def test_a_pin_that_is_dropped_after_it_was_read_still_leads_to_its_release(node: Path, loader: dict[str, Any]) -> None:
    link = node / "agent" / "web" / "green"
    link.symlink_to(Path("../../releases/0000000001"))
    found = Path(loader["pin"]("green"))
    link.unlink()
    assert found == node / "releases" / "0000000001"
    assert loader["pin"]("green") is None


def test_without_a_pin_the_live_group_follows_the_switch(node: Path, loader: dict[str, Any]) -> None:
    (node / "agent" / "web" / "green").symlink_to(Path("../../releases/0000000009"))
    assert loader["pin"]("green") is None, "its release is not there"
    assert loader["pin"]("blue") == str(node / "current")
    assert loader["pin"]("") == str(node / "current")
