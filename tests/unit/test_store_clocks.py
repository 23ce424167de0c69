"""The time of a store, while it answers and while it does not."""

from datetime import UTC, datetime, timedelta

from da_agent.adapters.s3_store.clocks import StoreClock

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_the_time_goes_on_from_the_last_answer_until_that_is_too_old_as_after_a_suspension() -> None:
    elapsed = [1000.0]
    clock = StoreClock(lambda: elapsed[0])
    assert clock.now(60) is None
    clock.hear("Thu, 01 Jan 2026 12:00:00 GMT")
    elapsed[0] += 59
    assert clock.now(60) == NOON + timedelta(seconds=59)
    elapsed[0] += 3600
    assert clock.now(60) is None
    clock.hear("Thu, 01 Jan 2026 13:00:59 GMT")
    assert clock.now(60) == NOON + timedelta(seconds=3659)


def test_what_is_no_date_is_not_heard() -> None:
    clock = StoreClock(lambda: 0.0)
    clock.hear(None)
    clock.hear("yesterday")
    clock.hear("Mon, 01 Jan 1900 00:00:00 GMT")
    clock.hear("Fri, 31 Dec 9999 23:59:59 GMT")
    assert clock.now(60) is None
