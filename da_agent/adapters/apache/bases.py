"""The environment without packages that lends mod_wsgi its interpreter."""

import shutil
import subprocess
from pathlib import Path

from da_agent.adapters.apache import configurations
from da_agent.errors import NodeBroken


def make(base: Path, python: Path) -> None:
    """Afterwards `base` is an environment of `python`; one that is already is not touched. May raise OSError."""
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
        raise NodeBroken(f"cannot make {base} with {python}: {last}; install the Debian package python3-venv")
    version, wanted = _facts(new).get("version", ""), configurations.python_of_mod_wsgi()
    if wanted and not version.startswith(f"{wanted}."):
        raise NodeBroken(f"cannot run the application with {python}: it is Python {version}, mod_wsgi's is {wanted}")
    shutil.rmtree(base, ignore_errors=True)
    new.rename(base)


def _facts(environment: Path) -> dict[str, str]:
    """What pyvenv.cfg says; nothing when there is no environment."""
    try:
        lines = (environment / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.partition("=") for line in lines)
    return {name.strip(): value.strip() for name, _, value in pairs}
