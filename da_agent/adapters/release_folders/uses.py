"""The releases that running processes of this machine use."""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path

import psutil

Texts = Callable[[], Iterable[str]]


def used(releases: Path, staged_at: Mapping[str, float], group: int | None) -> set[str]:
    """Names of the releases below `releases` that a running process uses.

    A process uses a release when it has one of its files open, runs or maps one, has its working directory there, or
    has its path in an argument.

    The kernel may hide that (root in a container may not see the files of another user). Then a process of this user,
    or of the web user's `group`, counts as using the newest release that was staged before the process started.
    `staged_at` has these times, in seconds since the epoch. Processes of other users do not count.
    """
    roots = "|".join(re.escape(str(each)) for each in {releases, Path(os.path.realpath(releases))})
    name = re.compile(rf"(?:{roots})/(\d+)(?![^/:;,\s'\"])")
    found: set[str] = set()
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess):
            known, whole = _look(process, name)
            found |= known
            if not whole and not known and _concerns(process, group):
                before = [each for each, at in staged_at.items() if at <= process.create_time()]
                found |= set(sorted(before, key=int)[-1:])
    return found


def _look(process: psutil.Process, name: re.Pattern[str]) -> tuple[set[str], bool]:
    """The releases that `process` is seen to use, and whether the kernel answered every question about it."""
    ways: tuple[Texts, ...] = (
        process.cmdline,
        lambda: [process.cwd()],
        lambda: [each.path for each in process.open_files()],
        lambda: [_maps(process.pid)],
    )
    found, whole = set(), True
    for texts in ways:
        try:
            found |= set(chain.from_iterable(map(name.findall, texts())))
        except (psutil.NoSuchProcess, ProcessLookupError, FileNotFoundError):
            break
        except (psutil.Error, OSError):
            whole = False
    return found, whole


def _maps(pid: int) -> str:
    """The memory map as the kernel gives it. psutil would ask for sizes, too, and the kernel would count every page."""
    return Path(f"/proc/{pid}/maps").read_text(errors="replace")


def _concerns(process: psutil.Process, group: int | None) -> bool:
    """Whether `process` may belong to the node: the kernel shows the user and the group of any process."""
    with suppress(psutil.AccessDenied):
        if process.uids().real == os.geteuid() and not _is_kernels(process):
            return True
        return group is not None and process.gids().real == group
    return False


def _is_kernels(process: psutil.Process) -> bool:
    """Whether `process` is a kernel thread: these run as root and have no files."""
    return process.pid == 2 or process.ppid() == 2
