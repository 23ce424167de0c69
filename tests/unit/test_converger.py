"""A node on its way to a release, with the power cut before each effect."""

import copy
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from da_agent.domain.config.settings import Health, Settings
from da_agent.domain.node.decisions import MOST_ACTIONS
from da_agent.domain.node.node_states import NodeState, Probation
from da_agent.domain.node.reports import Phase
from da_agent.domain.release.releases import Release
from da_agent.domain.rollout import rollouts, slots
from da_agent.domain.rollout.rollouts import Note, Rollout, State
from da_agent.domain.store import keys
from da_agent.domain.store.blobs import Blob
from da_agent.errors import NodeBroken, Stopped, Unreachable
from da_agent.ports import Always
from da_agent.workflows.node.converger import Converger
from da_agent.workflows.node.rollout_client import RolloutClient
from tests import built, members
from tests.fake_nodes import (
    CutNodeStates,
    FakeInstallation,
    FakePrograms,
    FakeWeb,
    Killed,
    Power,
    put_configuration,
    release,
)
from tests.fakes import NOON, FakeClock, MemoryStore, NoDeadline

SETTINGS = Settings(
    start_timeout=timedelta(seconds=5), health=Health(minimum=timedelta(), patience=timedelta(seconds=1))
)


class Transfers:
    """Blobs are no matter here."""

    def fetch(self, blobs: object) -> None:
        pass

    def upload(self, bodies: object) -> None:
        pass

    def mend(self, blobs: object, find: object = None) -> frozenset[Blob]:
        return frozenset()


@dataclass
class NodeAgent:
    """What outlives an agent: the disk, the web server, the node state."""

    power: Power = field(default_factory=Power)
    store: MemoryStore = field(default_factory=MemoryStore)
    programs: FakePrograms = field(default_factory=FakePrograms)
    nonces: int = 0
    installation: FakeInstallation = field(init=False)
    web: FakeWeb = field(init=False)
    node_states: CutNodeStates = field(init=False)

    def __post_init__(self) -> None:
        self.installation = FakeInstallation(self.power)
        self.web = FakeWeb(self.installation, self.power)
        self.node_states = CutNodeStates(self.power)

    def agent(self, *offered: Release) -> Converger:
        return self.node(offered)

    def node(
        self,
        offered: Sequence[Release],
        place: Callable[[], object] = lambda: None,
        clock: FakeClock | None = None,
        settings: Settings = SETTINGS,
    ) -> Converger:
        """A new process of the agent, which has just read what the store says; nothing, when nothing is offered."""
        clock = clock or FakeClock()
        rollout_client = RolloutClient(
            self.store, built.rollouts(self.store, self.nonce), clock, "a", deadline=NoDeadline()
        )
        if offered:
            newest = max(offered, key=lambda each: each.number)
            put_configuration(self.store, newest)
            rollout_client.look(newest.number, newest, woken=True)
        made = members.node(
            installation=self.installation,
            node_states=self.node_states,
            transfers=Transfers(),
            web=self.web,
            rollout_client=rollout_client,
            clock=clock,
            programs=self.programs,
            settings=settings,
            place=place,
        )
        made.offer(*offered)
        return made

    def nonce(self) -> str:
        self.nonces += 1
        return str(self.nonces)

    def rollout(self, number: int) -> Rollout:
        found = built.rollouts(self.store, self.nonce).read(number)
        assert found is not None
        return found

    @property
    def served(self) -> set[int | None]:
        return set(self.web.workers_.values())


def serving(number: int) -> NodeAgent:
    machine = NodeAgent()
    machine.agent(release(number)).converge()
    assert machine.served == {number}
    machine.power.effects.clear()
    return machine


def test_an_empty_node_becomes_ready() -> None:
    machine = serving(1)
    assert machine.node_states.node_state == NodeState(live=1)


def test_converging_twice_changes_nothing_the_second_time() -> None:
    machine = serving(1)
    machine.agent(release(1)).converge()
    assert machine.power.effects == []


def test_a_node_that_is_behind_moves() -> None:
    machine = serving(1)
    machine.agent(release(2), release(1)).converge()
    assert machine.served == {2}
    assert machine.node_states.node_state == NodeState(live=2)


@pytest.mark.parametrize("minimum", [timedelta(), timedelta(milliseconds=100), timedelta(milliseconds=600)])
def test_a_release_is_watched_for_as_long_as_it_must_be_well_and_no_longer(minimum: timedelta) -> None:
    clock = FakeClock()
    machine = serving(1)
    settings = replace(SETTINGS, health=replace(SETTINGS.health, minimum=minimum))
    machine.node((release(2), release(1)), clock=clock, settings=settings).converge()
    assert machine.node_states.node_state == NodeState(live=2)
    assert sum(clock.waits, timedelta()) == minimum


def effects_of_a_converge() -> int:
    machine = serving(1)
    machine.agent(release(2)).converge()
    return len(machine.power.effects)


@pytest.mark.parametrize("cut", range(effects_of_a_converge()))
def test_killed_before_any_effect_a_node_serves_one_whole_release_and_gets_there_later(cut: int) -> None:
    machine = serving(1)
    machine.power.cut = cut
    with pytest.raises(Killed):
        machine.agent(release(2), release(1)).converge()
    assert machine.served in ({1}, {2})
    assert machine.installation.live in machine.installation.disk
    machine.agent(release(2), release(1)).converge()
    assert machine.served == {2}
    assert machine.node_states.node_state == NodeState(live=2)


def test_the_enumeration_of_effects_is_not_empty() -> None:
    assert effects_of_a_converge() >= 6


@pytest.mark.parametrize("cut", range(8))
def test_killed_before_any_effect_an_empty_node_gets_there_later(cut: int) -> None:
    machine = NodeAgent()
    machine.power.cut = cut
    try:
        machine.agent(release(1)).converge()
    except Killed:
        machine.agent(release(1)).converge()
    assert machine.served == {1}


def test_a_probation_that_is_interrupted_twice_is_given_up() -> None:
    machine = serving(1)
    for _ in range(2):
        machine.power.cut = _last(machine, "switch")
        machine.power.effects.clear()
        with pytest.raises(Killed):
            machine.agent(release(2), release(1)).converge()
    machine.agent(release(2), release(1)).converge()
    assert machine.served == {1}
    assert machine.node_states.node_state is not None
    failure = machine.node_states.node_state.rejection(2)
    assert failure is not None
    assert "twice" in failure.reason


def _last(machine: NodeAgent, name: str) -> int:
    """The number of the last effect `name` of a converge from here to release 2, by trying it on a copy."""
    probation = copy.deepcopy(machine)
    probation.power.effects.clear()
    probation.agent(release(2), release(1)).converge()
    return len(probation.power.effects) - 1 - probation.power.effects[::-1].index(name)


@pytest.mark.parametrize("fault", ["bad", "unfit", "fails", "hangs"])
def test_a_bad_release_leaves_the_old_one_served_and_is_not_tried_again(fault: str) -> None:
    machine = serving(1)
    getattr(machine.installation if fault == "bad" else machine.web, fault).add(2)
    machine.agent(release(2), release(1)).converge()
    assert machine.served == {1}
    assert machine.installation.live == 1
    assert machine.node_states.node_state is not None
    assert machine.node_states.node_state.rejection(2) is not None
    machine.power.effects.clear()
    machine.agent(release(2), release(1)).converge()
    assert machine.power.effects == []


def test_a_release_that_cannot_be_rehearsed_never_disturbs_a_worker() -> None:
    machine = serving(1)
    before = machine.web.workers()
    machine.web.unfit.add(2)
    machine.agent(release(2), release(1)).converge()
    assert machine.web.workers() == before


def test_a_node_whose_only_release_does_not_start_says_so_and_does_not_spin() -> None:
    machine = NodeAgent()
    machine.web.fails.add(1)
    agent = machine.agent(release(1))
    for _ in range(3):
        with pytest.raises(NodeBroken, match="does not"):
            agent.converge()
    machine.web.fails.clear()
    agent.converge()
    assert machine.served == {1}


def test_a_damaged_release_that_is_served_is_left_alone() -> None:
    machine = serving(1)
    machine.installation.damaged.add(1)
    agent = machine.agent(release(1))
    assert agent.inspect() == "a file was changed"
    agent.converge()
    assert "stage" not in machine.power.effects
    assert machine.served == {1}


@pytest.mark.parametrize(("runs", "tries", "drains"), [(False, False, False), (True, False, True), (False, True, True)])
def test_a_node_that_has_left_in_order_is_open_to_visitors_before_it_serves_again(
    runs: bool, tries: bool, drains: bool
) -> None:
    """Only where nothing runs and nothing is tried out: what drains then is not about to change."""
    machine = serving(1)
    machine.web.up, machine.web.drains = runs, True
    machine.node_states.node_state = NodeState(live=1, probation=Probation(1, 2, NOON) if tries else None)
    machine.agent(release(1)).inspect()
    assert machine.web.draining() is drains


def test_a_damaged_release_that_cannot_be_staged_again_is_tried_once_and_then_started_as_it_is() -> None:
    machine = serving(1)
    machine.web.up, machine.web.workers_ = False, {}
    machine.installation.damaged.add(1)
    machine.installation.bad.add(1)
    agent = machine.agent(release(1))
    agent.inspect()
    agent.converge()
    assert machine.power.effects.count("stage") == 1
    assert machine.web.up


def test_a_refresh_that_failed_is_done_before_anybody_is_asked() -> None:
    machine = serving(1)
    agent = machine.agent(release(2))
    machine.web.stuck = True
    with pytest.raises(NodeBroken):
        agent.converge()
    assert machine.served == {1}
    machine.web.stuck = False
    agent.converge()
    assert machine.served == {2}
    assert machine.node_states.node_state == NodeState(live=2)


def test_a_node_whose_first_probation_went_wrong_says_so_no_longer_when_it_serves() -> None:
    machine = NodeAgent()
    machine.web.fails.add(1)
    with pytest.raises(NodeBroken):
        machine.agent(release(1)).converge()
    assert machine.node_states.node_state is not None
    assert machine.node_states.node_state.rejection(1) is not None
    machine.web.fails.clear()
    machine.agent(release(1)).converge()
    assert machine.node_states.node_state == NodeState(live=1)


def test_a_probation_that_another_process_began_is_not_settled_with_what_this_one_knows() -> None:
    machine = serving(1)
    agent = machine.agent(release(2))
    agent.converge()
    later = agent.node_state().begin(3, until=FakeClock().now() + timedelta(seconds=60))
    machine.installation.disk[3] = release(3)
    machine.node_states.node_state = later
    machine.installation.live = 3
    assert not agent.observe().conducts


def test_a_damaged_release_is_staged_again_from_the_store() -> None:
    machine = serving(1)
    machine.web.up, machine.web.workers_ = False, {}
    machine.installation.damaged.add(1)
    agent = machine.agent(release(1))
    assert agent.inspect() is not None
    agent.converge()
    assert "stage" in machine.power.effects
    assert machine.installation.damaged == set()


def test_without_an_answer_from_the_store_the_last_stable_release_is_started() -> None:
    machine = serving(1)
    machine.web.up, machine.web.workers_ = False, {}
    machine.agent().converge()
    assert machine.served == {1}


def test_a_lost_node_state_is_rebuilt_from_the_disk() -> None:
    machine = serving(1)
    machine.node_states.node_state = None
    machine.agent(release(1)).converge()
    assert machine.node_states.node_state == NodeState(live=1)
    assert machine.served == {1}


def test_workers_of_an_old_release_outside_a_probation_are_replaced() -> None:
    machine = serving(1)
    machine.web.workers_ = {7: 0, 8: 1}
    agent = machine.agent(release(1))
    with pytest.raises(NodeBroken):
        agent.converge()
    agent.converge()
    assert machine.served == {1}


# ---- certificates where others look for them


class Followers:
    """Counts, and fails when it is told to."""

    def __init__(self, machine: NodeAgent) -> None:
        self.machine = machine
        self.followed: list[int | None] = []
        self.failing = False

    def follow(self) -> None:
        if self.failing:
            raise NodeBroken("cannot put the certificates into /var/www/.certs: read-only file system")
        self.followed.append(self.machine.installation.live)


def reconciler(machine: NodeAgent, followers: Followers, *offered: Release) -> Converger:
    return machine.node(offered, followers.follow)


def test_certificates_follow_each_switch_before_the_application_starts_and_once_in_each_process() -> None:
    machine = serving(1)
    followers = Followers(machine)
    node = reconciler(machine, followers, release(2), release(1))

    def serve(number: int, patience: timedelta, approve: Callable[[], object] = lambda: None) -> None:
        followers.followed.append(None)
        FakeWeb.serve(machine.web, number, patience, approve)

    machine.web.serve = serve  # type: ignore[method-assign]
    node.converge()
    node.converge()
    assert followers.followed == [2, None]
    reconciler(machine, followers, release(2)).converge()
    assert followers.followed == [2, None, 2]


def test_a_release_that_is_taken_back_takes_its_certificates_back() -> None:
    machine = serving(1)
    followers = Followers(machine)
    machine.web.fails.add(2)
    reconciler(machine, followers, release(2), release(1)).converge()
    assert followers.followed == [2, 1]


def test_certificates_that_cannot_follow_are_said_each_time_and_stop_nothing() -> None:
    machine = serving(1)
    followers = Followers(machine)
    followers.failing = True
    node = reconciler(machine, followers, release(2), release(1))
    for _ in range(2):
        with pytest.raises(NodeBroken, match="read-only"):
            node.converge()
        assert machine.served == {2}
        assert machine.node_states.node_state == NodeState(live=2)
    followers.failing = False
    node.converge()
    assert followers.followed == [2]


def test_a_release_that_does_not_fit_on_the_disk_is_neither_begun_nor_given_up_and_is_taken_later() -> None:
    machine = serving(1)
    machine.installation.full = "cannot stage release 2: the disk is full"
    agent = machine.agent(release(2), release(1))
    with pytest.raises(NodeBroken, match="the disk is full"):
        agent.converge()
    assert machine.power.effects == []
    assert machine.served == {1}
    machine.installation.full = None
    agent.converge()
    assert machine.served == {2}
    assert machine.node_states.node_state == NodeState(live=2)


class SleepyJournals(CutNodeStates):
    """The machine is suspended once, while a probation is written down."""

    asleep: Callable[[], object] | None = None

    def save(self, node_state: NodeState) -> None:
        super().save(node_state)
        if node_state.probation is not None and self.asleep is not None:
            self.asleep()
            self.asleep = None


def test_a_release_that_is_taken_back_while_the_store_is_away_is_not_tried_again_for_an_old_pardon() -> None:
    machine = serving(1)
    machine.web.fails.add(2)
    machine.agent(release(2), release(1)).converge()
    retry = Note("admin", NOON, "the database is back")
    built.rollouts(machine.store, machine.nonce).change(2, lambda record, *_: rollouts.retry(record, retry))
    machine.power.on["warm"] = lambda: setattr(machine.store, "failing", Unreachable("no answer"))
    machine.agent(release(2), release(1)).converge()
    assert machine.served == {1}
    assert machine.node_states.node_state is not None
    failure = machine.node_states.node_state.rejection(2)
    assert failure is not None
    assert failure.retries == 1


@pytest.mark.parametrize("minutes", [0, 10])
def test_a_machine_that_stood_still_before_its_switch_gives_its_slot_up(minutes: int) -> None:
    machine = serving(1)
    machine.node_states = node_states = SleepyJournals(machine.power, machine.node_states.node_state)
    node = machine.agent(release(2), release(1))
    clock = node._clock
    since: list[timedelta] = []
    assert isinstance(clock, FakeClock)

    def sleep() -> None:
        """Its own clock does not show it; the store's does, and that of the machine's life."""
        clock.time += timedelta(minutes=minutes)
        clock.skew -= timedelta(minutes=minutes)
        machine.store.now += timedelta(minutes=minutes)

    def note() -> None:
        since.extend(slot.since - NOON for slot in machine.rollout(2).slots)

    node_states.asleep = sleep
    machine.power.on["switch"] = note
    node.converge()
    assert (machine.served, machine.node_states.node_state) == ({2}, NodeState(live=2))
    assert since == [timedelta(minutes=minutes)], "one switch, in a turn that was claimed afterwards"


def test_a_probation_goes_on_to_its_end_while_the_store_is_away() -> None:
    machine = serving(1)
    node = machine.agent(release(2), release(1))
    machine.power.on["flip"] = lambda: setattr(machine.store, "failing", Unreachable("no answer"))
    with suppress(Unreachable):
        node.converge()
    assert machine.served == {2}
    assert machine.node_states.node_state == NodeState(live=2)
    machine.store.failing = None
    machine.agent(release(2), release(1)).converge()
    assert machine.rollout(2).state is State.STABLE


@pytest.mark.parametrize("fault", ["page", "program"])
def test_a_node_that_is_not_well_on_the_old_release_either_says_so_and_condemns_nothing(fault: str) -> None:
    machine, clock = serving(1), FakeClock()
    if fault == "page":
        machine.web.status = 500
    else:
        machine.programs.broken = ("celery",)
    node = machine.node((release(2), release(1)), clock=clock)
    with pytest.raises(NodeBroken, match="unhealthy on release 1, too"):
        node.converge()
    record = machine.rollout(2)
    assert (machine.served, record.state, record.failures) == ({1}, State.OPEN, ())
    assert [note.by for note in record.unhealthy] == ["a"]
    machine.web.status, machine.programs.broken = 200, ()
    clock.time += timedelta(seconds=61)
    machine.node((release(2), release(1)), clock=clock).converge()
    assert (machine.served, machine.rollout(2).state) == ({2}, State.STABLE)


@pytest.mark.parametrize("drain", [10, 3600])
def test_no_drain_outlasts_its_turn(drain: int) -> None:
    machine, clock = serving(1), FakeClock()
    machine.store.write(keys.node_key("b"), b"{}", Always())
    machine.web.busy = 1
    began: list[timedelta] = []
    machine.power.on["drain"] = lambda: began.append(clock.elapsed())
    machine.power.on["switch"] = lambda: began.append(clock.elapsed())
    settings = replace(SETTINGS, drain=timedelta(seconds=drain))
    machine.node((release(2), release(1)), clock=clock, settings=settings).converge()
    longest = (machine.rollout(2).strategy.slot_timeout - settings.there_and_back - 2 * slots.SLACK).total_seconds()
    away = (began[1] - began[0]).total_seconds()
    assert away == pytest.approx(min(drain, longest), abs=0.2)


def draining(machine: NodeAgent, clock: FakeClock, then: Callable[[], object]) -> Converger:
    """A node that has to wait for a request, with another one there; `then` happens while it does."""
    machine.store.write(keys.node_key("b"), b"{}", Always())
    machine.web.busy = 1

    def wait(_: int) -> None:
        if machine.web.draining():
            machine.web.busy = 0
            then()

    clock.on_wait = wait
    return machine.node((release(2), release(1)), clock=clock)


def test_an_agent_that_is_stopped_while_its_node_drains_gives_the_slot_back_and_lets_people_come() -> None:
    machine, clock = serving(1), FakeClock()
    node = draining(machine, clock, clock.stop)
    with pytest.raises(Stopped):
        node.converge()
    assert (machine.served, machine.web.draining(), machine.rollout(2).slots) == ({1}, False, ())


def test_a_pause_stops_a_node_that_drains_and_afterwards_it_goes_on() -> None:
    machine, clock = serving(1), FakeClock()
    admin = Note("admin", NOON, "maintenance")
    records = built.rollouts(machine.store, machine.nonce)
    node = draining(machine, clock, lambda: records.change(2, lambda record, *_: rollouts.pause(record, admin)))
    node.converge()
    assert (machine.served, machine.web.draining(), machine.rollout(2).slots) == ({1}, False, ())
    assert node.waiting == "paused by admin: maintenance"
    records.change(2, lambda record, *_: rollouts.resume(record, admin))
    machine.node((release(2), release(1)), clock=clock).converge()
    assert machine.served == {2}


def test_a_node_to_which_the_store_answers_too_slowly_for_a_slot_is_at_fault_itself() -> None:
    machine, clock = serving(1), FakeClock()
    claims: list[str] = []

    def take_long(key: str) -> None:
        if key == keys.rollout_key(2):
            claims.append(key)
            clock.time += timedelta(minutes=5)
            machine.store.now += timedelta(minutes=5)

    machine.store.before_write = take_long
    machine.power.on["switch"] = lambda: claims.append("switched")
    with pytest.raises(NodeBroken, match="the store answers too slowly"):
        machine.node((release(2), release(1)), clock=clock).converge()
    record = machine.rollout(2)
    assert (machine.served, machine.web.draining()) == ({1}, False)
    assert (record.slots, record.failures, [note.by for note in record.unhealthy]) == ((), (), ["a"])
    assert claims == 6 * [keys.rollout_key(2)], "opened, claimed four times, and told"


@pytest.mark.parametrize("stop", ["quarantined", "closed"])
def test_a_release_that_is_stopped_while_a_node_drains_is_not_switched_to(stop: str) -> None:
    machine = serving(1)
    machine.store.write(keys.node_key("b"), b"{}", Always())
    switched: list[int | None] = []

    def stopped(record: rollouts.Rollout, *_: object) -> rollouts.Rollout:
        return replace(record, state=State.QUARANTINED) if stop == "quarantined" else replace(record, closed=True)

    machine.power.on["drain"] = lambda: built.rollouts(machine.store, machine.nonce).change(2, stopped)
    machine.power.on["switch"] = lambda: switched.append(machine.installation.live)
    node = machine.agent(release(2), release(1))
    node.converge()
    assert (machine.served, switched, machine.web.draining()) == ({1}, [], False)
    assert machine.node_states.node_state == NodeState(live=1)


def test_a_release_that_makes_a_supervised_program_fail_is_to_blame_and_the_way_back_revives_the_program() -> None:
    machine = serving(1)
    machine.programs.fails = lambda: ("celery",) if machine.installation.live == 2 else ()
    machine.agent(release(2), release(1)).converge()
    record = machine.rollout(2)
    assert (machine.served, record.state, machine.programs.failed()) == ({1}, State.QUARANTINED, ())
    assert "supervisor cannot keep these programs running: celery" in record.failures[0].reason
    assert record.unhealthy == ()


def test_a_better_release_is_not_blamed_for_a_program_that_the_one_before_had_made_fail() -> None:
    machine = serving(1)
    machine.programs.fails = lambda: ("celery",) if machine.installation.live == 1 else ()
    assert machine.programs.failed() == ("celery",)
    machine.agent(release(2), release(1)).converge()
    assert (machine.served, machine.rollout(2).state, machine.programs.failed()) == ({2}, State.STABLE, ())


def quarantine(machine: NodeAgent, number: int) -> None:
    """By those who have tried it elsewhere."""
    built.rollouts(machine.store, machine.nonce).change(
        number, lambda record, *_: replace(record, state=State.QUARANTINED, closed=False)
    )


@pytest.mark.parametrize("effect", ["switch", "warm", "flip", "relieve"])
def test_killed_on_its_way_back_a_node_is_never_led_to_the_quarantined_release_again(effect: str) -> None:
    machine = serving(1)
    machine.agent(release(2), release(1)).converge()
    quarantine(machine, 2)
    switched: list[int | None] = []

    def kill() -> None:
        machine.power.on[effect] = lambda: None
        raise Killed(effect)

    machine.power.on[effect] = kill
    with suppress(Killed):
        machine.agent(release(2), release(1)).converge()
    machine.power.on["relieve"] = lambda: switched.append(machine.installation.live)
    machine.power.on["node_state"] = lambda: switched.append(machine.installation.live)
    machine.agent(release(2), release(1)).converge()
    assert (machine.served, machine.installation.live) == ({1}, 1)
    assert switched[0] == (2 if effect == "switch" else 1)
    assert 2 not in switched[2:]
    node_state = machine.node_states.node_state
    assert node_state is not None
    assert (node_state.live, node_state.probation) == (1, None)


def test_the_way_back_that_an_older_agent_began_does_not_lead_to_the_quarantined_release() -> None:
    machine = serving(1)
    machine.agent(release(2), release(1)).converge()
    quarantine(machine, 2)
    # It was killed behind the flip.
    machine.installation.live = machine.web.pin = 1
    machine.web._fresh()
    machine.node_states.node_state = NodeState(live=2, probation=Probation(1, 2, NOON))
    machine.power.effects.clear()
    machine.power.on["flip"] = lambda: machine.power.effects.append(f"to {machine.installation.live}")
    machine.agent(release(2), release(1)).converge()
    assert machine.served == {1}
    assert "to 2" not in machine.power.effects


def test_a_release_that_is_quarantined_while_it_is_loaded_serves_nobody_and_is_not_blamed_once_more() -> None:
    machine = serving(1)
    machine.power.on["warm"] = lambda: quarantine(machine, 2)
    machine.agent(release(2), release(1)).converge()
    assert (machine.served, machine.installation.live) == ({1}, 1)
    assert "flip" not in machine.power.effects
    record = machine.rollout(2)
    assert (record.state, record.failures, record.slots) == (State.QUARANTINED, (), ())


@pytest.mark.parametrize("minutes", [-10, 10])
def test_a_clock_that_is_set_makes_no_probation_longer_or_shorter(minutes: int) -> None:
    machine, clock = serving(1), FakeClock()
    statuses = iter([500, 200])
    machine.power.on["switch"] = lambda: setattr(clock, "skew", timedelta(minutes=minutes))
    machine.power.on["relieve"] = lambda: setattr(machine.web, "status", next(statuses))
    began = clock.elapsed()
    machine.node((release(2), release(1)), clock=clock).converge()
    assert machine.served == {1}
    patience = SETTINGS.health.patience
    assert patience <= clock.elapsed() - began < patience + timedelta(seconds=2)


def test_a_machine_that_stood_still_in_the_probation_of_a_good_release_asks_once_more() -> None:
    machine, clock = serving(1), FakeClock()
    machine.power.on["relieve"] = lambda: setattr(clock, "time", clock.time + timedelta(minutes=5))
    machine.node((release(2), release(1)), clock=clock).converge()
    assert machine.served == {2}
    assert machine.rollout(2).failures == ()


def test_a_machine_that_stood_still_while_a_page_was_asked_for_asks_once_more() -> None:
    machine, clock = serving(1), FakeClock()

    statuses = iter([500])

    def page() -> None:
        machine.web.status = next(statuses, 200)
        if machine.web.status == 500:
            clock.time += timedelta(minutes=5)

    machine.power.on["page"] = page
    machine.node((release(2), release(1)), clock=clock).converge()
    assert (machine.served, machine.rollout(2).failures) == ({2}, ())


# ---- releases that leave the worker processes alone

PATIENT = replace(
    SETTINGS, start_timeout=timedelta(seconds=120), health=replace(SETTINGS.health, patience=timedelta(seconds=5))
)
ALIKE = release(2, release(1).contents)
"""The worker processes notice no difference between this release and release 1."""


@pytest.mark.parametrize("fault", ["page", "program", "command"])
@pytest.mark.parametrize("second", [ALIKE, release(2)])
def test_the_health_timeout_holds_from_the_switch_on_whatever_the_release_changes(fault: str, second: Release) -> None:
    machine, clock = serving(1), FakeClock()
    settings = replace(PATIENT, health=replace(PATIENT.health, command="check"))
    switches: list[timedelta] = []

    def switch() -> None:
        switches.append(clock.elapsed())
        bad = machine.installation.live != 2
        machine.web.status = 500 if bad and fault == "page" else 200
        machine.programs.broken = ("celery",) if bad and fault == "program" else ()
        machine.programs.failures = {"check": "fails"} if bad and fault == "command" else {}

    machine.power.on["switch"] = switch
    machine.node((second, release(1)), clock=clock, settings=settings).converge()
    there, back = switches
    assert PATIENT.health.patience <= back - there < PATIENT.health.patience + timedelta(seconds=2)
    assert (machine.served, machine.rollout(2).state) == ({1}, State.QUARANTINED)


def again(node: Converger, clock: FakeClock, times: int = 1) -> None:
    """Converge, and some seconds later once more, as an agent does that cannot go on."""
    for _ in range(times):
        with suppress(NodeBroken):
            node.converge()
        clock.time += timedelta(seconds=4)


def test_a_release_whose_certificates_cannot_be_presented_is_taken_back_and_blamed() -> None:
    machine, clock = serving(1), FakeClock()
    machine.web.unpresentable.add(2)
    node = machine.node((ALIKE, release(1)), clock=clock, settings=PATIENT)
    again(node, clock)
    assert (machine.installation.live, machine.rollout(2).unhealthy) == (2, ()), "it may be mended by another attempt"
    again(node, clock, 2)
    record = machine.rollout(2)
    assert (machine.installation.live, machine.web.pin, record.state) == (1, 1, State.QUARANTINED)
    assert [failure.reason for failure in record.failures] == ["port 443 does not present the certificate"]
    assert record.unhealthy == ()


def test_a_probation_in_which_the_web_server_is_refreshed_in_vain_ends_at_its_deadline_too() -> None:
    machine, clock = serving(1), FakeClock()
    machine.web.unpresentable.add(2)
    health = replace(PATIENT.health, patience=timedelta(hours=1))
    settings = replace(PATIENT, start_timeout=timedelta(), health=health)
    node = machine.node((ALIKE, release(1)), clock=clock, settings=settings)
    again(node, clock)
    clock.time += timedelta(hours=1)
    again(node, clock)
    assert (machine.installation.live, machine.node_states.node_state and machine.node_states.node_state.probation) == (
        1,
        None,
    )


@pytest.mark.parametrize("restarted", [False, True])
def test_a_way_back_that_fails_is_taken_again_and_the_release_is_not_tried_again(restarted: bool) -> None:
    machine, clock = serving(1), FakeClock()
    machine.web.unpresentable |= {1, 2}
    node = machine.node((ALIKE, release(1)), clock=clock, settings=PATIENT)
    again(node, clock, 3)
    assert machine.installation.live == 1
    machine.web.unpresentable.remove(1)
    machine.power.on["switch"] = lambda: switched.append(machine.installation.live)
    switched: list[int | None] = []
    if restarted:
        node = machine.node((ALIKE, release(1)), clock=clock, settings=PATIENT)
    again(node, clock)
    node_state = machine.node_states.node_state
    assert node_state is not None
    assert (node_state.live, node_state.probation, machine.web.pin, 2 in switched) == (1, None, 1, False)
    assert machine.rollout(2).state is State.QUARANTINED


def test_a_release_under_which_the_web_server_ends_is_taken_back_although_it_was_healthy_before() -> None:
    machine, clock = serving(1), FakeClock()

    def end() -> None:
        machine.web.up, machine.web.workers_ = False, {}
        machine.power.on["start"] = fail

    def fail() -> None:
        if machine.installation.live == 2:
            raise NodeBroken("cannot start the web server")

    settings = replace(PATIENT, health=replace(PATIENT.health, minimum=timedelta(seconds=60)))
    clock.on_wait = lambda _: end() if machine.installation.live == 2 and machine.web.up else None
    node = machine.node((ALIKE, release(1)), clock=clock, settings=settings)
    again(node, clock, 60)
    node_state = machine.node_states.node_state
    assert node_state is not None
    assert (node_state.live, node_state.probation) == (1, None)


def bounded(machine: NodeAgent, clock: FakeClock, *, takes: timedelta = timedelta(seconds=1)) -> list[str]:
    """The rehearsals of a machine; each takes so long, and a hundred of them are too many."""
    rehearsals: list[str] = []

    def rehearsed() -> None:
        clock.wait(takes)
        rehearsals.append("rehearse")
        assert len(rehearsals) < 100, "the node rehearses for ever"

    machine.power.on["rehearse"] = rehearsed
    return rehearsals


def test_a_node_with_nothing_to_serve_rehearses_each_release_once_and_rests() -> None:
    machine, clock = NodeAgent(), FakeClock()
    machine.web.unfit = {1, 2}
    rehearsals = bounded(machine, clock)
    node = machine.node((release(2), release(1)), clock=clock)
    node.converge()
    node.converge()
    node.converge()
    assert (len(rehearsals), node.phase, node.hands_back) == (2, Phase.STOPPED, False)


@pytest.mark.parametrize("takes", [1, 70, 400])
def test_a_node_with_nothing_to_serve_hands_back_after_each_rejection_however_long_it_takes(takes: int) -> None:
    machine, clock = NodeAgent(), FakeClock()
    machine.web.unfit = {1, 2}
    rehearsals = bounded(machine, clock, takes=timedelta(seconds=takes))
    node = machine.node((release(2), release(1)), clock=clock)
    node.converge()
    assert (len(rehearsals), node.hands_back) == (1, True)
    assert node.waiting == "this node rejected release 1; looking for another release"


def test_a_node_that_has_rejected_all_it_knew_takes_the_release_that_comes() -> None:
    machine, clock = NodeAgent(), FakeClock()
    machine.web.unfit = {1, 2}
    bounded(machine, clock)
    node = machine.node((release(2), release(1)), clock=clock)
    node.converge()
    machine.node((release(3), release(2)), clock=clock).converge()
    machine.node((release(3), release(2)), clock=clock).converge()
    assert machine.served == {3}


def restless(number: int, clock: FakeClock) -> tuple[NodeAgent, list[timedelta]]:
    """A node whose web server ends as soon as it was started. Returns the moments of its starts as well."""
    machine = serving(number)
    starts: list[timedelta] = []

    def start() -> None:
        clock.time += timedelta(milliseconds=100)
        starts.append(clock.elapsed())

    machine.web.up, machine.web.workers_ = False, {}
    machine.web.start = start  # type: ignore[method-assign]
    return machine, starts


def test_a_node_that_never_comes_to_rest_hands_back_to_read_the_store_again() -> None:
    clock = FakeClock()
    machine, starts = restless(1, clock)
    node = machine.node((release(1),), clock=clock)
    for runs in (1, 2):
        node.converge()
        assert (len(starts), node.hands_back) == (runs * MOST_ACTIONS, True)
    assert node.waiting == f"not idle after {MOST_ACTIONS} actions; reading the store again"


def test_a_node_that_comes_to_rest_after_it_has_handed_back_waits_for_nothing() -> None:
    clock = FakeClock()
    machine, _ = restless(1, clock)
    node = machine.node((release(1),), clock=clock)
    node.converge()
    del machine.web.start
    node.converge()
    assert (machine.served, node.hands_back, node.waiting) == ({1}, False, None)


def test_a_probation_goes_on_to_its_end_however_many_actions_it_takes() -> None:
    clock = FakeClock()
    machine, starts = restless(1, clock)
    settings = replace(PATIENT, start_timeout=timedelta(seconds=120))
    node = machine.node((release(1),), clock=clock, settings=settings)
    machine.node_states.node_state, machine.installation.live = None, None
    with pytest.raises(NodeBroken, match="this node has no older release to go back to"):
        node.converge()
    assert starts[-1] - starts[0] >= settings.probation - timedelta(seconds=1)
    assert len(starts) > MOST_ACTIONS
