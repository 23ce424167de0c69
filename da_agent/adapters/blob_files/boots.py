"""Whether the machine has rebooted since its blobs were last verified."""

from pathlib import Path

from da_agent import files

BOOT = Path("/proc/sys/kernel/random/boot_id")


class BootMark:
    """A file that holds the boot id of the kernel that wrote it. Without a boot id, every check is a new boot."""

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
