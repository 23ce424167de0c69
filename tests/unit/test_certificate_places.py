"""Where certificates are put, as config.yml says it."""

from pathlib import Path

import pytest

from da_agent.domain.certificates.folders import Places
from da_agent.domain.config import configurations
from da_agent.domain.node.certificate_places import AllowedFolders, places
from da_agent.domain.node.paths import Paths
from da_agent.errors import Invalid

STANDARD = Paths(Path("/usr/share/docassemble"))
ELSEWHERE = Paths(Path("/srv/node"))


def read(text: str, paths: Paths = STANDARD, web_user: str | None = "www-data") -> Places:
    allowed = AllowedFolders(paths, (Path("/srv/tls"), Path("/var/www/.certs")))
    return places(configurations.parse(b"a: 1\n" + text.encode()).root, allowed, web_user)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Places(Path("/etc/ssl/docassemble"), None, "www-data")),
        ("cert install directory: /srv/tls\n", Places(Path("/srv/tls"), None, "www-data")),
        ("cert_install_directory: /srv/tls\n", Places(Path("/srv/tls"), None, "www-data")),
        (
            "web server certificate directory: /var/www/.certs\n",
            Places(Path("/etc/ssl/docassemble"), Path("/var/www/.certs"), "www-data"),
        ),
        (
            "web_server_certificate_directory: /var/www/.certs\nweb_server_user: web\n",
            Places(Path("/etc/ssl/docassemble"), Path("/var/www/.certs"), "web"),
        ),
        ("web server certificate directory: null\n", Places(Path("/etc/ssl/docassemble"), None, "www-data")),
        ("web server certificate directory: ''\n", Places(Path("/etc/ssl/docassemble"), None, "www-data")),
    ],
)
def test_both_spellings_say_where_certificates_are_put(text: str, expected: Places) -> None:
    assert read(text) == expected


def test_a_node_elsewhere_keeps_its_certificates_below_its_own_root() -> None:
    assert read("", ELSEWHERE).install == Path("/srv/node/ssl")


def test_nobody_else_owns_the_copy_where_everything_runs_as_one_user() -> None:
    assert read("web server user: www-data\n", web_user=None).owner is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("cert install directory:\n", '"cert install directory" must not be empty'),
        ("cert_install_directory: ''\n", '"cert_install_directory" must not be empty'),
        ("cert install directory: false\n", '"cert install directory" must be a text'),
        ("cert install directory: tls\n", '"cert install directory" must be an absolute path'),
        ("cert install directory: /srv/../etc\n", '"cert install directory" must be an absolute path'),
        ("cert install directory: //\n", '"cert install directory" must be a folder of its own'),
        ("web_server_certificate_directory: certs\n", '"web_server_certificate_directory" must be an absolute path'),
        (
            "cert install directory: /srv/tls\nweb server certificate directory: /srv/tls/web\n",
            '"web server certificate directory" and "cert install directory" must be separate folders',
        ),
    ],
)
def test_places_that_cannot_be_are_mistakes_of_the_configuration(text: str, sentence: str) -> None:
    with pytest.raises(Invalid) as refused:
        read(text)
    assert [mistake for mistake in refused.value.mistakes if sentence in mistake], refused.value.mistakes
    assert len(refused.value.mistakes) == 1


@pytest.mark.parametrize("name", ["", "/certs", "/current/certs", "/releases", "/agent/x", "/files", "/webapp", "/log"])
def test_what_the_node_uses_for_something_else_is_no_place(name: str) -> None:
    with pytest.raises(Invalid, match="used for something else"):
        read(f"cert install directory: /srv/node{name}\n", ELSEWHERE)


def test_the_folder_above_the_node_is_no_place() -> None:
    with pytest.raises(Invalid, match="used for something else"):
        read("cert install directory: /srv\n", ELSEWHERE)


@pytest.mark.parametrize(
    "path",
    [
        "/usr/local/lib/python3.11/dist-packages",
        "/root/.ssh",
        "/etc",
        "/etc/ssl",
        "/etc/ssl/docassemble2",
        "/srv/tls2",
        "/var/www",
        "//etc/ssl/docassemble",
    ],
)
@pytest.mark.parametrize("name", ["cert install directory", "web_server_certificate_directory"])
def test_a_folder_that_is_not_on_the_nodes_list_is_refused_with_the_variable_that_has_the_list(
    name: str, path: str
) -> None:
    with pytest.raises(Invalid, match=r"names /.*does not allow.* below /srv/tls.* DA_AGENT_CERTIFICATE_FOLDERS"):
        read(f"{name}: {path}\n")


def test_folders_below_the_root_and_below_those_of_the_list_are_allowed() -> None:
    text = "cert install directory: /usr/share/docassemble/tls/mail\nweb server certificate directory: /srv/tls/web\n"
    assert read(text) == Places(Path("/usr/share/docassemble/tls/mail"), Path("/srv/tls/web"), "www-data")


@pytest.mark.parametrize(
    ("file", "may"),
    [
        ("/srv/node/certs/docassemble.key", True),
        ("/srv/tls/live/docassemble.key", True),
        ("/srv/node/other/docassemble.key", True),
        ("/srv/node/agent/blobs/0", False),
        ("/srv/node/files/docassemble.key", False),
        ("/etc/shadow", False),
        ("/srv/node/current/config.yml", False),
    ],
)
def test_certificates_are_read_from_allowed_folders_that_the_node_uses_for_nothing_else(file: str, may: bool) -> None:
    allowed = AllowedFolders(ELSEWHERE, (Path("/srv/tls"),))
    assert allowed.may_read(Path(file)) is may
