"""An agent that kills itself right before the effect of its choice.

`python -m tests.fault.killings` loads all of the agent once, then forks a new one for every line that it reads: loading
takes longer than most of what an agent does.
"""

import builtins
import importlib
import io
import json
import os
import pkgutil
import signal
import subprocess
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

import da_agent
from da_agent.adapters.apache import servers
from da_agent.wiring import NodeAgent

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


class Moment(NamedTuple):
    """Right before an effect that is reached by `way` when as many as `earlier` were reached by the same one.

    A way is the names of our own functions on the stack, the outermost first, and the kind of the effect. A running
    number would not do: how often an agent asks for something that takes time is another matter each time.
    """

    way: tuple[str, ...]
    earlier: int


def moments(ways: Iterable[tuple[str, ...]]) -> list[Moment]:
    """All there are, in the order of the effects."""
    met = Counter[tuple[str, ...]]()
    found = []
    for way in ways:
        found.append(Moment(way, met[way]))
        met[way] += 1
    return found


def slots(ways: Iterable[tuple[str, ...]]) -> list[Moment]:
    """For every step of every way the moments before the first and before the last effect that it leads to.

    A step is a call of one of our functions by another, or an effect of some kind in one of them. What lies between
    two steps is thereby cut on both sides: "before the rename" and "after the rename, before anything else". Only
    repetitions of what is the same to the function itself and to its caller are not.
    """
    found = moments(ways)
    first: dict[tuple[str, str], Moment] = {}
    last: dict[tuple[str, str], Moment] = {}
    for moment in found:
        for step in zip(("", *moment.way), moment.way, strict=False):
            first.setdefault(step, moment)
            last[step] = moment
    wanted = {*first.values(), *last.values()}
    return [moment for moment in found if moment in wanted]


@dataclass(frozen=True, slots=True)
class Ended:
    """How an agent ended. `before` is the effect that it did not live to see; `ways` led to those that it had."""

    before: str | None
    problem: str | None = None
    ways: list[tuple[str, ...]] = field(default_factory=list)


class Countdown:
    """Counts the effects of this process and kills it before the one that is `fatal`: by its number, or the moment."""

    def __init__(self, fatal: int | Moment | None, report: Callable[[Ended], None]) -> None:
        self.ways: list[tuple[str, ...]] = []
        self._fatal = fatal
        self._report = report
        self._met = Counter[tuple[str, ...]]()
        # Killing is heard here too, in the middle of counting.
        self._lock = threading.RLock()
        self._armed = True

    def begin(self) -> None:
        """From now on. What is opened and what is started counts twice: before, and before it is written to or ends."""
        sys.addaudithook(self._hear)
        self._follow(builtins, "open", _opened, "write")
        self._follow(io, "open", _opened, "write")
        self._follow(os, "open", lambda path, flags, *_, **__: f"{path}" if flags & WRITING else None, "write")
        self._precede(os, "write", lambda descriptor, *_: f"to {descriptor}", "write more")
        self._precede(os, "pwrite", lambda descriptor, *_: f"to {descriptor}", "write more")
        self._follow(subprocess.Popen, "__init__", lambda _, arguments, *__, **___: _words(arguments), "await")

    def end(self) -> None:
        self._armed = False

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in AUDITED or (event == "open" and not isinstance(arguments[0], int) and arguments[2] & WRITING):
            self._count(event, _words(arguments))

    def _follow(self, place: Any, name: str, describe: Callable[..., str | None], kind: str) -> None:
        original = getattr(place, name)

        def followed(*arguments: Any, **named: Any) -> Any:
            result = original(*arguments, **named)
            effect = describe(*arguments, **named)
            if effect:
                self._count(kind, effect)
            return result

        setattr(place, name, followed)

    def _precede(self, place: Any, name: str, describe: Callable[..., str], kind: str) -> None:
        original = getattr(place, name)

        def preceded(*arguments: Any) -> Any:
            self._count(kind, describe(*arguments))
            return original(*arguments)

        setattr(place, name, preceded)

    def _count(self, kind: str, effect: str) -> None:
        with self._lock:
            if not self._armed:
                return
            way = (*_calls(), kind)
            if self._fatal in (len(self.ways), Moment(way, self._met[way])):
                self._armed = False
                self._report(Ended(f"{kind} {effect}, by {' > '.join(way)}"))
                os.kill(os.getpid(), signal.SIGKILL)
            self.ways.append(way)
            self._met[way] += 1


def _calls() -> tuple[str, ...]:
    """The functions of the agent that this thread is in, the outermost first."""
    names = []
    frame = sys._getframe(1)
    while frame.f_back is not None:
        frame = frame.f_back
        module = str(frame.f_globals.get("__name__"))
        if module.startswith("da_agent."):
            names.append(f"{module.removeprefix('da_agent.')}.{frame.f_code.co_qualname}")
    return tuple(reversed(names))


def _opened(file: Any, mode: str = "r", *_: Any, **__: Any) -> str | None:
    """None for a descriptor, whose file was opened before."""
    return f"{file}" if set(mode) & set("wax+") and not isinstance(file, int) else None


def _words(arguments: Any) -> str:
    return " ".join(map(str, arguments))[:200]


# ---- what is killed


def converge(machine: NodeAgent) -> str | None:
    """As `initialize` does: the way of a node that has just been started."""
    machine.prepare()
    machine.sweep()
    return machine.reconciler.until_serving()


def publish(machine: NodeAgent) -> str | None:
    machine.prepare()
    verdict = machine.publisher.publish("published by command")
    return "; ".join(verdict.mistakes) or None


JOBS = {"converge": converge, "publish": publish}


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

    def run(self, job: str, before: Moment | None = None) -> Ended:
        """Run `job` to its end, or until `before`."""
        assert self._process.stdin
        assert self._process.stdout
        wish = {"job": job, "before": before, "environment": self._environment}
        self._process.stdin.write(json.dumps(wish) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert answer["said"] is not None, "the agent has failed; its traceback is above"
        said = answer["said"]
        ended = Ended(said["before"], said["problem"], [tuple(way) for way in said["ways"]])
        assert answer["status"] == (0 if ended.before is None else signal.SIGKILL), ended
        return ended


def main() -> None:
    for module in pkgutil.walk_packages(da_agent.__path__, "da_agent."):
        if module.name != "da_agent.__main__":
            importlib.import_module(module.name)
    # Nobody visits these nodes while they change.
    servers.MOMENT = 0.03
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

        machine = NodeAgent(wish["environment"])
        fatal = None if wish["before"] is None else Moment(tuple(wish["before"][0]), wish["before"][1])
        countdown = Countdown(fatal, report)
        countdown.begin()
        problem = JOBS[wish["job"]](machine)
        countdown.end()
        report(Ended(None, problem, countdown.ways))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()
