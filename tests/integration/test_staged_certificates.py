"""What a node makes of the certificates of a release, whoever has made the release."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from da_agent.adapters.blob_files import BlobFiles
from da_agent.adapters.release_folders import ReleaseFolders
from da_agent.domain.config.settings import Settings
from da_agent.domain.node.paths import Paths, Staged
from da_agent.domain.release.releases import Contents
from da_agent.domain.store.blobs import File, blob_of
from da_agent.errors import ReleaseBroken
from tests.certificates import authority, issue
from tests.clusters_of_witnesses import folder
from tests.fake_nodes import TARGET, release

CA = authority("Root")
LEAF = issue(CA, ["a.example.org"])


@pytest.fixture
def paths() -> Iterator[Paths]:
    with folder() as root:
        yield Paths(root)


def stage(paths: Paths, certificates: Mapping[str, bytes]) -> dict[str, bytes]:
    blobs = BlobFiles(paths)
    for data in (b"a: 1\n", *certificates.values()):
        if not blobs.has(blob_of(data)):
            blobs.receive(blob_of(data), lambda sink, _, data=data: sink(data))  # type: ignore[misc]
    named = tuple(File(name, blob_of(data)) for name, data in sorted(certificates.items()))
    folders = ReleaseFolders(
        paths,
        blobs,
        build=lambda *_: None,
        render=lambda *_: None,
        require_room=lambda *_: None,
        group=None,
    )
    folders.stage(release(1, Contents(blob_of(b"a: 1\n"), named, (), TARGET, ())), Settings())
    certs = Staged(paths.release(1)).certificates
    return {str(path.relative_to(certs)): path.read_bytes() for path in certs.rglob("*") if path.is_file()}


def test_a_forged_release_brings_no_file_that_is_neither_a_certificate_nor_a_key(paths: Paths) -> None:
    """A file *.pth in a folder from which Python starts is run as root."""
    forged = {"zz.pth": b"import os", "mail/authorized_keys": b"ssh-rsa A", "docassemble.crt": LEAF.pem}
    assert stage(paths, forged) == {"docassemble.crt": LEAF.pem}


def test_comments_and_line_ends_are_left_out(paths: Paths) -> None:
    written = b"-- comment\r\n" + LEAF.pem.replace(b"\n", b"\r\n")
    assert stage(paths, {"docassemble.crt": written, "docassemble.key": LEAF.key}) == {
        "docassemble.crt": LEAF.pem,
        "docassemble.key": LEAF.key,
    }


def test_a_release_with_a_file_that_openssl_does_not_read_is_broken(paths: Paths) -> None:
    with pytest.raises(ReleaseBroken, match=r"cannot stage release 1: certs/a.crt line 1: spaces before a marker"):
        stage(paths, {"a.crt": LEAF.pem.replace(b"\n", b"\n ").replace(b"-----BEGIN", b" -----BEGIN")})
    assert not Staged(paths.release(1)).manifest.exists()
    assert list(Path(paths.releases).rglob("*.crt")) == []
