"""One paragraph about one node."""

from dataclasses import replace
from datetime import timedelta

import pytest

from da_agent.domain.config.strategies import Strategy
from da_agent.domain.display.why import why
from da_agent.domain.node.node_states import Rejection
from da_agent.domain.node.reports import NodeStatus, Phase, Report
from da_agent.domain.rollout import rollouts, verdicts
from da_agent.domain.rollout.rollouts import Note, Rollout
from tests.records import LIVE, NOW, claim, failed, granted, updated

OPEN = rollouts.opened(7, Strategy(), (), now=NOW)
ADMIN = Note("admin@desk", NOW, "night shift")
BROKEN = Rejection(7, "it answers 500", NOW)
TURN = granted(claim(OPEN, "web-1"))


def node_status(node: str = "web-2", release: int | None = 6, **facts: object) -> NodeStatus:
    report = Report(node, "host", "1.2.3.4:80", release, 7, Phase.SERVING, None, "0", "3.11", NOW)
    return NodeStatus(replace(report, **facts), NOW - timedelta(seconds=12))  # type: ignore[arg-type]


CASES: dict[str, tuple[NodeStatus | None, Rollout | None, tuple[str, ...]]] = {
    "where it should be": (
        node_status(release=7),
        updated(OPEN, *LIVE),
        (
            "web-2 runs release 7 (it reported 12 s ago).",
            "Release 7 is stable: 4 of 4 nodes updated.",
            "It serves the newest release.",
        ),
    ),
    "another's turn": (
        node_status(waiting="updating: web-1"),
        TURN,
        (
            "web-2 runs release 6",
            "It is moving to release 7 (serving).",
            "Waiting: updating: web-1.",
            "web-1 holds a slot for release 7 until 2026-01-01 12:05:00 UTC.",
            "updates by itself when a slot is free",
        ),
    ),
    "its own turn": (
        node_status("web-2", phase=Phase.PROBATION, activity="proving release 7: 1 of 2"),
        granted(claim(updated(OPEN, "web-1"), "web-2")),
        ("(probation).", "In progress: proving release 7: 1 of 2.", "It holds a slot"),
    ),
    "a pause": (
        node_status(),
        rollouts.pause(OPEN, ADMIN),
        ("The cluster is paused by admin@desk 2026-01-01 12:00:00 UTC: night shift.", "after da-agent resume"),
    ),
    "a pause in its turn, behind the switch": (
        node_status(phase=Phase.PROBATION),
        rollouts.pause(granted(claim(updated(OPEN, "web-1"), "web-2")), ADMIN),
        ("(probation)", "paused by admin@desk", "It is switching, and finishes in spite of the pause."),
    ),
    "a pause in its turn, before the switch": (
        node_status(phase=Phase.DRAINING),
        rollouts.pause(granted(claim(updated(OPEN, "web-1"), "web-2")), ADMIN),
        ("It holds a slot and has not switched: it gives the slot back, and updates after da-agent resume.",),
    ),
    "a pause while it joins": (
        node_status(release=None, phase=Phase.STARTING),
        granted(claim(rollouts.pause(OPEN, ADMIN), "web-2", joining=True)),
        ("It serves no requests yet, and updates by itself in spite of the pause.",),
    ),
    "what a command that is run once has printed": (
        node_status(),
        granted(verdicts.failed(OPEN, "web-1", "migrate ended", ("one", *"abc", "boom\tat"), LIVE, now=NOW)),
        ("Release 7 failed on web-1: migrate ended.", "The log of web-1 ends with: one | a | b | c | boom at."),
    ),
    "a quarantine": (
        node_status(),
        failed(OPEN, "web-1", "web-3"),
        ("Release 7 is quarantined: web-1, web-3: it answers 500.", "da-agent retry 7"),
    ),
    "a retry": (
        node_status(),
        rollouts.retry(failed(OPEN, "web-1", "web-3"), ADMIN),
        ("was retried by admin@desk 2026-01-01 12:00:00 UTC: night shift.", "within a poll interval"),
    ),
    "a failure here": (
        node_status(rejected=(BROKEN,), problem=str(BROKEN)),
        failed(OPEN, "web-2"),
        ("Release 7 failed here 2026-01-01 12:00:00 UTC: it answers 500.", "when the release is stable on other nodes"),
    ),
    "a failure here, stable by others": (
        node_status(),
        failed(updated(OPEN, "web-1", "web-3", "web-4"), "web-2"),
        ("Release 7 is stable: 3 of 4 nodes updated.", "tries again by itself every 5 minutes"),
    ),
    "a failure elsewhere": (
        node_status(),
        failed(OPEN, "web-1"),
        ("Release 7 failed on web-1: it answers 500.", "within a poll interval"),
    ),
    "its own fault": (
        node_status(problem="the disk is full"),
        verdicts.reported_unhealthy(OPEN, "web-2", "the disk is full", LIVE, now=NOW),
        ("Problem: the disk is full.", "unhealthy since 2026-01-01 12:00:00 UTC"),
    ),
    "silence": (
        replace(node_status(), at=NOW - timedelta(hours=2, minutes=5)),
        OPEN,
        ("web-2 ran release 6 when it last reported, and has been silent for 2 h 5 min.", "Check this machine"),
    ),
    "no report": (None, OPEN, ("web-2 has never reported", "Check this machine")),
    "no record": (node_status(), None, ("Release 7 is the newest one, and no node has begun it.",)),
}


@pytest.mark.parametrize("case", CASES)
def test_a_paragraph_says_what_a_node_runs_waits_for_and_does_next(case: str) -> None:
    seen, rollout, parts = CASES[case]
    text = why("web-2", seen, 7, rollout, LIVE, now=NOW)
    assert "\n" not in text
    for part in parts:
        assert part in text
    # Each sentence is said where it belongs, and only there.
    assert len(text.split(". ")) == len(set(text.split(". ")))


def test_a_failure_is_told_once() -> None:
    for rollout in (failed(OPEN, "web-2"), failed(OPEN, "web-2", "web-3")):
        seen = node_status(rejected=(BROKEN,), problem=str(BROKEN))
        assert why("web-2", seen, 7, rollout, LIVE, now=NOW).count("it answers 500") == 1


def test_a_cluster_without_a_release_has_nothing_to_wait_for() -> None:
    assert why("web-2", node_status(release=None), None, None, LIVE, now=NOW).endswith("There is no release yet.")
