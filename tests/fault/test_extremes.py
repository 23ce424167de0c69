"""Slow stores, many processes, and logs that nobody can write any more, on real nodes under load."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from da_agent.adapters.dev_clusters import DevCluster
from tests.clusters_of_witnesses import create, folder, running, witness
from tests.disks import Disk, disk
from tests.fault.schedules import SETTINGS, stage
from tests.proxies import Fault
from tests.sites import Site, site

LATENCY = Fault(delay=2.0)


def check_unnoticed(on: Site) -> None:
    """A push reaches every node, and no visit fails."""
    with on.crowd(40.0) as crowd:
        on.until_whole(on.push(), 600.0)
    assert [f"{visit}: {on.trace(visit)}" for visit in crowd.failures] == []


@pytest.mark.timeout(3000)
def test_a_store_that_answers_after_two_seconds_delays_a_rollout_and_harms_nobody() -> None:
    with stage(2) as at:
        at.between.choose = lambda request: LATENCY
        check_unnoticed(at.site)


@pytest.mark.timeout(3000)
def test_a_node_with_sixty_four_processes_moves_like_any_other() -> None:
    patient = {"processes": 64, "start timeout": 300, "slot timeout": 900}
    with site(1, settings={**SETTINGS, **patient}) as at:
        check_unnoticed(at)


def write_configuration(made: DevCluster, greeting: str) -> None:
    store = Path(made.store.removeprefix("file://"))
    section = json.dumps({"quiet period": 0, "processes": 1, "poll interval": 1})
    (store / ".new").write_text(f"secretkey: abcdefghijklmnop\ngreeting: {greeting}\nda agent: {section}\n")
    (store / ".new").replace(store / "config.yml")


@pytest.fixture
def logs() -> Iterator[tuple[DevCluster, Disk]]:
    """A node that does not run yet, and the small disk on which its logs lie."""
    with folder() as path:
        made = create(path, 1)
        at = made.nodes[0].root / "agent" / "log"
        with disk(at, 2 << 20) as small:
            # What supervisord itself prints goes elsewhere, as the output of a container does.
            (at / "supervisord.out").symlink_to(path / "supervisord.out")
            yield made, small


def test_a_node_whose_log_disk_is_full_serves_and_follows_and_logs_again_once_there_is_room(
    logs: tuple[DevCluster, Disk],
) -> None:
    made, small = logs
    with running(made):
        made.wait()
        (node,) = made.nodes
        small.leave(0)
        for number in (2, 3):
            write_configuration(made, f"change {number}")
            node.wait(number, 120.0)
            assert witness(node)["greeting"] == f"change {number}"
        small.clear()
        write_configuration(made, "change 4")
        node.wait(4, 120.0)
        assert "release 4" in (small.path / "sync.log").read_text()
