"""What a notification carries, who can make one, and what a node does with it."""

import json
from dataclasses import replace
from datetime import timedelta

import hypothesis
import pytest
from hypothesis import strategies as st

from da_agent.domain import limits
from da_agent.domain.config import configurations
from da_agent.domain.node.notifications import (
    Contact,
    Key,
    Message,
    MessageKind,
    Received,
    Reception,
    contact,
    destination,
    key_of,
    opened,
    signed,
)
from da_agent.errors import Invalid
from tests.fakes import NOON

SECRET = "abcdefghijklmnop"
NONCE = "0123456789abcdef" * 2


def key(secret: str = SECRET) -> Key:
    found = key_of(configurations.parse(f"secretkey: {secret}\n".encode()))
    assert found is not None
    return found


def message(node: str = "a", *, age: timedelta = timedelta(), nonce: str = NONCE) -> Message:
    return Message(MessageKind.NOTIFY, node, int((NOON - age).timestamp()), nonce)


# ---- the key


def test_the_key_follows_from_the_secret_key_and_shows_nothing_of_it() -> None:
    assert key() == key()
    assert key() != key(SECRET + "q")
    assert SECRET.encode() not in key().secret
    assert "secret" not in repr(key())


def test_without_a_secret_key_there_is_none_and_a_short_one_is_refused_without_telling_it() -> None:
    assert key_of(configurations.parse(b"a: 1\n")) is None
    with pytest.raises(Invalid, match="shorter than 16 characters") as refused:
        key("hunter2")
    assert "hunter2" not in str(refused.value)


# ---- the contact


def test_the_contact_of_a_node_leads_to_it() -> None:
    assert destination("a", contact("a", "10.0.0.7:9001", key()), key()) == ("10.0.0.7", 9001)


@pytest.mark.parametrize(
    ("node", "forged"),
    {
        "without a key": ("a", Contact("203.0.113.5:9001", "")),
        "with another key": ("a", contact("a", "203.0.113.5:9001", key("x" * 16))),
        "of another node": ("a", contact("b", "203.0.113.5:9001", key())),
        "with another address": ("a", replace(contact("a", "10.0.0.7:9001", key()), address="203.0.113.5:9001")),
        "no text": ("a", Contact("10.0.0.7:9001", "\ud800")),
    }.values(),
)
def test_what_no_holder_of_the_key_has_written_leads_nowhere(node: str, forged: Contact) -> None:
    assert destination(node, forged, key()) is None


@pytest.mark.parametrize(
    "address",
    [
        "evil.example:9001",
        "10.0.0.7",
        "10.0.0.7:0",
        "10.0.0.7:65536",
        "10.0.0.7:9001:1",
        "010.0.0.7:9001",
        "10.0.0.7:\uff19",
        "[::1]:9001",
        "0.0.0.0:9001",
        "224.0.0.1:9001",
        "255.255.255.255:9001",
        "",
    ],
)
def test_only_the_addresses_of_machines_are_used_and_no_names(address: str) -> None:
    assert destination("a", contact("a", address, key()), key()) is None


# ---- what is sent


def test_a_datagram_is_read_by_holders_of_the_key_alone_and_fits_into_a_packet() -> None:
    longest = message("n" * 200)
    datagram = signed(longest, key())
    assert opened(datagram, key()) == longest
    assert opened(datagram, key("x" * 16)) is None
    assert len(datagram) <= limits.DATAGRAM


def test_no_bit_of_a_datagram_can_be_changed() -> None:
    datagram = signed(message(), key())
    for place in range(len(datagram) * 8):
        changed = bytearray(datagram)
        changed[place // 8] ^= 1 << place % 8
        assert opened(bytes(changed), key()) is None


@hypothesis.given(st.binary(max_size=2 * limits.DATAGRAM))
def test_bytes_of_strangers_are_no_message(datagram: bytes) -> None:
    assert opened(datagram, key()) is None


def test_what_a_holder_of_the_key_signs_is_checked_as_well() -> None:
    import hmac

    for body in (
        b"",
        b"{",
        b"\xff",
        b"[" * 400,
        b"[1]",
        json.dumps([2, "notify", "a", 0, NONCE]).encode(),
        json.dumps([1, "stop", "a", 0, NONCE]).encode(),
        json.dumps([1, "notify", "a", 0.5, NONCE]).encode(),
        json.dumps([1, "notify", "a", 0, "x"]).encode(),
        json.dumps([1, "notify", ["a"], 0, NONCE]).encode(),
    ):
        assert opened(hmac.digest(key().secret, body, "sha256") + body, key()) is None


# ---- what is taken


def test_a_notification_is_acted_on_once_and_answered_each_time() -> None:
    received, first = Received("a").take(message(), NOON)
    received, again = received.take(message(), NOON + timedelta(seconds=1))
    assert (first, again) == (Reception.NEW, Reception.REPEATED)


@pytest.mark.parametrize(
    "refused",
    [
        message("b"),
        message(age=timedelta(minutes=3)),
        message(age=timedelta(minutes=-3)),
        replace(message(), kind=MessageKind.HEARD),
        replace(message(), at=10**300),
        replace(message(), at=-(10**300)),
    ],
)
def test_what_is_for_another_node_or_from_another_time_is_refused(refused: Message) -> None:
    assert Received("a").take(refused, NOON) == (Received("a"), Reception.REFUSED)


def test_a_recorded_notification_is_never_acted_on_again() -> None:
    received, _ = Received("a").take(message(), NOON)
    for seconds in range(0, 600, 7):
        received, what = received.take(message(), NOON + timedelta(seconds=seconds))
        assert what is not Reception.NEW


def test_a_node_takes_a_bounded_number_and_then_again_some() -> None:
    received, taken = Received("a"), 0
    for number in range(2 * limits.NOTIFICATIONS):
        received, what = received.take(message(nonce=f"{number:032x}"), NOON)
        taken += what is Reception.NEW
    assert taken == len(received.nonces) == limits.NOTIFICATIONS
    later = timedelta(minutes=5)
    received, what = received.take(message(age=-later, nonce="f" * 32), NOON + later)
    assert what is Reception.NEW
    assert len(received.nonces) == 1
