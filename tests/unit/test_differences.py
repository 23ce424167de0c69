"""What people are shown of a release: nothing of its secrets."""

from datetime import UTC, datetime, timedelta

import pytest

from da_agent.domain import differences
from da_agent.domain.blobs import Blob
from da_agent.domain.differences import Change
from da_agent.domain.masks import MASK
from da_agent.domain.releases import Wheel
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
    ],
)
def test_secrets_are_masked_wherever_they_stand(line: str) -> None:
    shown = differences.settings(line.encode())
    assert "hunter2" not in str(shown)
    assert MASK in str(shown)
    changes = differences.configuration(line.encode(), line.replace("hunter2", "hunter3").encode())
    assert len(changes) == 1
    assert "hunter" not in str(changes[0])


def test_everything_else_is_shown_by_its_path() -> None:
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
    (shown,) = differences.settings(b"text: |\n" + b"  line\n" * 100).values()
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
    pair = issue(authority("Test"), ("shop.example",))
    files = {"a.crt": pair.pem, "a.key": pair.key, "notes.txt": b"hello"}
    shown = differences.expiries(files, NOW)
    assert shown["a.crt"].endswith("expires in 89 days")
    assert differences.expiries(files, NOW + timedelta(days=100))["a.crt"].startswith("expired on 20")
    assert (shown["a.key"], shown["notes.txt"]) == ("a private key", "5 bytes")
    (change,) = differences.files(files, {**files, "a.key": b"other"}, NOW + timedelta(days=1))
    assert (change.name, change.before) == ("a.key", "a private key")
    other = issue(authority("Test"), ("shop.example",))
    (change,) = differences.files(files, {**files, "a.key": other.key}, NOW)
    assert change.after == "the same, with other bytes"
