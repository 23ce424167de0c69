from datetime import timedelta

import pytest

from da_agent.domain.config.configurations import Configuration, parse
from da_agent.domain.config.settings import Settings
from da_agent.domain.packages.locked import Indexes
from da_agent.errors import Invalid

MINIMAL = "db:\n  name: docassemble\n"


def read(text: str) -> Configuration:
    return parse(text.encode())


def mistakes(text: str) -> tuple[str, ...]:
    with pytest.raises(Invalid) as refused:
        read(text)
    return tuple(mistake.removeprefix("config.yml ") for mistake in refused.value.mistakes)


SEED = """\
db:
  prefix: postgresql+psycopg2://
  name: docassemble
  user: docassemble
  password: abc123
  host: null
  port: null
  table_prefix: null
s3:
  enable: false
  access_key_id: null
  secret_access_key: null
  bucket: null
ec2: false
ec2_ip_url: http://169.254.169.254/latest/meta-data/local-ipv4
uploads: /usr/share/docassemble/files
packages: /usr/share/docassemble/local
webapp: /usr/share/docassemble/webapp/docassemble.wsgi
cert_install_directory: /etc/ssl/docassemble
mail:
  username: null
  default_sender: '"Administrator" <no-reply@example.com>'
use_progress_bar: true
default_interview: docassemble.demo:data/questions/questions.yml
default_admin_account: {nickname: admin, email: admin@admin.com, password: password}
"""

HEAD = """\
s3:
  enable: true
  access key id: FWIEJFIJIDGISEJFWOEF
  secret access key: RGERG34eeeg3agwetTR0+wewWAWEFererNRERERG
  bucket: yourbucket
  region: us-west-1
  endpoint url: https://s3.example.com
  server side encryption:
    algorithm: aws:kms
    KMS key ID: abc
db:
  port: 5432
  ssl mode: require
  password: arn:aws:secretsmanager:us-east-1:1:secret:x
mail:
- name: default
  server: localhost
- name: other
  default sender: a@b
kubernetes: '@Microsoft.KeyVault(VaultName=a;SecretName=b)'
update on start: initial
python packages:
- docassemble.x
redis: redis://localhost
"""


@pytest.mark.parametrize("text", [SEED, HEAD, MINIMAL], ids=["seed", "head", "minimal"])
def test_configurations_of_every_age_are_accepted(text: str) -> None:
    assert read(text).settings == Settings()


def test_values_are_found_by_either_spelling() -> None:
    for text in ("s3:\n  access_key_id: abc\n", "s3:\n  access key id: abc\n"):
        configuration = read(text)
        assert configuration.value("s3", "access key id") == "abc"
        assert configuration.value("s3", "access_key_id") == "abc"
    assert read("cert_install_directory: /x\n").value("cert install directory") == "/x"
    assert read("s3: {bucket: b}\n").value("s3") == {"bucket": "b"}


def test_what_is_not_there_has_no_value() -> None:
    configuration = read("s3:\n  bucket:\nec2: true\n")
    assert configuration.value("s3", "bucket") is None
    assert configuration.value("s3", "region") is None
    assert configuration.value("azure", "enable") is None
    assert configuration.value("ec2", "x") is None


def test_every_mistake_comes_at_once_with_line_and_key_in_the_order_of_the_file() -> None:
    text = """\
da agent:
  procesess: 3
s3:
  enable: 'yes'
  bucket: 2020-01-01
  bucket: other
ec2: maybe
webapp: [x]
flag: !!python/name:os.system
"""
    assert mistakes(text) == (
        'line 2: "da agent.procesess" is unknown: did you mean "processes"?',
        'line 4: "s3.enable" must be true or false, not a text: write it without quotes',
        'line 5: "s3.bucket" must be a text, not a date: put it into quotes',
        'line 6: "s3.bucket" is written twice, first in line 5: delete one of the two',
        'line 7: "ec2" must be true or false, not a text: write it without quotes',
        'line 8: "webapp" must be a text, not a list',
        'line 9: "flag" has the tag "!!python/name:os.system": only plain values are allowed, delete the tag',
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("db: hello", 'line 1: "db" must be a mapping of keys and values, not a text'),
        ("db: {password: 0123}", 'line 1: "db.password" must be a text, not a number: put it into quotes'),
        ("webapp: {a: b}", 'line 1: "webapp" must be a text, not a mapping'),
        ("s3: [{bucket: 3}]", 'line 1: "s3" must be a mapping of keys and values, not a list'),
        ("mail: [~]", 'line 1: "mail" must be a mapping of keys and values, not nothing'),
        ("db: {port: []}", 'line 1: "db.port" must be a whole number, not a list'),
        ("db: {port: 5.5}", 'line 1: "db.port" must be a whole number, not a decimal number'),
        ("python packages: 3", 'line 1: "python packages" must be a text or a list of texts, not a number'),
        ("db: {port: high}", 'line 1: "db.port" must be a whole number, not a text'),
        (
            "s3: {server_side_encryption: {algorithm: 3}}",
            'line 1: "s3.server_side_encryption.algorithm" must be a text',
        ),
        ("mail:\n- server: x\n- 3", 'line 3: "mail" must be a mapping of keys and values, not a number'),
        ("mail:\n- server: 3", 'line 2: "mail.server" must be a text, not a number: put it into quotes'),
        ("secretkey: 1.5", 'line 1: "secretkey" must be a text, not a decimal number: put it into quotes'),
        ("certs: true", 'line 1: "certs" must be a text, not a truth value: put it into quotes'),
        ("certs: !!binary aGFsbG8=", 'line 1: "certs" must be a text, not binary data: put it into quotes'),
        ("update on start: later", 'line 1: "update on start" must be true, false or initial, not a text'),
        ("python packages: [1]", 'line 1: "python packages" must be a text or a list of texts, not a list of other'),
        ("1: x", 'line 1: the key "1" must be a text: put it into quotes'),
        ("pip index url: pypi", 'line 1: "pip index url" must be a URL that begins with https://'),
        ("pip_index_url: https://a https://b", 'line 1: "pip_index_url" must be one URL: put others under "pip extra'),
        ("pip extra index urls: [https://a, b]", 'line 1: "pip extra index urls" must be a URL that begins with'),
    ],
)
def test_docassembles_keys_must_have_the_right_kind_of_value(text: str, expected: str) -> None:
    (mistake,) = mistakes(text)
    assert mistake.startswith(expected)


@pytest.mark.parametrize(
    "text", ["db: {port: 5432}", "db: {port: '5432'}", "update on start: true", "update on start: initial", "ec2: on"]
)
def test_docassembles_keys_may_have_every_form_that_it_understands(text: str) -> None:
    assert read(text).settings == Settings()


def test_values_that_may_be_secret_are_not_shown() -> None:
    (mistake,) = mistakes("pip index url: user:hunter2@host\n")
    assert "hunter2" not in mistake
    (mistake,) = mistakes("db: {password: 424242}\n")
    assert "424242" not in mistake
    assert "hunter2" not in repr(read("db: {password: hunter2}\npip index url: https://u:hunter2@host/\n"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "use_https: true\nuse https: false\n",
            'line 2: "use https" is also written as "use_https" in line 1, with another value: delete one of the two',
        ),
        (
            "s3:\n  access key id: a\n  access_key_id: b\n",
            (
                'line 3: "s3.access_key_id" is also written as "s3.access key id" in line 2, with another value: '
                "delete one of the two"
            ),
        ),
        (
            "da agent: {threads: 1}\nda_agent: {threads: 2}\n",
            'line 2: "da_agent" is also written as "da agent" in line 1, with another value: delete one of the two',
        ),
        (
            "da agent:\n  poll interval: 1\n  poll_interval: 2\n",
            (
                'line 3: "da agent.poll_interval" is also written as "da agent.poll interval" in line 2, with another '
                "value: delete one of the two"
            ),
        ),
    ],
)
def test_both_spellings_of_a_key_must_not_disagree(text: str, expected: str) -> None:
    assert mistakes(text) == (expected,)


def test_both_spellings_may_say_the_same() -> None:
    configuration = read("use_https: true\nuse https: true\ns3:\n  access key id: a\n  access_key_id: a\n")
    assert configuration.value("s3", "access key id") == "a"


def test_nested_keys_that_are_not_ours_to_judge_may_look_alike() -> None:
    configuration = read("words: {a_b: 1, a b: 2}\ndb: {a_b: 1, a b: 2}\nsomething new: [1, {x: 2020-01-01}]\n")
    assert configuration.value("words", "a b") is not None


# ---- the agent's own section ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["da agent", "da_agent"])
def test_the_section_is_read_in_either_spelling(name: str) -> None:
    text = f"""\
{name}:
  poll interval: 2m
  quiet_period: 1.5
  start timeout: 1h
  application: shop.wsgi:application
  processes: 4
  threads: 16
"""
    assert read(text).settings == Settings(
        poll_interval=timedelta(minutes=2),
        quiet_period=timedelta(seconds=1.5),
        start_timeout=timedelta(hours=1),
        application="shop.wsgi:application",
        processes=4,
        threads=16,
    )


@pytest.mark.parametrize("text", [MINIMAL, "da agent:\n", "da agent: {}\n", "da agent:\n  threads:\n"])
def test_what_is_left_out_or_empty_has_its_default(text: str) -> None:
    assert read(text).settings == Settings()


@pytest.mark.parametrize(("text", "seconds"), [("30", 30), ("30s", 30), ("' 30 s '", 30), ("0.5m", 30), ("'30'", 30)])
def test_durations_are_numbers_of_seconds_or_have_a_unit(text: str, seconds: int) -> None:
    assert read(f"da agent: {{poll interval: {text}}}").settings.poll_interval == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("poll interval", ["1", "3600", "1h"], ["0", "0.9", "3601", "-1", "2h", "soon", "yes", ".nan", ".inf", "[1]"]),
        ("quiet period", ["0", "600"], ["601", "-0.1", "1 d", "''"]),
        ("start timeout", ["5", "3600"], ["4", "3601"]),
        ("processes", ["1", "64"], ["0", "65", "1.5", "'2'", "true"]),
        ("threads", ["1", "256"], ["0", "257"]),
        (
            "application",
            ["a:b", "a.b_c:d"],
            ["a", "'a:'", ":b", "a.:b", "a b:c", "a:b.c", "'a:b\"'", "1:b", "a:class", "3"],
        ),
    ],
)
def test_settings_have_types_and_limits(name: str, good: list[str], bad: list[str]) -> None:
    for value in good:
        read(f"da agent: {{{name}: {value}}}")
    for value in bad:
        (mistake,) = mistakes(f"da agent:\n  {name}: {value}")
        assert mistake.startswith(f'line 2: "da agent.{name}" must be '), value


@pytest.mark.parametrize(
    ("text", "path"), [("", "/"), ("health path: /well?a=b", "/well?a=b"), ("health path: false", None)]
)
def test_the_front_page_is_asked_unless_another_or_none_is_wanted(text: str, path: str | None) -> None:
    assert read(f"da agent: {{{text}}}").settings.health.path == path


@pytest.mark.parametrize("text", ["true", "''", "well", "https://a/b", "0"])
def test_a_health_path_is_a_path(text: str) -> None:
    (mistake,) = mistakes(f"da agent:\n  health path: {text}")
    assert mistake.startswith(
        'line 2: "da agent.health path" must be the path of a URL, such as /health_check, or false'
    )


def test_a_mistake_in_a_setting_says_what_would_be_right() -> None:
    assert mistakes("da agent: {poll_interval: 0, threads: 300, application: shop}") == (
        "line 1: \"da agent.application\" must be MODULE:CALLABLE, such as `shop.wsgi:application`, not 'shop'",
        'line 1: "da agent.poll_interval" must be from 1 to 3600 seconds, such as 30, 30s or 2m, not 0',
        'line 1: "da agent.threads" must be a whole number from 1 to 256, not 300',
    )


def test_unknown_settings_are_refused_by_name() -> None:
    assert mistakes("da agent:\n  poll-intervall: 3\n  colour: red\n") == (
        'line 2: "da agent.poll-intervall" is unknown: did you mean "poll interval"?',
        (
            'line 3: "da agent.colour" is unknown: the settings are application, canary, drain, health command,'
            " health path, health status, health text, health timeout, max failures, max unavailable, min healthy, "
            "overlapping packages, poll interval, processes, quiet period, release command, slot timeout,"
            " start timeout, strict transport security, threads, trusted proxies"
        ),
    )


@pytest.mark.parametrize("name", ["da-agent", "DA Agent", "daagent", "da agents", "da__agent"])
def test_a_section_that_can_only_be_meant_for_the_agent_is_not_ignored(name: str) -> None:
    (mistake,) = mistakes(f"{name}:\n  threads: 3\n")
    assert mistake == f'line 1: "{name}" is unknown: did you mean "da agent"?'


def test_the_section_must_be_a_mapping() -> None:
    assert mistakes("da_agent: on\n") == ('line 1: "da_agent" must be a mapping of keys and values',)


# ---- where packages come from ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (MINIMAL, Indexes()),
        ("pip index url: https://u:p@host/simple", Indexes("https://u:p@host/simple")),
        ("pip_index_url: ''\npip extra index urls:\n", Indexes()),
        ("pip extra index urls: https://a https://b", Indexes(None, ("https://a", "https://b"))),
        ("pip_extra_index_urls: [https://a, 'http://b']", Indexes(None, ("https://a", "http://b"))),
        ("pip trusted host: host", Indexes(None, (), ("host",))),
        ("pip_trusted_host: [a, b]", Indexes(None, (), ("a", "b"))),
    ],
)
def test_the_indexes_are_those_of_docassembles_keys(text: str, expected: Indexes) -> None:
    assert read(text).indexes == expected


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[a and b]", "must be a list of texts such as"),
        ("[[a, b]]", "must be a list of texts such as"),
        ("[a over b, b over A]", "contradicts itself"),
        ("[a over a]", "contradicts itself"),
    ],
)
def test_overlapping_packages_are_pairs_without_a_circle(text: str, sentence: str) -> None:
    with pytest.raises(Invalid, match=f'"da agent.overlapping packages" {sentence}'):
        parse(f"da agent:\n  overlapping packages: {text}\n".encode())


def test_overlapping_packages_have_normalised_names() -> None:
    settings = parse(b"da agent:\n  overlapping packages: OpenCV_Python over opencv.headless\n").settings
    assert [str(each) for each in settings.overlaps] == ["opencv-python over opencv-headless"]
