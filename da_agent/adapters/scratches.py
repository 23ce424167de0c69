"""The folder for unfinished files, emptied while no process uses it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from da_agent import files
from da_agent.held_folders import UNFINISHED, held


@contextmanager
def _held(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


class Scratch:
    """The folder for unfinished files. A process that uses it holds a shared lock until it ends."""

    def __init__(self, folder: Path) -> None:
        """`folder` must exist."""
        self._folder = folder
        self._descriptor: int | None = None

    def use(self) -> None:
        """Protect the folder from `sweep` until this process ends. Waits for a sweep in progress."""
        if self._descriptor is None:
            with files.on_this_node(f"use {self._folder}"):
                self._descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def sweep(self, *beside: Path) -> bool:
        """Empty the folder, and remove the unfinished files of killed processes in the folders `beside`.

        False, without a change, when a process uses the folder.
        """
        with files.on_this_node(f"sweep {self._folder}"), _held(self._folder) as descriptor:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            for leftovers in self._folder.iterdir():
                _remove(leftovers)
            for folder in beside:
                _remove_unfinished(folder)
            return True


def _remove(leftovers: Path) -> None:
    if leftovers.is_dir() and not leftovers.is_symlink():
        files.remove_tree(leftovers)
    else:
        leftovers.unlink(missing_ok=True)


def _remove_unfinished(folder: Path) -> None:
    with suppress(FileNotFoundError), held(folder) as there:
        for name in filter(UNFINISHED.fullmatch, there.names()):
            there.remove(name)
