"""Whether this machine has been started anew since its blobs were last known to be right."""

from pathlib import Path

from da_agent import files

BOOT = Path("/proc/sys/kernel/random/boot_id")


class BootMark:
    """A file that says in which life of the machine it was written. A kernel that tells no life is always new."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def is_of_this_boot(self) -> bool:
        now = _boot()
        try:
            return now != "" and self._path.read_text(encoding="ascii") == now
        except (OSError, UnicodeDecodeError):
            return False

    def set(self) -> None:
        files.replace(self._path, _boot().encode())


def _boot() -> str:
    try:
        return BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return ""
