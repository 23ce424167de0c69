"""How often wrong passwords may be tried."""

from da_agent.domain import limits
from da_agent.domain.node.password_guesses import Guesses

COUNT = limits.WRONG_PASSWORDS_COUNT.total_seconds()


def after(number: int, client: str = "a", now: float = 0.0) -> Guesses:
    guesses = Guesses()
    for _ in range(number):
        guesses = guesses.failed(client, now)
    return guesses


def test_a_few_mistakes_are_allowed_and_then_none_for_a_while() -> None:
    assert after(limits.WRONG_PASSWORDS - 1).allowed("a", 0.0)
    assert not after(limits.WRONG_PASSWORDS).allowed("a", COUNT - 1)
    assert after(limits.WRONG_PASSWORDS).allowed("a", COUNT)


def test_a_client_that_goes_on_has_no_more_than_so_many_guesses_in_each_period() -> None:
    guesses, looked = Guesses(), 0
    for second in range(10 * int(COUNT)):
        if guesses.allowed("a", second):
            looked += 1
            guesses = guesses.failed("a", second)
    assert looked == 10 * limits.WRONG_PASSWORDS


def test_other_clients_are_not_held_up() -> None:
    assert after(limits.WRONG_PASSWORDS).allowed("b", 0.0)


def test_what_is_known_of_clients_is_bounded_and_old_mistakes_are_forgotten() -> None:
    guesses = Guesses()
    for number in range(2 * limits.GUESSING_CLIENTS):
        guesses = guesses.failed(f"{number}", 0.0)
    assert len(guesses.wrong) == limits.GUESSING_CLIENTS
    assert f"{2 * limits.GUESSING_CLIENTS - 1}" in guesses.wrong
    assert list(guesses.failed("late", COUNT).wrong) == ["late"]
