"""What a push would do, before anything is pushed."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from da_agent.domain.config.settings import Settings
from da_agent.domain.config.strategies import Share, Strategy
from da_agent.domain.release.releases import Contents, Disturbance
from da_agent.domain.rollout import plans, rollouts
from da_agent.domain.rollout.rollouts import Note, Rollout, State
from da_agent.domain.store.blobs import File, blob_of
from da_agent.errors import Invalid
from da_agent.workflows.publish import pushes
from da_agent.workflows.publish.drafts import Drafts
from tests import built
from tests.certificates import issue
from tests.fake_nodes import TARGET, FakeSnapshots, wheel
from tests.fakes import NOON, MemoryStore, SilentProgress
from tests.members import Member

CONFIG = b"title: a\n"
CERTIFICATES = {Disturbance.CERTIFICATES}
RELOAD = {Disturbance.RELOAD}


def contents(config: bytes, *packages: str, **certificates: bytes) -> tuple[Contents, bytes]:
    files = tuple(File(name.replace("_", "."), blob_of(data)) for name, data in certificates.items())
    return Contents(blob_of(config), files, (), TARGET, tuple(wheel(name) for name in packages)), config


BEFORE = contents(CONFIG, "six", apache_crt=b"c", apache_key=b"k")


@pytest.mark.parametrize(
    ("after", "needs"),
    [
        (BEFORE, set()),
        (contents(b"# again\ntitle: 'a'\n", "six", apache_crt=b"c", apache_key=b"k"), set()),
        (contents(b"title: b\n", "six", apache_crt=b"c", apache_key=b"k"), RELOAD),
        (contents(CONFIG, "six", "gift", apache_crt=b"c", apache_key=b"k"), RELOAD),
        (contents(CONFIG, "six", apache_crt=b"d", apache_key=b"k"), CERTIFICATES),
        (contents(CONFIG, "six", apache_crt=b"c", apache_key=b"k", other_pem=b"o"), set()),
        (contents(CONFIG, "six"), CERTIFICATES),
        (contents(CONFIG + b"da agent:\n  drain: 1\n", "six", apache_crt=b"c", apache_key=b"k"), set()),
        (
            contents(CONFIG + b"da agent:\n  threads: 9\n", "six", apache_crt=b"c", apache_key=b"k"),
            {Disturbance.RESTART},
        ),
        (contents(CONFIG + b"da agent:\n  application: a:b\n", "six", apache_crt=b"c", apache_key=b"k"), RELOAD),
    ],
)
def test_what_differs_decides_what_each_node_does(after: tuple[Contents, bytes], needs: set[Disturbance]) -> None:
    assert plans.disturbances(BEFORE, after) == needs


@pytest.mark.parametrize(
    ("strategy", "total", "rounds"),
    [
        (Strategy(), 4, 4),
        (Strategy(canary=0, max_unavailable=Share(2)), 5, 3),
        (Strategy(canary=1, max_unavailable=Share(50, True)), 5, 3),
        (Strategy(canary=9), 2, 2),
        (Strategy(), 0, 0),
    ],
)
def test_nodes_move_in_rounds(strategy: Strategy, total: int, rounds: int) -> None:
    assert plans.rounds(strategy, total) == rounds


def proven(seconds: int, nodes: int) -> Rollout:
    made = rollouts.opened(7, Strategy(), (), now=NOON)
    verdict = Note("the cluster", NOON + timedelta(seconds=seconds), "")
    return replace(made, state=State.STABLE, verdict=verdict, updated=tuple("abcdef"[:nodes]))


def test_the_last_rollout_gives_the_pace_of_the_next() -> None:
    found = plans.rollout_plan(Strategy(), Settings(), "abcd", frozenset(RELOAD), proven(60, 3))
    assert (found.live, found.at_a_time, found.canary, found.capacity) == (4, 1, 1, 3)
    assert found.duration == "about 1 min 20 s, at the pace of release 7"


def test_without_a_rollout_the_settings_give_the_bounds() -> None:
    found = plans.rollout_plan(Strategy(), Settings(), "ab", frozenset(RELOAD), None)
    assert found.duration == "from 4 s to 10 min 24 s, by the settings: no rollout was measured yet"


def test_what_touches_no_worker_process_takes_nobody_out_of_service() -> None:
    assert plans.rollout_plan(Strategy(), Settings(), "abcd", frozenset(CERTIFICATES), None).capacity == 4
    assert plans.rollout_plan(Strategy(), Settings(), "a", frozenset(RELOAD), None).capacity == 0


class Cluster:
    """One node that serves `title: a`, and an admin who plans."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.node = Member(self.store, "a")
        self.node.put("config.yml", CONFIG)
        for _ in range(2):
            self.node.reconciler.cycle()
        drafts = Drafts(
            snapshots=FakeSnapshots(self.store),
            resolver=self.node.resolver,
            progress=SilentProgress(),
            now=self.store.clock,
            trusted=tuple,
            handshake=lambda _: None,
        )
        self.plans = built.plans(self.store, drafts, built.rollouts(self.store, lambda: "n"))

    def tags(self) -> Mapping[str, str]:
        return {entry.key: entry.tag for entry in self.store.scan("")}


def test_a_plan_says_what_would_change_and_writes_nothing() -> None:
    cluster = Cluster()
    before = cluster.tags()
    found = cluster.plans.push(lambda _: pushes.config(b"title: b\n"))
    assert (found.before, found.release) == (1, 2)
    assert [str(change) for change in found.configuration] == ["~ title: a -> b"]
    assert found.needs[0].startswith("reload: ")
    assert found.rollout is not None
    assert found.rollout.measured is None, "the nodes of the first release waited for nobody"
    assert cluster.tags() == before


def test_a_plan_is_refused_with_the_mistakes_that_a_push_would_be_refused_with() -> None:
    cluster = Cluster()
    with pytest.raises(Invalid, match="line 2"):
        cluster.plans.push(lambda _: pushes.config(b"title: b\ntitle: c\n"))


def test_a_plan_of_what_is_there_already_says_that_nothing_would_change() -> None:
    cluster = Cluster()
    assert cluster.plans.push(lambda _: pushes.config(CONFIG)).release is None
    assert cluster.plans.publish().release is None


def test_a_plan_says_that_https_will_not_be_served_although_there_is_a_key() -> None:
    cluster, start = Cluster(), NOON - timedelta(days=1)
    made = issue(None, ["a.example.org"], start=start)
    web, other = {"docassemble.crt": made.pem, "docassemble.key": made.key}, {"tls.crt": made.pem, "tls.key": made.key}
    assert cluster.plans.push(lambda _: pushes.config(b"title: b\n")).why_no_https is None
    assert cluster.plans.push(lambda _: pushes.certificates({**web, **other})).why_no_https is None
    found = cluster.plans.push(lambda _: pushes.certificates(other))
    assert found.why_no_https is not None
    assert "has the key tls.key, but the web server uses only docassemble.crt" in found.why_no_https


def test_of_a_command_of_the_configuration_a_plan_shows_the_program_alone() -> None:
    cluster = Cluster()
    command = b"title: a\nda agent:\n  release command: [PGPASSWORD=hunter2 psql -f hunter2.sql]\n"
    found = cluster.plans.push(lambda _: pushes.config(command))
    assert found.release_command == ("psql …",)
    assert "hunter2" not in str(found)


def test_what_lies_in_the_inbox_is_planned_before_anybody_publishes_it() -> None:
    cluster = Cluster()
    cluster.node.put("config.yml", b"title: c\n")
    assert [str(change) for change in cluster.plans.publish().configuration] == ["~ title: a -> c"]
    cluster.node.put("config.yml", b"title: c\ntitle: d\n")
    cluster.node.reconciler.cycle()
    with pytest.raises(Invalid, match="line 2"):
        cluster.plans.publish()


def quarantined() -> Cluster:
    """Release 2 is quarantined; the node serves release 1."""
    cluster = Cluster()
    cluster.node.web.unfit.add(2)
    cluster.node.put("config.yml", b"title: b\n")
    for _ in range(3):
        cluster.node.reconciler.cycle()
    assert cluster.node.live == 1
    return cluster


def test_while_the_newest_release_is_quarantined_a_plan_compares_with_what_is_served() -> None:
    cluster = quarantined()
    found = cluster.plans.push(lambda _: pushes.config(b"title: b\n# again\n"))
    assert (found.before, found.release) == (1, 3)
    assert [str(change) for change in found.configuration] == ["~ title: a -> b"]
    assert found.needs[0].startswith("reload: ")
    assert found.quarantine is not None
    assert found.quarantine.startswith("release 2 is quarantined: a: ")
    assert found.quarantine.endswith("; the nodes serve release 1 or revert to it")


def test_a_plan_of_what_is_served_beside_a_quarantine_disturbs_nobody() -> None:
    found = quarantined().plans.push(lambda _: pushes.config(CONFIG))
    assert (found.before, found.release, found.configuration, found.needs) == (1, 3, (), ())


def test_a_plan_of_the_quarantined_release_says_that_it_is_quarantined() -> None:
    cluster = quarantined()
    for found in (cluster.plans.push(lambda _: pushes.config(b"title: b\n")), cluster.plans.publish()):
        assert (found.before, found.release) == (2, None)
        assert found.quarantine is not None
        assert "release 2 is quarantined" in found.quarantine


def test_the_first_release_of_a_cluster_can_be_planned() -> None:
    cluster = Cluster()
    for key in cluster.tags():
        cluster.store.delete(key)
    found = cluster.plans.push(lambda _: pushes.config(CONFIG))
    assert (found.before, found.release) == (0, 1)
    assert [str(change) for change in found.configuration] == ["+ title: a"]
