"""The virtual environment without packages from which mod_wsgi takes its interpreter."""

import shutil
import subprocess
from pathlib import Path

from da_agent.adapters.apache import configurations
from da_agent.domain import texts
from da_agent.errors import NodeBroken


def make(base: Path, python: Path) -> None:
    """Make `base` a virtual environment of `python`; do nothing when it already is one.

    Raises NodeBroken when it cannot be made or its version is not that of mod_wsgi. May raise OSError.
    """
    if _facts(base).get("executable") == str(python.resolve()):
        return
    new = base.with_name(f"{base.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    made = subprocess.run(
        [str(python), "-m", "venv", "--without-pip", "--symlinks", str(new)],
        capture_output=True,
        text=True,
        umask=0o022,
        check=False,
    )
    if made.returncode != 0:
        last = "".join((made.stderr or made.stdout).strip().splitlines()[-1:])
        raise NodeBroken(
            f"cannot make {base} with {python}: {texts.reason(last)}; install the Debian package python3-venv"
        )
    version, wanted = _facts(new).get("version", ""), configurations.python_of_mod_wsgi()
    if wanted and not version.startswith(f"{wanted}."):
        raise NodeBroken(f"cannot run the application with {python}: it is Python {version}, mod_wsgi's is {wanted}")
    shutil.rmtree(base, ignore_errors=True)
    new.rename(base)


def _facts(environment: Path) -> dict[str, str]:
    """The keys and values of pyvenv.cfg; empty when there is no environment."""
    try:
        lines = (environment / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.partition("=") for line in lines)
    return {name.strip(): value.strip() for name, _, value in pairs}
