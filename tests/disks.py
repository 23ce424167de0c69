"""Small file systems of their own."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Disk:
    """A small file system of its own, with a ballast file in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    @property
    def free(self) -> int:
        return shutil.disk_usage(self.path).free

    def leave(self, free: int) -> None:
        """Fill it up but for `free` bytes."""
        self.clear()
        rest = self.free - free
        assert rest >= 0, f"there are only {self.free} bytes"
        with self._ballast.open("wb") as file:
            while rest > 0:
                rest -= file.write(b"\0" * min(rest, 1 << 20))

    def clear(self) -> None:
        self._ballast.unlink(missing_ok=True)


@contextmanager
def disk(path: Path, size: int) -> Iterator[Disk]:
    """At most `size` bytes of memory, at `path`; needs root. Gone afterwards."""
    path.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", str(path)], check=True)
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
