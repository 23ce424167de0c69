"""Whether the machine has rebooted since its blobs were last verified."""

from pathlib import Path

from da_agent import files

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class BootMark:
    """A file that holds the boot id of the kernel that wrote it. Without a boot id, every check is a new boot."""

    def __init__(self, path: Path, boot_id: Path) -> None:
        """`path` is the mark; the kernel's `boot_id` file holds the id of the current boot."""
        self._path = path
        self._boot_id = boot_id

    def is_of_this_boot(self) -> bool:
        now = self._boot()
        try:
            return now != "" and self._path.read_text(encoding="ascii") == now
        except (OSError, UnicodeDecodeError):
            return False

    def set(self) -> None:
        files.replace(self._path, self._boot().encode())

    def _boot(self) -> str:
        try:
            return self._boot_id.read_text(encoding="ascii").strip()
        except OSError:
            return ""
