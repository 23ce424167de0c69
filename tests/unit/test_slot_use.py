"""How far a process has got in its slot."""

from datetime import timedelta

from da_agent.domain.node.slot_use import MOST_CLAIMS, SlotUse

NOW = timedelta(hours=1)
SECOND = timedelta(seconds=1)


def test_a_slot_allows_its_release_while_it_leaves_enough_time() -> None:
    use = SlotUse().after_claim(6, NOW)
    assert use.allows(6, NOW - SECOND)
    assert not use.allows(5, NOW - SECOND)
    assert not use.allows(6, NOW), "the probation might outlast the slot"


def test_a_slot_that_is_not_begun_allows_nothing_but_is_a_claim() -> None:
    use = SlotUse().after_claim(None, NOW)
    assert (use.allows(6, NOW - SECOND), use.claims) == (False, 1)


def test_a_slot_is_used_once_and_still_tells_until_when_it_is_good() -> None:
    used = SlotUse().after_claim(6, NOW).used()
    assert not used.allows(6, NOW - SECOND)
    assert used.is_good(NOW - SECOND)


def test_a_node_claims_a_few_times_in_a_run_and_anew_in_the_next() -> None:
    use = SlotUse()
    for _ in range(MOST_CLAIMS):
        assert not use.has_spent_claims
        use = use.after_claim(6, NOW)
    assert use.has_spent_claims
    assert use.resumed() == SlotUse(None, NOW)


def test_what_was_read_before_a_drain_does_not_count_after_it() -> None:
    use = SlotUse().after_drain().after_look()
    assert (use.drained, use.looked) == (True, True)
    assert use.after_undrain().drained is False
    assert use.after_undrain().after_drain() == SlotUse(drained=True)


def test_a_node_stays_drained_from_one_run_to_the_next() -> None:
    assert SlotUse().after_drain().resumed().drained
