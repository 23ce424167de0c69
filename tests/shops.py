"""The shop, an application as a wheel, in good and in bad versions."""

from collections.abc import Mapping
from pathlib import Path

from tests import packages
from tests.clusters_of_witnesses import APPLICATIONS

APPLICATION = "shop:application"
HEALTH = "/health"

IMPORT = "fails to import"
IMPORT_IN_THE_WEB_SERVER = "fails to import in the web server"
ANSWERS_500 = "answers 500"
LEAKS = "leaks"


def wheel(folder: Path, version: str, *, start: float = 0.0, fault: str | None = None) -> Path:
    """Version `version` of the shop, whose import takes `start` seconds. `fault` is one of those named above:

    IMPORT                      nobody can import it: a rehearsal finds out
    IMPORT_IN_THE_WEB_SERVER    a rehearsal passes, the worker processes fail
    ANSWERS_500                 it is imported, and every answer of its own is a 500
    LEAKS                       it serves well, but no process that has answered anything ever ends by itself
    """
    return packages.wheel(folder, "shop", version, modules(version, start=start, fault=fault))


def modules(version: str, *, start: float = 0.0, fault: str | None = None) -> Mapping[str, str]:
    """What the wheel contains, by name."""
    return {
        "shop": (APPLICATIONS / "shop.py").read_text(),
        "shop_ways": f"VERSION = {version!r}\nSTART = {start!r}\nFAULT = {fault!r}\n",
        "shop_late": f"VERSION = {version!r}\n",
    }
