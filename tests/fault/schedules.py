"""Random schedules on real nodes: pushes, commands of admins and faults at random moments, drawn from a seed.

    python -m tests.fault.schedules [--first SEED] [--count 40] [--rate 200] [--nodes 4]

The same seed gives the same schedule; what it meets depends on the machine. Each schedule begins and ends with a whole
site. Not one visit may fail or be answered by a mixture, and nothing may be left behind.
"""

import argparse
import random
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace

import psutil

from da_agent.adapters.dev_clusters import DevNode
from tests import servers, shops
from tests.proxies import Fault as StoreFault
from tests.proxies import Proxy, proxy, status
from tests.sites import Site, site

LENGTH = 15.0
"""Seconds in which the events of a schedule begin."""

SETTINGS = {"max unavailable": 1, "canary": 1, "max failures": 0, "drain": 1, "slot timeout": 90, "health timeout": 5}

PUSHES = {
    "push": None,
    "push what cannot be imported": shops.IMPORT,
    "push what the web server cannot import": shops.IMPORT_IN_THE_WEB_SERVER,
    "push what answers 500": shops.ANSWERS_500,
}
COMMANDS = {
    "gc": ("gc",),
    "restart": ("restart", "--no-wait"),
    "retry": ("retry", "{bad}", "--reason", "a schedule"),
    "roll back": ("rollback", "--no-wait", "--reason", "a schedule"),
    "status": ("status",),
}
STORE_FAULTS = {
    "the store answers 503": status("503 Slow Down", "SlowDown"),
    "the store does, and its answers are lost": StoreFault(lost=True),
    "the store takes 2 s": StoreFault(delay=2.0),
}
OTHERS = ("configure", "hang a loop", "kill a loop", "pause", "the store refuses", "stop a node")
KINDS = (*PUSHES, *COMMANDS, *STORE_FAULTS, *OTHERS)


@dataclass(frozen=True, slots=True)
class Event:
    """`at` seconds after the schedule's begin; what ends by itself ends `seconds` later. `number` chooses the node."""

    at: float
    kind: str
    number: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.at:.1f} s: {self.kind} ({self.number}, for {self.seconds} s)"


def events_of(seed: int) -> tuple[Event, ...]:
    """A push, and three to seven events around it; at most one node is stopped, as an admin would do it."""
    chance = random.Random(seed)
    found = [Event(chance.uniform(0, 3), chance.choice(list(PUSHES)), 0, 0.0)]
    for _ in range(chance.randint(3, 7)):
        known = {event.kind for event in found}
        kind = chance.choice([kind for kind in KINDS if kind != "stop a node" or kind not in known])
        found.append(Event(chance.uniform(0, LENGTH), kind, chance.randint(0, 63), chance.choice([1.0, 3.0, 8.0])))
    return tuple(sorted(found, key=lambda event: event.at))


@dataclass
class Stage:
    """A site on S3 whose way to the store leads through `between`; admins use that way, too."""

    site: Site
    between: Proxy
    spoken: list[str] = field(default_factory=list)

    def play(self, seed: int, rate: float) -> None:
        """One schedule; AssertionError with the seed, the events and what the commands said."""
        events = events_of(seed)
        self.spoken.clear()
        lost = len(self.site.proxy.complaints())
        try:
            with self.site.crowd(rate) as crowd:
                self._meet(events)
                self._mend()
                release = self.site.push()
                self.site.until_whole(release, 300.0)
                crowd.wait_for(lambda visit: visit.kind == "long")
            assert [f"{visit}: {self.site.trace(visit)}" for visit in crowd.failures] == []
            assert self.site.proxy.complaints()[lost:] == []
            self._check_nothing_left(release)
        except AssertionError as error:
            story = "\n".join([f"schedule {seed}:", *map(str, events), *self.spoken])
            raise AssertionError(f"{error}\n{story}") from error

    def _meet(self, events: tuple[Event, ...]) -> None:
        """Begin each event at its time, whether or not those before have ended."""
        began = time.monotonic()
        with ThreadPoolExecutor(len(events)) as pool:
            running: list[Future[None]] = []
            for event in events:
                time.sleep(max(0.0, began + event.at - time.monotonic()))
                running.append(pool.submit(self._do, event))
            for each in running:
                each.result()

    def _do(self, event: Event) -> None:
        node = self.site.nodes[event.number % len(self.site.nodes)]
        if event.kind in PUSHES:
            self._say(event, self.site.try_to_push(fault=PUSHES[event.kind]))
        elif event.kind in COMMANDS:
            words = [word.format(bad=self.site.newest_quarantined() or 1) for word in COMMANDS[event.kind]]
            self._say(event, self.site.admin(*words))
        elif event.kind == "configure":
            settings = {**SETTINGS, "processes": 1 + event.number % 4}
            self._say(event, self.site.try_to_configure(settings))
        elif event.kind == "pause":
            self._say(event, self.site.admin("pause", "--reason", "a schedule"))
            time.sleep(event.seconds)
            self._say(event, self.site.admin("resume"))
        elif event.kind == "stop a node":
            node.stop()
            node.start()
        elif event.kind in ("hang a loop", "kill a loop"):
            # A node that is starting or stopping has none.
            with suppress(psutil.NoSuchProcess, StopIteration, AssertionError):
                _hurt(self.site.loop(node), event)
        else:
            self._hurt_store(event)

    def _say(self, event: Event, said: str) -> None:
        """A command may fail while the store does; it never ends with an error of its own."""
        self.spoken.append(f"{event.kind}: {said.strip()}")
        assert "Traceback" not in said, said

    def _hurt_store(self, event: Event) -> None:
        if event.kind == "the store refuses":
            self.between.refuse()
        else:
            fault = STORE_FAULTS[event.kind]
            self.between.choose = lambda request: fault
        time.sleep(event.seconds)
        self.between.mend()

    def _mend(self) -> None:
        """The store answers, every node runs, and nothing is paused."""
        self.between.mend()
        for node in self.site.nodes:
            node.start()
        self.site.admin("resume")

    def _check_nothing_left(self, release: int) -> None:
        others = [number for number in range(1, release) if self.site.served_by(number)]
        self.site.until(lambda: not any(map(self.site.served_by, others)))
        self.site.until(lambda: [litter for node in self.site.nodes for litter in _litter(node)] == [])


def _hurt(loop: psutil.Process, event: Event) -> None:
    if event.kind == "kill a loop":
        loop.kill()
        return
    loop.suspend()
    time.sleep(event.seconds)
    loop.resume()


def _litter(node: DevNode) -> list[str]:
    agent = node.root / "agent"
    return [str(path) for path in (*(agent / "scratch").iterdir(), *agent.glob(".*"), *node.root.glob(".*"))]


@contextmanager
def stage(nodes: int) -> Iterator[Stage]:
    with ExitStack() as stack:
        server = stack.enter_context(servers.ministack())
        between = stack.enter_context(proxy(server.endpoint_url))
        made = stack.enter_context(site(nodes, server=replace(server, endpoint_url=between.url), settings=SETTINGS))
        yield Stage(made, between)


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/schedules", description=__doc__)
    parser.add_argument("--first", type=int, default=0, metavar="SEED")
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--rate", type=float, default=200.0, help="visits a second")
    parser.add_argument("--nodes", type=int, default=4)
    chosen = parser.parse_args()
    failed = []
    with stage(chosen.nodes) as at:
        for seed in range(chosen.first, chosen.first + chosen.count):
            began = time.monotonic()
            try:
                at.play(seed, chosen.rate)
                outcome = "kept every promise"
            except AssertionError as error:
                failed.append(seed)
                outcome = f"FAILED: {error}"
            print(f"schedule {seed}: {outcome} ({time.monotonic() - began:.0f} s)", flush=True)
    sys.exit(f"failed: {failed}" if failed else 0)


if __name__ == "__main__":
    main()
