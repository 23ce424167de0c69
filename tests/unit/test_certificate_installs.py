"""install_certs: which source counts, and what is left alone when something is wrong."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from da_agent import ports
from da_agent.domain import records
from da_agent.domain.certificates.folders import Placed, Places
from da_agent.domain.node.certificate_places import AllowedFolders
from da_agent.domain.node.paths import Paths
from da_agent.domain.node.variables import parse_node
from da_agent.domain.release.releases import Contents, Release
from da_agent.domain.store import keys
from da_agent.domain.store.blobs import File, blob_of
from da_agent.domain.store.locations import Location
from da_agent.errors import AgentError, Invalid, NodeBroken, StoreDamaged, Unreachable
from da_agent.workflows.node.certificates import Certificates, Opened
from da_agent.workflows.records.readers import Reader
from tests import built
from tests.certificates import authority, issue
from tests.fake_nodes import TARGET, FakeInstallation, FakeWeb, release
from tests.fakes import NOON, MemoryStore, SilentProgress

ROOT = Path("/srv/node")
CA = authority("Test CA", start=NOON - timedelta(days=1))


def pair(name: str = "shop.example") -> dict[str, bytes]:
    made = issue(CA, (name,), start=NOON - timedelta(days=1))
    return {"docassemble.crt": made.pem, "docassemble.key": made.key}


@dataclass
class Folders:
    """Implements ports.CertificateFolders: `disk` are folders by path, `shown` is what the places have."""

    disk: dict[Path, Mapping[str, bytes]] = field(default_factory=dict)
    shown: Mapping[str, bytes] | str | None = None
    places: Places | None = None
    failing: AgentError | None = None

    def read(self, folder: Path) -> Mapping[str, bytes] | None:
        return self.disk.get(folder)

    def follow(self, places: Places) -> tuple[Placed, ...]:
        return self._put("the live release's", places)

    def show(self, certificates: Mapping[str, bytes], places: Places) -> tuple[Placed, ...]:
        return self._put(certificates, places)

    def _put(self, shown: Mapping[str, bytes] | str, places: Places) -> tuple[Placed, ...]:
        if self.failing:
            raise self.failing
        changed = (self.shown, self.places) != (shown, places)
        self.shown, self.places = shown, places
        return (Placed(places.install, changed),)


@dataclass
class NodeAgent:
    """A node with its files, and the stores that it can open, by URL."""

    variables: dict[str, str] = field(default_factory=dict)
    folders: Folders = field(default_factory=Folders)
    files: dict[Path, bytes] = field(default_factory=dict)
    stores: dict[str, MemoryStore] = field(default_factory=dict)
    installation: FakeInstallation = field(default_factory=FakeInstallation)
    progress: SilentProgress = field(default_factory=SilentProgress)

    def __post_init__(self) -> None:
        self.web = FakeWeb(self.installation)
        self.asked: list[tuple[str, str] | None] = []

    def install(self) -> str:
        """What it said, in lines."""
        self.certificates.install()
        return "\n".join(self.progress.said)

    @property
    def certificates(self) -> Certificates:
        return Certificates(
            node=parse_node({**self.variables, "DA_AGENT_ROOT": str(ROOT)}, root=True),
            allowed=AllowedFolders(Paths(ROOT), (Path("/srv/tls"), Path("/etc/other"), Path("/var/www/.certs"))),
            installation=self.installation,
            folders=self.folders,
            running=self.web.running,
            reread=self.web.read_certificates,
            progress=self.progress,
            now=lambda: NOON,
            trusted=lambda: (CA.certificate,),
            handshake=lambda _: None,
            read=self.files.get,
            store=self.open,
        )

    def open(self, location: Location, credentials: tuple[str, str] | None) -> Opened:
        self.asked.append(credentials)
        store = self.stores[location.url]
        return Opened(store, Reader(store), built.ledger(store))

    def store(self, url: str, files: Mapping[str, bytes]) -> MemoryStore:
        made = self.stores[url] = MemoryStore()
        for name, data in files.items():
            made.write(name, data, ports.Always())
        return made

    def serve(self, number: int, config: bytes, certificates: Mapping[str, bytes]) -> None:
        made = with_certificates(number, config, certificates)
        self.installation.disk[number] = made
        self.installation.live = number
        self.files[ROOT / f"releases/{number:010d}/config.yml"] = config
        self.files[ROOT / "current/config.yml"] = config


def with_certificates(number: int, config: bytes, certificates: Mapping[str, bytes]) -> Release:
    files = tuple(File(name, blob_of(data)) for name, data in sorted(certificates.items()))
    return release(number, Contents(blob_of(config), files, (), TARGET, ()))


def below(folder: str, files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {f"{folder}{name}": data for name, data in files.items()}


# ---- names that no folder can hold


def test_an_empty_object_that_is_a_folder_for_others_is_a_marker() -> None:
    machine = NodeAgent({"DA_AGENT_STORE": "file:///srv/cluster"})
    machine.store("file:///srv/cluster", {"certs/mail": b"", "certs/mail/exim.pem": CA.pem})
    machine.install()
    assert machine.folders.shown == {"mail/exim.pem": CA.pem}


def test_a_file_that_would_have_to_be_a_folder_too_is_refused_by_name() -> None:
    machine = NodeAgent({"DA_AGENT_STORE": "file:///srv/cluster"})
    machine.store("file:///srv/cluster", {"certs/mail": b"x", "certs/mail/exim.pem": CA.pem})
    with pytest.raises(Invalid, match=r"certs/mail is a file, and certs/mail/exim.pem lies in a folder"):
        machine.install()
    assert machine.folders.shown is None


# ---- which source


def test_the_live_release_is_the_source_and_its_configuration_says_where_to() -> None:
    machine = NodeAgent({"DA_AGENT_STORE": "file:///srv/cluster"})
    machine.serve(3, b"cert_install_directory: /srv/tls\n", pair())
    assert "The certificates of release 3 are in /srv/tls" in machine.install()
    assert machine.folders.shown == "the live release's"
    assert machine.folders.places == Places(Path("/srv/tls"), None, "www-data")


def test_a_live_release_with_certificates_and_a_setting_that_names_others_is_a_contradiction() -> None:
    machine = NodeAgent({"DA_AGENT_STORE": "file:///srv/cluster"})
    machine.serve(3, b"certs: /etc/other\n", pair())
    machine.folders.disk[Path("/etc/other")] = pair()
    with pytest.raises(Invalid, match="delete the setting, or what is in certs/"):
        machine.install()
    assert machine.folders.shown is None


def test_a_live_release_without_certificates_leaves_the_setting_as_the_source() -> None:
    machine = NodeAgent({"DA_AGENT_STORE": "file:///srv/cluster"})
    machine.serve(3, b"certs: /etc/other\n", {})
    machine.folders.disk[Path("/etc/other")] = mine = pair()
    assert "The certificates of file:///etc/other are in /srv/node/ssl" in machine.install()
    assert machine.folders.shown == mine


def test_what_the_inbox_has_is_never_installed_past_a_live_release() -> None:
    machine = NodeAgent({"DA_AGENT_STORE": "file:///srv/cluster"})
    machine.store("file:///srv/cluster", below("certs/", pair()))
    machine.serve(3, b"a: 1\n", {})
    assert "release 3 has none" in machine.install()
    assert machine.folders.shown is None


def test_a_machine_without_a_release_takes_those_of_the_newest_one_in_the_ledger() -> None:
    machine = NodeAgent({"DA_AGENT_STORE": "file:///srv/cluster"})
    published, config = pair(), b"cert install directory: /srv/tls\n"
    store = machine.store("file:///srv/cluster", below("certs/", {"docassemble.crt": b"half uploaded"}))
    newest = with_certificates(7, config, published)
    store.write(keys.release_key(7), records.seal(newest), ports.Always())
    for data in (config, *published.values()):
        store.write(keys.blob_key(blob_of(data)), data, ports.Always())
    assert "The certificates of release 7 of memory://store are in /srv/tls" in machine.install()
    assert machine.folders.shown == published

    store.write(keys.blob_key(blob_of(published["docassemble.key"])), b"something else", ports.Always())
    with pytest.raises(StoreDamaged, match=r"has other bytes .* release 7 needs it; da-agent publish, on a node"):
        machine.install()


def test_before_there_is_any_release_the_stores_folder_is_the_source() -> None:
    machine = NodeAgent({"S3BUCKET": "mine", "S3ACCESSKEY": "A", "S3SECRETACCESSKEY": "B"})
    mine = pair() | {"mail/exim.pem": CA.pem}
    marks = {"certs/": b"", "certs/mail/": b"", "certs/.DS_Store": b"x", "files/1/file": b"never read"}
    machine.store("s3://mine", {**below("certs/", mine), **marks, "config.yml": b"cert install directory: /srv/tls\n"})
    assert "The certificates of certs/ in memory://store are in /srv/tls" in machine.install()
    assert machine.folders.shown == mine
    assert set(machine.asked) == {("A", "B")}


def test_the_nodes_own_configuration_names_the_bucket_and_its_keys() -> None:
    machine = NodeAgent({"DA_CONFIG_FILE": "/etc/da/config.yml"})
    text = "s3:\n  bucket: mine\n  access key id: A\n  secret_access_key: B\ncerts: s3://other/tls/\n"
    machine.files[Path("/etc/da/config.yml")] = text.encode()
    mine = pair()
    machine.store("s3://other/tls", mine)
    machine.install()
    assert machine.folders.shown == mine
    assert machine.asked == [("A", "B")]


def test_without_a_store_the_folder_of_the_node_is_the_source() -> None:
    machine = NodeAgent()
    machine.files[ROOT / "config.yml"] = b"s3:\n  enable: false\n  bucket: null\n"
    mine = machine.folders.disk[ROOT / "certs"] = pair()
    assert "The certificates of /srv/node/certs are in /srv/node/ssl" in machine.install()
    assert machine.folders.shown == mine


def test_a_store_that_has_clearly_none_leaves_it_to_the_folder_of_the_node() -> None:
    machine = NodeAgent({"DA_AGENT_STORE": "file:///srv/cluster"})
    machine.store("file:///srv/cluster", {"certs/": b""})
    mine = machine.folders.disk[ROOT / "certs"] = pair()
    machine.install()
    assert machine.folders.shown == mine


def test_a_store_that_does_not_answer_is_not_one_that_has_none() -> None:
    machine = NodeAgent({"DA_AGENT_STORE": "file:///srv/cluster"})
    machine.store("file:///srv/cluster", {}).failing = Unreachable("no answer")
    machine.folders.disk[ROOT / "certs"] = pair()
    with pytest.raises(Unreachable):
        machine.install()
    assert machine.folders.shown is None


def test_a_machine_with_nothing_to_install_says_so() -> None:
    machine = NodeAgent()
    assert machine.install() == ("No certificates to install: no store is named, and there are none in /srv/node/certs")
    assert machine.folders.shown is None


# ---- what is wrong


@pytest.mark.parametrize(
    ("disk", "sentence"),
    [
        ({}, "there is no folder /etc/other"),
        ({Path("/etc/other"): {}}, "there are no certificates in file:///etc/other"),
    ],
)
def test_a_setting_that_leads_nowhere_is_said(disk: dict[Path, Mapping[str, bytes]], sentence: str) -> None:
    machine = NodeAgent(folders=Folders(disk))
    machine.files[ROOT / "config.yml"] = b"certs: /etc/other\n"
    machine.folders.disk[ROOT / "certs"] = pair()
    with pytest.raises(Invalid, match=sentence):
        machine.install()


def test_a_key_of_another_certificate_is_not_installed() -> None:
    machine = NodeAgent()
    machine.folders.disk[ROOT / "certs"] = pair() | {"docassemble.key": pair()["docassemble.key"]}
    with pytest.raises(Invalid, match="does not belong to the certificate"):
        machine.install()
    assert machine.folders.shown is None


def test_a_file_too_large_for_a_certificate_is_not_read() -> None:
    machine = NodeAgent({"DA_AGENT_STORE": "file:///srv/cluster"})
    machine.store("file:///srv/cluster", {"certs/film.pem": bytes(2**20 + 1)})
    with pytest.raises(Invalid, match="too large for a certificate"):
        machine.install()


def test_a_configuration_that_is_named_and_missing_is_said() -> None:
    with pytest.raises(NodeBroken, match=r"/nowhere/config.yml, which DA_CONFIG_FILE names"):
        NodeAgent({"DA_CONFIG_FILE": "/nowhere/config.yml"}).install()


@pytest.mark.parametrize("folder", ["/root", "/root/.ssh", "/etc", "/srv/node/agent/blobs", "/srv/node/files"])
def test_a_folder_that_the_node_does_not_allow_is_not_even_read(folder: str) -> None:
    machine = NodeAgent(folders=Folders({Path(folder): pair()}))
    machine.files[ROOT / "config.yml"] = f"certs: {folder}\n".encode()
    with pytest.raises(Invalid, match=r'"certs".* names'):
        machine.install()
    assert machine.folders.shown is None


def test_the_folder_of_the_node_may_be_named_in_words() -> None:
    machine = NodeAgent()
    machine.files[ROOT / "config.yml"] = b"certs: /srv/node/certs\n"
    mine = machine.folders.disk[ROOT / "certs"] = pair()
    machine.install()
    assert machine.folders.shown == mine


def test_what_is_neither_a_certificate_nor_a_key_is_not_installed() -> None:
    machine = NodeAgent()
    machine.folders.disk[ROOT / "certs"] = pair() | {"zz.pth": b"import os", "authorized_keys": b"ssh-rsa AAAA"}
    with pytest.raises(Invalid) as refused:
        machine.install()
    assert [mistake.partition(":")[0] for mistake in refused.value.mistakes] == [
        "certs/authorized_keys",
        "certs/zz.pth",
    ]
    assert machine.folders.shown is None


def test_a_store_with_a_thousand_files_more_is_no_source() -> None:
    machine = NodeAgent({"DA_AGENT_STORE": "file:///srv/cluster"})
    machine.store("file:///srv/cluster", {f"certs/{number}.pem": CA.pem for number in range(1001)})
    with pytest.raises(Invalid, match="more than 1000 files"):
        machine.install()


# ---- Apache


def test_apache_reads_them_again_only_when_it_runs_and_something_has_changed() -> None:
    machine = NodeAgent()
    machine.folders.disk[ROOT / "certs"] = pair()
    machine.install()
    assert machine.web.power.effects == []
    machine.web.up = True
    machine.install()
    assert machine.web.power.effects == []
    machine.folders.disk[ROOT / "certs"] = pair()
    assert "Apache reads its certificates again (tls)" in machine.install()
    assert machine.web.power.effects == ["certificates"]


def test_where_nothing_that_runs_presents_them_it_is_said_what_to_do() -> None:
    machine = NodeAgent({"DA_AGENT_STORE": "file:///srv/cluster"})
    machine.serve(3, b"certs: /etc/other\n", {})
    machine.folders.disk[Path("/etc/other")] = pair()
    machine.web.up, machine.web.presents = True, False
    said = machine.install()
    assert "No running server uses these files" in said
    assert "da-agent push certs" in said
    assert "reads its certificates again" not in said


def test_certificates_are_installed_where_no_supervisor_runs() -> None:
    machine = NodeAgent()
    machine.folders.disk[ROOT / "certs"] = pair()

    def unreachable() -> bool:
        raise NodeBroken("cannot reach supervisord")

    machine.web.running = unreachable  # type: ignore[method-assign]
    assert "The certificates of /srv/node/certs" in machine.install()


# ---- following


def test_following_says_only_what_has_changed() -> None:
    machine = NodeAgent()
    machine.serve(3, b"web server certificate directory: /var/www/.certs\n", pair())
    machine.certificates.follow()
    machine.certificates.follow()
    assert machine.folders.places == Places(ROOT / "ssl", Path("/var/www/.certs"), "www-data")
    assert machine.progress.said == ["The certificates of the live release are in /srv/node/ssl"]
