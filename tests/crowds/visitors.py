"""Visitors who come when their time has come, whatever becomes of the others."""

import asyncio
import itertools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.crowds.exchanges import Answer, Connection, Cut
from tests.crowds.visits import LONG, Visit

PATIENCE = 60.0
"""Seconds that a visitor waits for a complete answer."""

AT_ONCE = 0.5
"""Seconds within which a kept connection turns out to have been closed while it was idle: a server's time-out and the
question have crossed. Whoever hears nothing for longer has been listened to, and is a visitor who was let down."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`rate` visits a second; besides, one visit of `long` seconds begins every `long_every` seconds."""

    host: str
    port: int
    rate: float
    long: float
    long_every: float


class Judge:
    """Knows what is a good answer. A process serves one release as long as it lives, all of it."""

    def __init__(self) -> None:
        self._releases: dict[str, tuple[int, str]] = {}

    def judge(self, visit: Visit, answer: Answer) -> Visit:
        visit = replace(visit, status=answer.status, node=answer.headers.get("x-node"))
        if answer.status != 200:
            return replace(visit, problem=f"status {answer.status}: {answer.body[:100]!r}")
        try:
            facts = json.loads(answer.body)
            release, version, late = int(facts["release"]), str(facts["version"]), facts["late"]
            process = str(facts["process"])
        except (ValueError, KeyError) as error:
            return replace(visit, problem=f"not what the application says: {error!r}")
        visit = replace(visit, release=release, version=version)
        if self._releases.setdefault(process, (release, version)) != (release, version):
            return replace(visit, problem=f"one process served {self._releases[process]} and {(release, version)}")
        if late is not None and late != [version, version]:
            return replace(visit, problem=f"version {version} imported {late}")
        return visit


class Visitors:
    """Every other one uses a connection that is kept; the rest come on new ones, and so do the long visits."""

    def __init__(self, plan: Plan, crowd: str, tell: Callable[[Visit], None]) -> None:
        """`crowd` is the first part of every visit's name."""
        self._plan = plan
        self._crowd = crowd
        self._tell = tell
        self._judge = Judge()
        self._numbers = itertools.count(1)
        self._kept: list[Connection] = []
        self._under_way: set[asyncio.Task[None]] = set()

    async def come(self, stopped: asyncio.Event) -> None:
        """Visit until `stopped`; returns when the last one has left."""
        beginning = time.monotonic()
        await asyncio.gather(self._come(beginning, stopped), self._come_long(beginning, stopped))
        await asyncio.gather(*self._under_way)
        for connection in self._kept:
            connection.close()

    async def _come(self, beginning: float, stopped: asyncio.Event) -> None:
        number = 0
        while not stopped.is_set():
            number += 1
            due = beginning + number / self._plan.rate
            await _until(due)
            self._begin("kept" if number % 2 else "new", "/?", due)

    async def _come_long(self, beginning: float, stopped: asyncio.Event) -> None:
        number = 0
        while not stopped.is_set():
            due = beginning + number * self._plan.long_every
            number += 1
            if due > time.monotonic():
                stopping = asyncio.create_task(stopped.wait())
                done, _ = await asyncio.wait([stopping], timeout=due - time.monotonic())
                stopping.cancel()
                if done:
                    return
            self._begin(LONG, f"/slow?seconds={self._plan.long}&", due)

    def _begin(self, kind: str, target: str, due: float) -> None:
        name = f"{self._crowd}-{next(self._numbers)}"
        task = asyncio.create_task(self._visit(name, kind, f"{target}visit={name}", due))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _visit(self, name: str, kind: str, target: str, due: float) -> None:
        began = time.monotonic()
        visit = Visit(name, kind, began, began - due, 0.0, None, None, None, None, None, None)
        try:
            async with asyncio.timeout(PATIENCE):
                answer, cut = await self._ask(target, keep=kind == "kept")
            visit = self._judge.judge(replace(visit, cut=cut), answer)
        except TimeoutError:
            visit = replace(visit, problem=f"no complete answer within {PATIENCE:.0f} s")
        except (Cut, ValueError, OSError, asyncio.LimitOverrunError) as error:
            visit = replace(visit, problem=f"{type(error).__name__}: {error}")
        self._tell(replace(visit, seconds=time.monotonic() - began))

    async def _ask(self, target: str, *, keep: bool) -> tuple[Answer, float | None]:
        """The answer, and when the connection was cut before, if it was."""
        cut_after = None
        if keep and self._kept:
            began = time.monotonic()
            try:
                return await self._exchange(self._kept.pop(), target, keep=True), None
            except Cut as cut:
                cut_after = time.monotonic() - began
                if not cut.unheard or cut_after > AT_ONCE:
                    raise
        plan = self._plan
        answer = await self._exchange(await Connection.make(plan.host, plan.port), target, keep=keep)
        return answer, cut_after

    async def _exchange(self, connection: Connection, target: str, *, keep: bool) -> Answer:
        try:
            answer = await connection.ask(target, keep=keep)
            if connection.open:
                self._kept.append(connection)
            return answer
        finally:
            if not connection.open:
                connection.close()


async def _until(due: float) -> None:
    await asyncio.sleep(max(0.0, due - time.monotonic()))
