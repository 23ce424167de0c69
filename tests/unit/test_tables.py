"""What somebody sees who watches a rollout."""

from datetime import timedelta

import pytest

from da_agent.domain import units
from da_agent.domain.display import tables
from da_agent.domain.display.tables import Table
from da_agent.domain.node.reports import NodeStatus, Phase
from da_agent.domain.rollout import rollouts
from da_agent.domain.rollout.rollouts import Rollout, State
from tests.records import LIVE, NOW, failed, updated
from tests.unit.test_why import ADMIN, OPEN, TURN, node_status

SECOND = timedelta(seconds=1)


def table(
    rollout: Rollout | None, *seen: NodeStatus, before: Table | None = None, later: timedelta = timedelta()
) -> Table:
    return tables.table(7, seen, rollout, LIVE, before, now=NOW + later)


@pytest.mark.parametrize(
    ("rollout", "header"),
    [
        (None, "Release 7: no node has begun it"),
        (OPEN, "0 of 4 nodes updated, no node is updating, 1 free"),
        (TURN, "0 of 4 nodes updated, updating: web-1, 0 free"),
        (rollouts.pause(OPEN, ADMIN), "paused by admin@desk 2026-01-01 12:00:00 UTC: night shift, 0 free"),
        (updated(OPEN, *LIVE), "Release 7: stable, opened 2026-01-01 12:00:00 UTC, 4 of 4 nodes updated"),
    ],
)
def test_the_header_tells_of_the_whole_rollout(rollout: Rollout | None, header: str) -> None:
    assert header in table(rollout).header


def test_each_node_has_a_row_sorted_by_name() -> None:
    made = table(TURN, node_status("web-2", waiting="updating: web-1"), node_status("web-1", phase=Phase.STAGING))
    assert [row.line for row in made.rows] == [
        "web-1: release 6, staging, has a slot",
        "web-2: release 6, serving: updating: web-1",
    ]
    assert [made.age(row) for row in made.rows] == ["0 s", "12 s"]


def test_a_silent_node_is_told_from_its_last_word() -> None:
    made = table(OPEN, NodeStatus(node_status("web-1").report, NOW - timedelta(minutes=3, seconds=20)))
    assert [(row.phase, made.age(row)) for row in made.rows] == [("silent", "3 min 20 s")]


def test_a_phase_that_goes_on_keeps_its_beginning_and_a_new_one_begins_anew() -> None:
    first = table(OPEN, node_status("web-1"), node_status("web-2"))
    again = NodeStatus(node_status("web-1").report, NOW + 20 * SECOND)
    other = NodeStatus(node_status("web-2", phase=Phase.STAGING).report, NOW + 20 * SECOND)
    later = table(OPEN, again, other, before=first, later=30 * SECOND)
    assert [later.age(row) for row in later.rows] == ["42 s", "10 s"]


def test_only_what_has_changed_is_told_in_lines() -> None:
    first = table(OPEN, node_status("web-1"), node_status("web-2"))
    assert len(tables.changes(None, first)) == 3
    assert (
        tables.changes(first, table(OPEN, node_status("web-1"), node_status("web-2"), before=first, later=SECOND)) == []
    )
    moving = table(OPEN, node_status("web-1", phase=Phase.STAGING), node_status("web-2"), before=first, later=SECOND)
    assert tables.changes(first, moving) == ["web-1: release 6, staging"]


def test_a_verdict_is_a_sentence_of_its_own() -> None:
    assert table(OPEN).verdict is None
    assert table(updated(OPEN, *LIVE)).verdict == "release 7 is stable: web-1, web-2, web-3, web-4"
    bad = table(failed(OPEN, "web-1", "web-2"))
    assert (bad.state, bad.verdict) == (
        State.QUARANTINED,
        "release 7 is quarantined: web-1, web-2: it answers 500",
    )


def test_a_store_that_does_not_answer_leaves_the_rows_and_says_why() -> None:
    made = tables.unanswered(table(OPEN, node_status("web-1")), "no answer\nfrom s3")
    assert made.header == "Release 7: no answer from s3"
    assert [row.node for row in made.rows] == ["web-1"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3600, "1 h 0 min"), (90_000, "25 h 0 min")],
)
def test_spans_have_two_units_at_most(seconds: int, text: str) -> None:
    assert units.span(timedelta(seconds=seconds)) == text
