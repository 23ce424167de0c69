"""What people are shown of a release: nothing of its secrets."""

from datetime import UTC, datetime, timedelta

import pytest

from da_agent.domain.config import redaction
from da_agent.domain.config.redaction import MASK
from da_agent.domain.packages.wheels import Wheel
from da_agent.domain.release import differences
from da_agent.domain.release.differences import Change
from da_agent.domain.store.blobs import Blob
from tests.certificates import authority, issue

NOW = datetime.now(UTC)


def wheel(name: str, version: str, letter: str = "a") -> Wheel:
    return Wheel(name, version, f"{name}-{version}-py3-none-any.whl", Blob(letter * 64, 1))


@pytest.mark.parametrize(
    "line",
    [
        "secretkey: hunter2",
        "db: {password: hunter2}",
        "s3: {access key id: hunter2}",
        "s3: {secret access key: hunter2}",
        "oauth: {google: {secret: hunter2}}",
        "google: {api key: hunter2}",
        "twilio: {auth token: hunter2}",
        "azure: {account key: hunter2}",
        "azure: {connection string: hunter2}",
        "second factor: {private: [hunter2]}",
        "redis: redis://:hunter2@host/1",
        "redis: redis://me:hunter2@host/1",
        "mail: {password: [1, hunter2]}",
        "db: {pass: hunter2}",
        "smtp_pass: hunter2",
        "redis: redis://:a/hunter2@host/1",
        "link: https://x.example/?page=1&api_key=hunter2",
        "env: [{name: API_TOKEN, value: hunter2}]",
        "webhook: https://x.example/hunter2",
        'odd: "-----BEGIN EC PRIVATE KEY----- hunter2"',
        "odd: sk_live_4eC39HqLyjWDhunter2",
        "odd: AKIAIOSFODNN7hunter2",
        "odd: https://hooks.example/T0/XXXX4eC39HqLyhunter2",
        "variables: [{key: SECRET_KEY_BASE, value: hunter2}]",
        "variables: [{env: DB_PASSWORD, value: hunter2}]",
        "variables: [{Name: DB_PASSWORD, Value: hunter2}]",
        "dbpass: hunter2",
        "smtppass: hunter2",
        "DB_PW: hunter2",
        "psk: hunter2",
        "jwt: hunter2",
        "hmac: hunter2",
        "seed: hunter2",
        "priv: hunter2",
        "passcode: hunter2",
        "auth: hunter2",
        "login: {code: hunter2}",
        "recovery phrase: hunter2",
        "what nobody knows: hunter2",
        "title: host=db user=x password=hunter2",
        "title: host=db user=x password='correct hunter2'",
        "title: run --password=hunter2",
        "title: run --password hunter2",
        "title: run -phunter2",
        "title: run -u me:hunter2",
        "title: Bearer hunter2",
        "title: Basic hunter2",
        "title: me:hunter2@host",
        "root: /shop?pw=hunter2",
        "root: /shop?anything=hunter2",
        "pip index url: https://dl.cloudsmith.io/q3x8f5Gk2hunter2/simple",
        "pip index url: https://x.example/F/550e8400-e29b-41d4-a716-446655440000/hunter2Gk2LpW9",
        "api tokens by name: {hunter2key: 1}",
        "users: {AKIAIOSFODNN7hunter2: admin}",
        "dispatch: {password: hunter2}",
    ],
)
def test_secrets_are_masked_wherever_they_stand(line: str) -> None:
    shown = differences.settings(line.encode())
    assert "hunter2" not in str(shown)
    assert MASK in str(shown)
    changes = differences.configuration(line.encode(), line.replace("hunter2", "hunter3").encode())
    assert len(changes) == 1
    assert "hunter" not in str(changes[0])


@pytest.mark.parametrize("line", ["login: {code: 4711}", "variables: [{key: PIN, value: 4711}]", "card: 411111114711"])
def test_numbers_are_masked_where_the_name_or_their_length_tells_of_a_secret(line: str) -> None:
    assert "4711" not in str(differences.settings(line.encode()))


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("PGPASSWORD=hunter2 psql -c x", "psql …"),
        ("A='b c' D=e /usr/bin/psql", "/usr/bin/psql …"),
        ("psql", "psql"),
        ("PGPASSWORD=$(echo hunter2) psql", MASK),
        ("hunter2=", MASK),
        ("PGPASSWORD='hunter2 psql", MASK),
        ("$(hunter2)", MASK),
    ],
)
def test_of_a_command_only_the_program_is_shown(line: str, shown: str) -> None:
    assert redaction.command(line) == shown


def test_values_of_unknown_keys_are_shown_when_they_are_too_common_to_be_secret() -> None:
    text = b"odd: true\nport: 8080\nmode: never\nshare: 0.5\nnothing: null\nfew: []\nday: 2024-01-01\n"
    assert differences.settings(text) == {
        "odd": "True",
        "port": "8080",
        "mode": "never",
        "share": "0.5",
        "nothing": "null",
        "few": "[]",
        "day": MASK,
    }


def test_a_key_that_is_a_token_itself_hides_neither_its_change_nor_its_neighbours() -> None:
    before = b"users: {AKIAIOSFODNN7EXAMPLE: 1, limit: 2}\nbasic auth: no\ntoken expiry: 5\n"
    after = before.replace(b"EXAMPLE: 1", b"EXAMPLE: 2").replace(b"limit: 2", b"limit: 3")
    assert differences.configuration(before, after) == (
        Change(f"users.{MASK}", MASK, MASK),
        Change("users.limit", "2", "3"),
    )
    assert set(differences.settings(before)) == {f"users.{MASK}", "users.limit", "basic auth", "token expiry"}


def test_what_lies_below_a_key_of_secrets_is_one_change_without_names() -> None:
    before, after = b"api tokens: {hunter2: a, b: c}", b"api tokens: {hunter3: a, b: c}"
    assert differences.configuration(before, after) == (Change("api tokens", MASK, MASK),)


def test_our_own_settings_and_addresses_are_shown() -> None:
    text = (
        b"da agent: {max unavailable: 25%, health path: /health, drain: 30s,"
        b" release command: [PGPASSWORD=hunter2 psql],"
        b" health_command: curl -u me:hunter2 localhost}\n"
        b"pip_index_url: https://me:hunter2@pypi.example:8443/root/docassemble-2024/simple?page=2\n"
        b"redis: redis://:hunter2@host:6379/1\ndispatch: {shop: 'docassemble.shop:data/questions/a.yml'}\n"
    )
    assert differences.settings(text) == {
        "da agent.max unavailable": "25%",
        "da agent.health path": "/health",
        "da agent.drain": "30s",
        "da agent.release command[0]": "psql …",
        "da agent.health_command": "curl …",
        "pip_index_url": f"https://{MASK}@pypi.example:8443/root/docassemble-2024/simple?page=2",
        "redis": f"redis://{MASK}@host:6379/1",
        "dispatch.shop": "docassemble.shop:data/questions/a.yml",
    }


def test_everything_else_that_is_known_is_shown_by_its_path() -> None:
    lines = ("db: {host: here, password: null}", "dispatch: [a, b]", "s3: {enable: true}", "empty: {}")
    interview = "default interview: docassemble.Demo2:data/questions/my-long-interview-2024.yml"
    text = "\n".join([*lines, interview, "pip index url: https://x/simple"])
    assert differences.settings(text.encode()) == {
        "db.host": "here",
        "db.password": "null",
        "default interview": "docassemble.Demo2:data/questions/my-long-interview-2024.yml",
        "dispatch[0]": "a",
        "dispatch[1]": "b",
        "s3.enable": "True",
        "pip index url": "https://x/simple",
        "empty": "{}",
    }


def test_long_values_are_cut_and_stay_on_one_line() -> None:
    (shown,) = differences.settings(b"title: |\n" + b"  line\n" * 100).values()
    assert len(shown) == 101
    assert "\n" not in shown


def test_changes_of_the_configuration_are_sorted_and_have_both_values() -> None:
    before, after = b"b: 1\ngone: 2\nsame: 3\n", b"same: 3\nb: 4\nadded: 5\n"
    assert differences.configuration(before, after) == (
        Change("added", None, "5"),
        Change("b", "1", "4"),
        Change("gone", "2", None),
    )
    assert [str(change) for change in differences.configuration(before, after)] == [
        "+ added: 5",
        "~ b: 1 -> 4",
        "- gone: 2",
    ]


def test_packages_are_compared_by_version_and_then_by_their_bytes() -> None:
    before = (wheel("gone", "1"), wheel("new", "1"), wheel("made", "1", "a"), wheel("same", "1"))
    after = (wheel("added", "3"), wheel("new", "2"), wheel("made", "1", "b"), wheel("same", "1"))
    assert [str(change) for change in differences.packages(before, after)] == [
        "+ added: 3",
        "- gone: 1",
        "~ made: 1 -> 1 with other bytes",
        "~ new: 1 -> 2",
    ]


def test_certificates_say_until_when_they_are_valid_and_keys_say_nothing() -> None:
    pair = issue(authority("Test"), ("shop.example",), start=NOW - timedelta(minutes=1))
    files = {"a.crt": pair.pem, "a.key": pair.key, "notes.txt": b"hello"}
    # The certificate is as old as this test, which may run minutes after the module was read.
    shown = differences.expiries(files, datetime.now(UTC))
    assert shown["a.crt"].endswith("expires in 89 days")
    assert differences.expiries(files, NOW + timedelta(days=100))["a.crt"].startswith("expired on 20")
    assert (shown["a.key"], shown["notes.txt"]) == ("a private key", "5 bytes")
    (change,) = differences.files(files, {**files, "a.key": b"other"}, NOW + timedelta(days=1))
    assert (change.name, change.before) == ("a.key", "a private key")
    other = issue(authority("Test"), ("shop.example",))
    (change,) = differences.files(files, {**files, "a.key": other.key}, NOW)
    assert change.after == "the same, with other bytes"
