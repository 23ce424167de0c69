"""Whatever a record says is read again as it was written."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from da_agent.domain import limits, records
from da_agent.domain.config.strategies import Share, Strategy
from da_agent.domain.node.inbox_leader import Unable
from da_agent.domain.node.node_states import NodeState, Probation, Rejection
from da_agent.domain.node.notifications import Contact
from da_agent.domain.node.reports import Phase, Report
from da_agent.domain.node.used_stores import Used
from da_agent.domain.packages.wheels import Target, Wheel
from da_agent.domain.release.releases import Contents, Release
from da_agent.domain.rollout.rollouts import NodeFailure, Note, Past, ReleaseCommandRun, Rollout, Slot, State
from da_agent.domain.store import names
from da_agent.domain.store.blobs import Blob, File
from da_agent.domain.store.conformance import Conformance, StoreCheck
from da_agent.domain.store.inboxes import Seen, Verdict
from da_agent.domain.store.leases import Lease
from tests.stored import EXAMPLES

ZONES = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-8))])
TIMES = st.datetimes(datetime(1970, 1, 2), datetime(2199, 12, 30), timezones=ZONES)
NUMBERS = st.integers(1, 9_999_999_999)
COUNTS = st.integers(0, 2**53)
TEXTS = st.text(max_size=12)
NODES = st.from_regex(names.NODE, fullmatch=True)
FLAGS = st.booleans()
HASHES = st.text("0123456789abcdef", min_size=64, max_size=64)
NAMES = st.sampled_from(["requirements.txt", "ü/b.whl", "docassemble.crt"])
"""Of files: their own rules are tested with them."""


def some(strategy: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(strategy, max_size=3).map(tuple)


LINES = some(TEXTS)
MAYBE_NUMBERS = st.none() | NUMBERS
MAYBE_TEXTS = st.none() | TEXTS
BLOBS = st.builds(Blob, HASHES, COUNTS)
FILES = some(st.builds(File, NAMES, BLOBS))
WHEELS = st.builds(
    lambda name, version, *rest: Wheel(name, version, f"{name}-{version}-py3-none-any.whl", *rest),
    st.from_regex("[a-z0-9]{1,9}", fullmatch=True),
    st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){0,3}(\+[a-z]{1,3})?", fullmatch=True),
    BLOBS,
    st.none() | HASHES,
    st.none() | HASHES,
)
TARGETS = st.builds(
    Target, st.from_regex(r"[0-9]{1,2}\.[0-9]{1,2}", fullmatch=True), st.from_regex("[a-z0-9_]{1,9}", fullmatch=True)
)
WHEELS_BY_NAME = st.lists(WHEELS, max_size=3, unique_by=lambda wheel: wheel.name).map(tuple)
CONTENTS = st.builds(Contents, BLOBS, FILES, FILES, TARGETS, WHEELS_BY_NAME)
RELEASES = st.builds(
    Release, NUMBERS, TEXTS, TIMES, TEXTS, TEXTS, CONTENTS, MAYBE_NUMBERS, restart=FLAGS, restarted=MAYBE_NUMBERS
)
NOTES = st.builds(Note, TEXTS, TIMES, TEXTS)
MAYBE_NOTES = st.none() | NOTES
POLICIES = st.builds(
    Strategy,
    st.builds(Share, COUNTS, percent=FLAGS),
    COUNTS,
    COUNTS,
    st.timedeltas(timedelta(microseconds=1), limits.SLOT),
    LINES,
)
ROLLOUTS = st.builds(
    Rollout,
    NUMBERS,
    POLICIES,
    TIMES,
    TIMES,
    st.sampled_from(State),
    closed=FLAGS,
    skip_canary=FLAGS,
    slots=some(st.builds(Slot, NODES, NUMBERS, TEXTS, TIMES, TIMES, begun=FLAGS, joining=FLAGS)),
    updated=some(NODES),
    failures=some(st.builds(NodeFailure, NODES, TEXTS, TIMES, LINES, lost=FLAGS)),
    unhealthy=some(st.builds(Note, NODES, TIMES, TEXTS)),
    release_command=st.none() | st.builds(ReleaseCommandRun, NODES, TIMES, done=FLAGS, output=LINES),
    paused=MAYBE_NOTES,
    resumed=MAYBE_NOTES,
    verdict=MAYBE_NOTES,
    retries=some(NOTES),
    past=st.none() | st.builds(Past, MAYBE_NUMBERS, MAYBE_NUMBERS, MAYBE_NUMBERS, some(NUMBERS)),
    generation=COUNTS,
    nonce=TEXTS,
)
FAILURES = st.builds(Rejection, NUMBERS, TEXTS, TIMES, lasting=FLAGS, retries=COUNTS, log=LINES)
REPORTS = st.builds(
    Report,
    node=NODES,
    host=TEXTS,
    address=TEXTS,
    release=MAYBE_NUMBERS,
    target=MAYBE_NUMBERS,
    phase=st.sampled_from(Phase),
    problem=MAYBE_TEXTS,
    agent=TEXTS,
    python=TEXTS,
    started_at=TIMES,
    rejected=some(FAILURES),
    waiting=MAYBE_TEXTS,
    activity=MAYBE_TEXTS,
    contact=st.none() | st.builds(Contact, TEXTS, TEXTS),
    unable=st.none() | st.builds(Unable, TEXTS, TIMES, TEXTS),
    identity=TEXTS,
)
VERDICTS = st.builds(Verdict, TEXTS, NUMBERS, LINES, some(st.builds(Seen, TEXTS, TEXTS, BLOBS)), TEXTS, TIMES)
JOURNALS = st.builds(
    NodeState,
    MAYBE_NUMBERS,
    st.none() | st.builds(Probation, NUMBERS, MAYBE_NUMBERS, TIMES, COUNTS, COUNTS),
    some(FAILURES),
    MAYBE_NUMBERS,
)
KINDS: dict[type, st.SearchStrategy[object]] = {
    Release: RELEASES,
    Rollout: ROLLOUTS,
    Report: REPORTS,
    Verdict: VERDICTS,
    Used: st.builds(Used, TEXTS, TEXTS, NUMBERS),
    Lease: st.builds(Lease, TEXTS, TIMES, TIMES, TEXTS),
    NodeState: JOURNALS,
    Conformance: st.builds(Conformance, TEXTS, some(st.builds(StoreCheck, TEXTS, FLAGS, TEXTS))),
}


def test_every_kind_is_tried() -> None:
    assert set(KINDS) == {type(example.value) for example in EXAMPLES}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_record_is_read_as_it_was_written(kind: type, data: st.DataObject) -> None:
    value = data.draw(KINDS[kind])
    written = records.encode(value)
    assert records.decode(kind, written, "a.json") == value
    assert records.encode(records.decode(kind, written, "a.json")) == written
    assert records.unseal(kind, records.seal(value), "a.json") == value
