"""What the next release would do to the nodes, how many at a time, and for how long."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from math import ceil

from da_agent.domain.certificates import serving_pairs
from da_agent.domain.config import config_digest, configurations
from da_agent.domain.config.sections import OUR_SECTION
from da_agent.domain.config.settings import Settings
from da_agent.domain.config.strategies import Strategy
from da_agent.domain.release.releases import NO_WORKER, Contents, Disturbance
from da_agent.domain.rollout.rollouts import Rollout, State
from da_agent.domain.units import span

NEEDS = {
    Disturbance.RELOAD: "reload: new worker processes load the application and take over; no request is lost",
    Disturbance.RESTART: "graceful restart of the application's web server: requests longer than 3 s are cut",
    Disturbance.CERTIFICATES: "graceful restart of the web server for HTTPS; the application is not touched",
    Disturbance.HTTP: "graceful restart of the web server for HTTP; the application is not touched",
}


@dataclass(frozen=True, slots=True)
class RolloutPlan:
    """How a rollout would go through `live` nodes: the first `canary` one by one, then `at_a_time`.

    `capacity` is how many nodes serve at any moment. `shortest` and `longest` are equal where the pace was measured.
    `measured` is the release whose rollout gave the pace; None: the bounds come from the settings.
    """

    live: int
    canary: int
    at_a_time: int
    capacity: int
    shortest: timedelta
    longest: timedelta
    measured: int | None

    @property
    def duration(self) -> str:
        if self.measured is not None:
            return f"about {span(self.longest)}, at the pace of release {self.measured}"
        return f"from {span(self.shortest)} to {span(self.longest)}, by the settings: no rollout was measured yet"


def disturbances(before: tuple[Contents, bytes], after: tuple[Contents, bytes]) -> frozenset[Disturbance]:
    """What each node must do, from contents and configurations. A node with its own environment may have to do less."""
    (old, old_config), (new, new_config) = before, after
    was, is_ = _settings(old_config), _settings(new_config)
    pairs = {
        Disturbance.RELOAD: (_application(old, old_config, was), _application(new, new_config, is_)),
        Disturbance.RESTART: (_workers(was), _workers(is_)),
        Disturbance.CERTIFICATES: (_https(old, was), _https(new, is_)),
        Disturbance.HTTP: (_http(old, was), _http(new, is_)),
    }
    return frozenset(need for need, (one, other) in pairs.items() if one != other)


def wheels(contents: Contents) -> list[tuple[str, str]]:
    """Name and SHA-256 of each wheel: two applications with equal lists have the same packages."""
    return [(wheel.name, wheel.blob.sha256) for wheel in contents.wheels]


def presented(contents: Contents) -> list[tuple[str, str]]:
    """The certificate files that the web server reads, with their hashes. No program of ours reads the others."""
    pair = serving_pairs.pair(file.name for file in contents.certificates)
    if pair is None:
        return []
    names = (pair.certificate, pair.key, pair.chain)
    return sorted((file.name, file.blob.sha256) for file in contents.certificates if file.name in names)


def rollout_plan(
    strategy: Strategy,
    settings: Settings,
    live: Collection[str],
    needs: frozenset[Disturbance],
    last: Rollout | None,
) -> RolloutPlan:
    """The plan for `live` nodes. `last` is the newest stable rollout: the new rounds are taken to be as long as its
    rounds."""
    total = len(live)
    canary = min(strategy.canary, total)
    at_a_time = min(strategy.at_once(total), total) if total else 0
    # No node goes out of service where no worker process is touched.
    out = 0 if needs <= NO_WORKER else at_a_time
    count = rounds(strategy, total)
    pace = _pace(last)
    shortest, longest = (pace, pace) if pace is not None else (settings.health.minimum, settings.shortest_slot_timeout)
    measured = last.release if last is not None and pace is not None else None
    return RolloutPlan(total, canary, at_a_time, total - out, shortest * count, longest * count, measured)


def rounds(strategy: Strategy, total: int, *, skip_canary: bool = False) -> int:
    """How many rounds a rollout takes: in each, some nodes update while the others wait."""
    canary = 0 if skip_canary else min(strategy.canary, total)
    rest = total - canary
    return canary + (ceil(rest / strategy.at_once(total)) if rest else 0)


def _pace(last: Rollout | None) -> timedelta | None:
    """How long one round of `last` took; None when it tells nothing.

    The first release tells nothing: its nodes do not serve yet and wait for no other node.
    """
    if last is None or last.release == 1 or last.state is not State.STABLE or last.verdict is None or not last.updated:
        return None
    count = rounds(last.strategy, len(last.updated), skip_canary=last.skip_canary)
    return (last.verdict.at - last.opened_at) / count


def _workers(settings: Settings) -> object:
    return settings.processes, settings.threads, settings.visitors.body


def _http(contents: Contents, settings: Settings) -> object:
    return settings.visitors, settings.visitors.use_https and bool(presented(contents))


def _https(contents: Contents, settings: Settings) -> object:
    files = presented(contents)
    return files, settings.visitors if files else None


def _settings(config: bytes) -> Settings:
    return configurations.parse(config).settings


def _application(contents: Contents, config: bytes, settings: Settings) -> object:
    values = config_digest.digest(config, without=OUR_SECTION)
    return wheels(contents), settings.overlaps, values, settings.application
