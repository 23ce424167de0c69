"""A rollout in words."""

from dataclasses import replace

import pytest

from da_agent.domain.display import rollout_text
from da_agent.domain.rollout import rollouts, slots, verdicts
from da_agent.domain.rollout.rollouts import Rollout
from da_agent.views import rollouts as views
from tests.records import LIVE, NOW, failed, updated
from tests.unit.test_why import ADMIN, OPEN, TURN

AT = "2026-01-01 12:00:00 UTC"


@pytest.mark.parametrize(
    ("rollout", "lines"),
    [
        (OPEN, ["Rollout of release 7: open, 0 of 4 nodes updated"]),
        (
            TURN,
            [
                "Rollout of release 7: open, 0 of 4 nodes updated",
                "  web-1 has a slot for release 7 until 2026-01-01 12:05:00 UTC",
            ],
        ),
        (
            rollouts.pause(updated(OPEN, "web-1"), ADMIN),
            [
                "Rollout of release 7: open, 1 of 4 nodes updated",
                f"  paused by admin@desk {AT}: night shift; da-agent resume ends the pause",
            ],
        ),
        (
            failed(OPEN, "web-1", "web-2"),
            [
                "Rollout of release 7: quarantined, 0 of 4 nodes updated",
                "  failed on web-1, web-2: it answers 500",
                "  the end of the log of web-1:",
                "    a line",
                f"  quarantined {AT}",
            ],
        ),
        (
            verdicts.failed(
                OPEN, "web-1", "migrate ended with exit code 1", ("one\t1", "postgres://u:hunter2@db"), LIVE, now=NOW
            ),
            [
                "Rollout of release 7: open, 0 of 4 nodes updated",
                "  failed on web-1: migrate ended with exit code 1",
                "  the end of the log of web-1:",
                "    one 1",
                "    postgres://********@db",
            ],
        ),
        (
            updated(verdicts.reported_unhealthy(OPEN, "web-4", "the disk\nis full", LIVE, now=NOW), *LIVE[:3]),
            [
                "Rollout of release 7: stable, 3 of 4 nodes updated",
                f"  web-4 has been unhealthy since {AT}: the disk is full",
                f"  stable {AT}: 3 nodes serve it",
            ],
        ),
        (
            rollouts.retry(failed(OPEN, "web-1", "web-2"), ADMIN),
            [
                "Rollout of release 7: open, 0 of 4 nodes updated",
                f"  retried by admin@desk {AT}: night shift",
            ],
        ),
    ],
)
def test_status_tells_everything_of_a_rollout_once(rollout: Rollout, lines: list[str]) -> None:
    assert views.lines(views.of(rollout, now=NOW), LIVE) == lines


def test_a_node_that_has_died_since_it_moved_does_not_count() -> None:
    assert rollout_text.updated(updated(OPEN, "web-1", "web-2"), ("web-2", "web-3")) == "1 of 2 nodes updated"


def test_nobody_may_take_a_slot_in_a_pause_or_where_a_newer_release_has_come() -> None:
    assert rollout_text.places(OPEN, LIVE, now=NOW) == 1
    assert rollout_text.places(rollouts.pause(OPEN, ADMIN), LIVE, now=NOW) == 0
    assert rollout_text.places(replace(OPEN, closed=True), LIVE, now=NOW) == 0


def test_who_is_still_starting_has_no_slot_that_others_wait_for() -> None:
    def claimed(before: Rollout, node: str, *, joining: bool) -> Rollout:
        made = slots.claim(before, node, 7, LIVE, now=NOW, reason="update", joining=joining)
        assert isinstance(made, Rollout)
        return made

    starting = claimed(claimed(OPEN, "web-4", joining=True), "web-3", joining=True)
    assert rollout_text.progress(starting, LIVE, now=NOW) == (
        "0 of 4 nodes updated, no node is updating, starting: web-3, web-4"
    )
    both = claimed(starting, "web-1", joining=False)
    assert rollout_text.holders(both, now=NOW) == "updating: web-1, starting: web-3, web-4"
