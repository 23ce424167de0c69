"""Which variables the application sees."""

from fnmatch import fnmatchcase

import pytest

from da_agent.domain.node.application_environment import allowed, names, patterns

OF_THE_NODE = {
    "PATH": "/usr/bin",
    "LC_ALL": "C.UTF-8",
    "TZ": "Europe/Berlin",
    "DA_AGENT_ROOT": "/srv/node",
    "DA_AGENT_STORE": "s3://bucket",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "S3SECRETACCESSKEY": "secret",
    "DASUPERVISORPASSWORD": "secret",
    "SUPERVISOR_SERVER_URL": "unix:///socket",
    "DBPASSWORD": "secret",
    "UV_INDEX_URL": "https://user:secret@index",
    "HTTPS_PROXY": "http://user:secret@proxy",
    "TMPDIR": "/root/tmp",
    "PYTHONPATH": "/root",
}


def test_the_application_sees_what_is_known_to_hold_no_secret() -> None:
    assert set(allowed(OF_THE_NODE)) == {"PATH", "LC_ALL", "TZ", "DA_AGENT_ROOT"}


def test_the_application_sees_what_an_admin_lists() -> None:
    assert allowed(OF_THE_NODE, ("HTTPS_PROXY", "MISSING")) == {
        **allowed(OF_THE_NODE),
        "HTTPS_PROXY": "http://user:secret@proxy",
    }


@pytest.mark.parametrize("text", ["HTTPS_PROXY NO_PROXY", " HTTPS_PROXY,NO_PROXY ", "HTTPS_PROXY, NO_PROXY NO_PROXY"])
def test_names_are_separated_by_spaces_or_commas(text: str) -> None:
    assert names(text) == ("HTTPS_PROXY", "NO_PROXY")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("A=1", "must be names of variables"),
        ("A;B", "must be names of variables"),
        ("AWS_SECRET_ACCESS_KEY", "is for the agent alone"),
        ("TZ DASUPERVISORPASSWORD", "must not name DASUPERVISORPASSWORD"),
        ("DA_AGENT_STORE", "is for the agent alone"),
        ("SUPERVISOR_SERVER_URL", "is for the agent alone"),
        ("PYTHONPATH", "runs from its release alone"),
    ],
)
def test_what_must_not_be_passed_on_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        names(text)


@pytest.mark.parametrize("listed", [(), ("HTTPS_PROXY",)])
def test_a_shell_matches_the_same_names(listed: tuple[str, ...]) -> None:
    found = {name for name in OF_THE_NODE if any(fnmatchcase(name, pattern) for pattern in patterns(listed))}
    assert found == set(allowed(OF_THE_NODE, listed))
