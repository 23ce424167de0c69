"""An agent that kills itself right before the effect of its choice.

`python -m tests.fault.killings` loads the agent once, then forks a new one for every line that it reads: loading takes
longer than most of what an agent does.
"""

import builtins
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from da_agent.wiring import Machine

HERE = Path(__file__).parents[2]

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

AUDITED = frozenset(
    {
        "os.chmod",
        "os.chown",
        "os.exec",
        "os.fork",
        "os.forkpty",
        "os.kill",
        "os.killpg",
        "os.link",
        "os.mkdir",
        "os.posix_spawn",
        "os.remove",
        "os.removexattr",
        "os.rename",
        "os.rmdir",
        "os.setxattr",
        "os.symlink",
        "os.system",
        "os.truncate",
        "os.utime",
        "socket.bind",
        "socket.connect",
        "socket.sendto",
        "subprocess.Popen",
    }
)
"""Events of the interpreter that come right before something changes outside this process."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How an agent ended. `before` is the effect that it did not live to see; `effects` are those that it had."""

    before: str | None
    problem: str | None = None
    effects: list[str] = field(default_factory=list)


class Countdown:
    """Counts the effects of this process and kills it before the one with the number `fatal`."""

    def __init__(self, fatal: int | None, report: Callable[[Ended], None]) -> None:
        self.effects: list[str] = []
        self._fatal = fatal
        self._report = report
        self._numbers = itertools.count()
        # Killing is heard here too, in the middle of counting.
        self._lock = threading.RLock()
        self._armed = True

    def begin(self) -> None:
        """From now on. What is opened and what is started counts twice: before, and before it is written to or ends."""
        sys.addaudithook(self._hear)
        self._follow(builtins, "open", _opened)
        self._follow(io, "open", _opened)
        self._follow(os, "open", lambda path, flags, *_, **__: f"write to {path}" if flags & WRITING else None)
        self._precede(os, "write", lambda descriptor, *_: f"write more to {descriptor}")
        self._precede(os, "pwrite", lambda descriptor, *_: f"write more to {descriptor}")
        self._follow(subprocess.Popen, "__init__", lambda _, arguments, *__, **___: f"run {_words(arguments)}")

    def end(self) -> None:
        self._armed = False

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in AUDITED or (event == "open" and not isinstance(arguments[0], int) and arguments[2] & WRITING):
            self._count(f"{event} {_words(arguments)}")

    def _follow(self, place: Any, name: str, describe: Callable[..., str | None]) -> None:
        original = getattr(place, name)

        def followed(*arguments: Any, **named: Any) -> Any:
            result = original(*arguments, **named)
            effect = describe(*arguments, **named)
            if effect:
                self._count(effect)
            return result

        setattr(place, name, followed)

    def _precede(self, place: Any, name: str, describe: Callable[..., str]) -> None:
        original = getattr(place, name)

        def preceded(*arguments: Any) -> Any:
            self._count(describe(*arguments))
            return original(*arguments)

        setattr(place, name, preceded)

    def _count(self, effect: str) -> None:
        with self._lock:
            if not self._armed:
                return
            if next(self._numbers) == self._fatal:
                self._armed = False
                self._report(Ended(effect))
                os.kill(os.getpid(), signal.SIGKILL)
            self.effects.append(effect)


def _opened(file: Any, mode: str = "r", *_: Any, **__: Any) -> str | None:
    """None for a descriptor, whose file was opened before."""
    return f"write to {file}" if set(mode) & set("wax+") and not isinstance(file, int) else None


def _words(arguments: Any) -> str:
    return " ".join(map(str, arguments))[:200]


# ---- what is killed


def converge(machine: Machine) -> str | None:
    """As `initialize` does: the way of a node that has just been started."""
    machine.prepare()
    machine.sweep()
    return machine.follower.until_serving()


def adopt(machine: Machine) -> str | None:
    machine.prepare()
    verdict = machine.adoption.adopt("adopted by command")
    return "; ".join(verdict.mistakes) or None


JOBS = {"converge": converge, "adopt": adopt}


class Agents:
    """Starts agents on a node, one at a time, and tells how each ended."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__], cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def run(self, job: str, before: int | None = None) -> Ended:
        """Run `job` to its end, or until the effect with the number `before` is about to happen."""
        assert self._process.stdin
        assert self._process.stdout
        wish = {"job": job, "before": before, "environment": self._environment}
        self._process.stdin.write(json.dumps(wish) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert answer["said"] is not None, "the agent has failed; its traceback is above"
        ended = Ended(**answer["said"])
        assert answer["status"] == (0 if ended.before is None else signal.SIGKILL), ended
        return ended


def main() -> None:
    for line in sys.stdin:
        wish = json.loads(line)
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            _child(wish, writing)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            said = pipe.read()
        # Before it is reaped: what it has started in its own group ends with it, as when supervisor kills a program.
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        os.killpg(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(json.dumps({"status": status, "said": json.loads(said or b"null")}) + "\n")
        sys.stdout.flush()


def _child(wish: Mapping[str, Any], writing: int) -> None:
    try:
        os.setsid()
        os.set_inheritable(writing, False)
        write = os.write

        def report(ended: Ended) -> None:
            write(writing, json.dumps(asdict(ended)).encode())

        machine = Machine(wish["environment"])
        countdown = Countdown(wish["before"], report)
        countdown.begin()
        problem = JOBS[wish["job"]](machine)
        countdown.end()
        report(Ended(None, problem, countdown.effects))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()
