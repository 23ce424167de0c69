"""Apaches that the agent did not start and that present certificates which it installed."""

import getopt
import os
from collections.abc import Collection, Iterator
from pathlib import Path

import psutil

from da_agent import processes
from da_agent.adapters.apache.processes import restart_gracefully
from da_agent.errors import NodeBroken

_NAMES = ("apache2", "httpd")
_OPTIONS = "D:C:c:d:e:E:f:k:hlLvVtTSMX"
_OF_CONFIGURATION = frozenset({"-D", "-C", "-c", "-d", "-f"})
_MODES = frozenset({"FOREGROUND", "NO_DETACH"})
_SECONDS = 10.0


def read_again(places: Collection[Path]) -> tuple[int, ...]:
    """Gracefully restart each Apache that reads certificates below `places`; returns their process ids.

    An Apache with an invalid configuration is left alone: the signal would end it.
    """
    told = []
    for apache in _apaches():
        try:
            certificates = _certificates(apache)
            if any(path.is_relative_to(place) for path in certificates for place in places):
                restart_gracefully(apache.pid)
                told.append(apache.pid)
        except (psutil.Error, NodeBroken, getopt.GetoptError, OSError):
            # The process has ended or cannot be inspected.
            continue
    return tuple(told)


def _apaches() -> Iterator[psutil.Process]:
    """Apaches of the agent's own user in the same mount namespace; those in containers see other files."""
    for process in psutil.process_iter():
        try:
            parent = process.parent()
            is_first = process.name() in _NAMES and (parent is None or parent.name() not in _NAMES)
            if is_first and process.uids().effective == os.geteuid() and _sees_our_files(process.pid):
                yield process
        except psutil.Error:
            continue


def _sees_our_files(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/ns/mnt").readlink() == Path("/proc/self/ns/mnt").readlink()
    except OSError:
        return False


def _certificates(apache: psutil.Process) -> tuple[Path, ...]:
    """The certificates that its configuration names, as Apache itself reads it; empty when that is invalid."""
    given, _ = getopt.getopt(apache.cmdline()[1:], _OPTIONS)
    kept = [
        word for name, value in given if name in _OF_CONFIGURATION and value not in _MODES for word in (name, value)
    ]
    command = (apache.exe(), *kept, "-t", "-D", "DUMP_CERTS")
    ended = processes.run(command, apache.environ(), folder=Path(apache.cwd()), patience=_SECONDS)
    return tuple(Path(line) for line in ended.lines if line.startswith("/")) if ended.well else ()
