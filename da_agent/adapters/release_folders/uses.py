"""Which releases the processes of this machine use."""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path

import psutil

Texts = Callable[[], Iterable[str]]


def used(releases: Path, staged_at: Mapping[str, float], group: int | None) -> set[str]:
    """Names of the releases below `releases` that a running process uses: it has a file of one open, runs or maps one,
    stands in a folder of it, or was started with its path.

    Where the kernel does not let us look (a container's root has no right to see another user's files), a process of
    ours, or of the web user's `group`, is taken to use the release that was staged last before it began: that is the
    one it was started on. `staged_at` says when each was. Processes of others have no business there.
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
    """The releases that it says itself to use, and whether it could be looked at in every way."""
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
    """As the kernel tells it. psutil would ask for the sizes, too, for which every page is counted."""
    return Path(f"/proc/{pid}/maps").read_text(errors="replace")


def _concerns(process: psutil.Process, group: int | None) -> bool:
    """Whether it may be one of the node's; asked of the kernel, which tells everybody."""
    with suppress(psutil.AccessDenied):
        if process.uids().real == os.geteuid() and not _is_kernels(process):
            return True
        return group is not None and process.gids().real == group
    return False


def _is_kernels(process: psutil.Process) -> bool:
    """Threads of the kernel are root's, and have no files."""
    return process.pid == 2 or process.ppid() == 2
