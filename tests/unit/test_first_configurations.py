import hypothesis
import pytest
from hypothesis import strategies as st

from da_agent.domain.config import configurations
from da_agent.domain.config.configurations import Configuration
from da_agent.domain.config.first_configurations import render
from da_agent.domain.config.settings import Settings
from da_agent.errors import Invalid


def configuration(**variables: str) -> Configuration:
    return configurations.parse(render(variables, "random"))


def test_without_variables_docassembles_defaults_are_written() -> None:
    first = configuration()
    assert first.value("db") == {
        "prefix": "postgresql+psycopg2://",
        "name": "docassemble",
        "user": "docassemble",
        "password": "abc123",
        "host": None,
    }
    assert first.value("s3") == {"enable": False}
    assert first.value("ec2") is False
    assert first.value("secretkey") == "random"
    assert first.value("supervisor") is None


def test_variables_arrive_under_their_keys() -> None:
    first = configuration(
        DBPREFIX="mysql://", DBNAME="n", DBUSER="u", DBPASSWORD="0123", DBHOST="10.0", DBPORT="5433",
        DBTABLEPREFIX="t_",
        S3ENABLE="True", S3BUCKET="b", S3ACCESSKEY="AK", S3SECRETACCESSKEY="SK", S3REGION="eu", S3ENDPOINTURL="https://e",
        S3_SSE_ALGORITHM="aws:kms", S3_SSE_KMS_KEY_ID="k", EC2="true", DADEFAULTSECRET="given", REDIS="redis://r",
        DASUPERVISORUSERNAME="admin", DASUPERVISORPASSWORD="50%s",
        LOGSERVER="yes", USEHTTPS="false", PIPINDEXURL="https://i/", PIPEXTRAINDEXURLS="https://a/ https://b/",
    )  # fmt: skip
    assert first.value("db") == {
        "prefix": "mysql://",
        "name": "n",
        "user": "u",
        "password": "0123",
        "host": "10.0",
        "port": 5433,
        "table prefix": "t_",
    }
    assert first.value("s3") == {
        "enable": True,
        "bucket": "b",
        "access key id": "AK",
        "secret access key": "SK",
        "region": "eu",
        "endpoint url": "https://e",
        "server side encryption": {"algorithm": "aws:kms", "KMS key ID": "k"},
    }
    assert (first.value("ec2"), first.value("use https"), first.value("secretkey")) == (True, False, "given")
    assert first.value("supervisor") == {"username": "admin", "password": "50%s"}
    assert (first.value("log server"), first.value("redis")) == ("yes", "redis://r")
    assert first.indexes.index_url == "https://i/"
    assert first.indexes.extra_index_urls == ("https://a/", "https://b/")


def test_an_empty_variable_counts_as_unset() -> None:
    names = ("DBHOST", "DBUSER", "S3ENABLE", "S3ACCESSKEY", "EC2", "DADEFAULTSECRET", "DBPORT", "PIPINDEXURL")
    assert render(dict.fromkeys(names, ""), "x") == render({}, "x")
    assert render(dict.fromkeys(names, "null"), "x") == render({}, "x")


@pytest.mark.parametrize("port", [1, 65535])
def test_every_port_can_be_given(port: int) -> None:
    assert configuration(DBPORT=str(port)).value("db", "port") == port


def test_a_bucket_switches_s3_on_and_credentials_appear_only_when_given() -> None:
    assert configuration(S3BUCKET="b").value("s3") == {"enable": True, "bucket": "b"}
    assert configuration(S3BUCKET="b", S3ENABLE="false").value("s3", "enable") is False
    assert b"secret access key" not in render({"S3BUCKET": "b"}, "x")


def test_the_file_ends_in_the_agents_section_with_every_setting_at_its_default() -> None:
    text = render({}, "x").decode()
    assert configurations.parse(text.encode()).settings == Settings()
    lines = text[text.index("da agent:") :].splitlines()[1:]
    assert all(line.startswith("  # ") for line in lines)
    shown = "da agent:\n" + "\n".join(line.replace("# ", "", 1) for line in lines)
    section = configurations.parse(shown.encode())
    assert section.settings == Settings()
    assert section.value("da agent") == {
        "poll interval": "10s",
        "quiet period": "3s",
        "max unavailable": 1,
        "canary": 1,
        "max failures": 1,
        "start timeout": "2m",
        "processes": 2,
        "threads": 8,
    }


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("EC2", "maybe", "the variable EC2 must be true or false"),
        ("DBPORT", "high", "the variable DBPORT must be a port number from 1 to 65535"),
        ("DBPORT", "0", "the variable DBPORT must be a port number from 1 to 65535"),
        ("DBPORT", "²", "the variable DBPORT must be a port number from 1 to 65535"),
        ("DBPORT", "9" * 5000, "the variable DBPORT must be a port number from 1 to 65535"),
        ("DBPORT", "65536", "the variable DBPORT must be a port number from 1 to 65535"),
        ("DBPASSWORD", "\udcff", "the variable DBPASSWORD is not UTF-8 text"),
        ("PIPINDEXURL", "hunter2", "the variable PIPINDEXURL must be a URL that begins with https://"),
        ("PIPINDEXURL", "https://a https://b", "the variable PIPINDEXURL must be one URL"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_the_name_of_its_variable(name: str, value: str, expected: str) -> None:
    with pytest.raises(Invalid) as refused:
        render({name: value}, "x")
    (mistake,) = refused.value.mistakes
    assert mistake.startswith(expected)
    assert value not in mistake.replace(expected, "")


def test_all_wrong_variables_are_named_at_once() -> None:
    with pytest.raises(Invalid) as refused:
        render({"EC2": "x", "S3ENABLE": "x", "DBPORT": "x"}, "x")
    assert len(refused.value.mistakes) == 3


TEXTS = ("DBPREFIX", "DBNAME", "DBUSER", "DBPASSWORD", "DBHOST", "S3BUCKET", "S3SECRETACCESSKEY", "DADEFAULTSECRET")
NASTY = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    st.text(" :#'\"\\{}[]&*!|>%@`-?,\n\r\t\x00\x85\u2028\ufeff~=<01ny.", min_size=1, max_size=12),
)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(st.dictionaries(st.sampled_from(TEXTS), NASTY))
def test_whatever_characters_the_values_have_they_come_back_from_the_file(variables: dict[str, str]) -> None:
    first = configuration(**variables)
    keys = {"DBPASSWORD": ("db", "password"), "DBHOST": ("db", "host"), "S3BUCKET": ("s3", "bucket")}
    for name, path in keys.items():
        if variables.get(name, "") not in ("", "null", "Null", "None"):
            assert first.value(*path) == variables[name]
