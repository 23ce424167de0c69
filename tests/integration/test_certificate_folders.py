"""Certificates on a real disk: whole, private, owned by who needs them, and in nobody's way."""

import errno
import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from da_agent.adapters.certificate_folders import LinkedFolders, renames
from da_agent.domain.certificates.folders import Placed, Places
from da_agent.domain.node.certificate_places import AllowedFolders
from da_agent.domain.node.paths import Paths
from da_agent.errors import Invalid, NodeBroken
from tests.clusters_of_witnesses import folder

OLD = {"docassemble.crt": b"old certificate", "docassemble.key": b"old key", "docassemble.ca.pem": b"old chain"}
NEW = {"docassemble.crt": b"new certificate", "docassemble.key": b"new key", "mail/exim.crt": b"mail"}
OWNER = "www-data" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture
def paths() -> Iterator[Paths]:
    with folder() as root:
        yield Paths(root / "node")


@pytest.fixture
def folders(paths: Paths) -> LinkedFolders:
    return LinkedFolders(AllowedFolders(paths, (paths.root.parent,)))


def places(paths: Paths) -> Places:
    return Places(paths.root.parent / "etc" / "tls", paths.root.parent / "www" / ".certs", OWNER)


def live(paths: Paths, number: int, files: dict[str, bytes]) -> None:
    """A release by hand, switched to."""
    certificates = paths.release(number) / "certs"
    certificates.mkdir(parents=True, mode=0o700)
    for name, data in files.items():
        (certificates / name).parent.mkdir(exist_ok=True, mode=0o700)
        (certificates / name).write_bytes(data)
        (certificates / name).chmod(0o400)
    new = paths.root / "new"
    new.symlink_to(paths.release(number))
    new.replace(paths.current)


def content(place: Path) -> dict[str, bytes]:
    return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}


def check_private(place: Path, owner: str) -> None:
    """Files 0400, folders for their owner alone."""
    uid = pwd.getpwnam(owner).pw_uid
    for path in (place, *place.rglob("*")):
        status = path.stat()
        assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o700 if path.is_dir() else 0o400, uid), path


def beside(place: Path) -> list[str]:
    return sorted(path.name for path in place.parent.iterdir() if path != place)


def test_certificates_are_put_where_they_are_wanted_each_for_its_owner_alone(
    folders: LinkedFolders, paths: Paths
) -> None:
    wanted = places(paths)
    assert wanted.web is not None
    assert [placed.changed for placed in folders.show(NEW, wanted)] == [True, True]
    assert content(wanted.install) == content(wanted.web) == NEW
    check_private(wanted.install, pwd.getpwuid(os.geteuid()).pw_name)
    check_private(wanted.web, OWNER)


def test_the_web_user_gets_through_to_its_copy_whatever_the_umask(folders: LinkedFolders, paths: Paths) -> None:
    before = os.umask(0o077)
    try:
        folders.show(NEW, places(paths))
    finally:
        os.umask(before)
    web = places(paths).web
    assert web is not None
    for path in (*web.parents, *web.resolve().parents):
        if path.is_relative_to(paths.root.parent):
            assert stat.S_IMODE(path.stat().st_mode) & 0o005 == 0o005, path


def test_doing_it_again_changes_nothing(folders: LinkedFolders, paths: Paths) -> None:
    folders.show(NEW, places(paths))
    before = [path.readlink() for path in (places(paths).install, places(paths).web or Path())]
    assert [placed.changed for placed in folders.show(NEW, places(paths))] == [False, False]
    assert [path.readlink() for path in (places(paths).install, places(paths).web or Path())] == before
    assert len(list(paths.certificate_sets.iterdir())) == 2


def test_a_new_set_replaces_the_old_one_as_a_whole(folders: LinkedFolders, paths: Paths) -> None:
    folders.show(OLD, places(paths))
    folders.show(NEW, places(paths))
    assert content(places(paths).install) == NEW
    assert len(list(paths.certificate_sets.iterdir())) == 2
    assert beside(places(paths).install) == []


def test_a_copy_that_somebody_has_changed_is_made_again(folders: LinkedFolders, paths: Paths) -> None:
    folders.show(NEW, places(paths))
    (places(paths).install / "docassemble.key").chmod(0o644)
    assert [placed.changed for placed in folders.show(NEW, places(paths))] == [True, False]
    check_private(places(paths).install, pwd.getpwuid(os.geteuid()).pw_name)


def test_a_switch_of_the_release_brings_both_places_along(folders: LinkedFolders, paths: Paths) -> None:
    live(paths, 1, OLD)
    folders.follow(places(paths))
    live(paths, 2, NEW)
    # The first moves with the switch itself.
    assert content(places(paths).install) == NEW
    assert [placed.changed for placed in folders.follow(places(paths))] == [False, True]
    web = places(paths).web
    assert web is not None
    assert content(web) == NEW
    check_private(web, OWNER)


def test_certificates_that_a_release_no_longer_has_are_taken_from_the_web_user_too(
    folders: LinkedFolders, paths: Paths
) -> None:
    live(paths, 1, OLD)
    folders.follow(places(paths))
    live(paths, 2, {})
    folders.follow(places(paths))
    web = places(paths).web
    assert web is not None
    assert content(web) == content(places(paths).install) == {}


def test_a_release_without_certificates_leaves_those_of_the_machine_alone(folders: LinkedFolders, paths: Paths) -> None:
    folders.show(OLD, places(paths))
    live(paths, 1, {})
    assert folders.follow(places(paths)) == ()
    assert content(places(paths).install) == OLD
    live(paths, 2, NEW)
    folders.follow(places(paths))
    assert content(places(paths).install) == NEW


def test_a_folder_that_is_there_is_replaced_as_a_whole_and_kept(folders: LinkedFolders, paths: Paths) -> None:
    install = places(paths).install
    install.mkdir(parents=True)
    (install / "snakeoil.key").write_bytes(b"the only copy")
    placed = folders.show(NEW, Places(install))
    assert content(install) == NEW
    (kept,) = beside(install)
    assert content(install.parent / kept) == {"snakeoil.key": b"the only copy"}
    assert kept in str(placed[0])


def test_an_empty_folder_that_is_there_is_not_kept(folders: LinkedFolders, paths: Paths) -> None:
    install = places(paths).install
    install.mkdir(parents=True)
    folders.show(NEW, Places(install))
    assert content(install) == NEW
    assert beside(install) == []


def test_a_folder_that_holds_more_than_certificates_is_left_alone(folders: LinkedFolders, paths: Paths) -> None:
    install = places(paths).install
    install.mkdir(parents=True)
    (install / "openssl.cnf").write_bytes(b"[ca]")
    with pytest.raises(Invalid, match=r"holds more than certificates \(openssl.cnf\)"):
        folders.show(NEW, Places(install))
    assert content(install) == {"openssl.cnf": b"[ca]"}


def test_a_file_in_the_way_is_left_alone(folders: LinkedFolders, paths: Paths) -> None:
    paths.root.parent.joinpath("file").write_bytes(b"mine")
    with pytest.raises(NodeBroken, match="it is not a folder"):
        folders.show(NEW, Places(paths.root.parent / "file"))


def test_a_web_user_that_does_not_exist_is_named(folders: LinkedFolders, paths: Paths) -> None:
    with pytest.raises(NodeBroken, match="cannot give certificates to nobody-knows-me"):
        folders.show(NEW, Places(places(paths).install, places(paths).web, "nobody-knows-me"))


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EXDEV, errno.EINVAL])
def test_a_folder_that_cannot_be_moved_is_filled_file_by_file(
    folders: LinkedFolders, paths: Paths, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: Path) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(renames, "_exchange", refuse)
    wanted = places(paths)
    assert wanted.web is not None
    for place in (wanted.install, wanted.web):
        place.mkdir(parents=True)
        (place / "theirs.pem").write_bytes(b"theirs")
    folders.show(OLD, wanted)
    (placed, web) = folders.show(NEW, wanted)
    assert "file by file" in str(placed)
    assert folders.show(NEW, wanted) == (
        Placed(wanted.install, changed=False, remark=placed.remark),
        Placed(wanted.web, changed=False, remark=web.remark),
    )
    for place, owner in ((wanted.install, pwd.getpwuid(os.geteuid()).pw_name), (wanted.web, OWNER)):
        found = content(place)
        assert found.pop(".da-agent.json")
        assert found == {**NEW, "theirs.pem": b"theirs"}
        assert beside(place) == []
        for name in NEW:
            status = (place / name).stat()
            assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o400, pwd.getpwnam(owner).pw_uid)


def test_places_that_are_no_longer_wanted_keep_their_link_and_what_it_leads_to(
    folders: LinkedFolders, paths: Paths
) -> None:
    before = places(paths)
    assert before.web is not None
    folders.show(OLD, before)
    renamed = Places(before.install.with_name("renamed"))
    for _ in range(2):
        folders.show(NEW, renamed)
    assert content(before.install) == content(before.web) == OLD
    assert content(renamed.install) == NEW
    before.install.unlink()
    before.web.unlink()
    folders.show(NEW, renamed)
    assert len(list(paths.certificate_sets.iterdir())) == 1


def test_a_link_that_somebody_else_has_made_is_replaced_with_a_remark(folders: LinkedFolders, paths: Paths) -> None:
    install = places(paths).install
    install.parent.mkdir(parents=True)
    install.symlink_to("/etc/letsencrypt/live/shop.example")
    (placed,) = folders.show(OLD, Places(install))
    assert "it was a link to /etc/letsencrypt/live/shop.example" in str(placed)
    assert content(install) == OLD
    (placed,) = folders.show(NEW, Places(install))
    assert placed.remark == ""


def test_what_one_who_was_killed_between_two_renames_left_is_put_in_order(folders: LinkedFolders, paths: Paths) -> None:
    install = places(paths).install
    folders.show(NEW, Places(install))
    (install.parent / ".tls.0123456789ab.new").symlink_to("nowhere")
    (install.parent / ".tls.ba9876543210.new").mkdir()
    (install.parent / ".tls.ba9876543210.new" / "their.key").write_bytes(b"the only copy")
    folders.show(NEW, Places(install))
    (kept,) = beside(install)
    assert content(install.parent / kept) == {"their.key": b"the only copy"}


def test_a_folder_is_read_with_its_subfolders_and_without_litter(folders: LinkedFolders, paths: Paths) -> None:
    own = paths.local_certificates
    (own / "mail").mkdir(parents=True)
    (own / ".git").mkdir()
    for name in ("docassemble.crt", "mail/exim.crt", ".git/config", ".hidden.key", "docassemble.crt~"):
        (own / name).write_bytes(name.encode())
    (own / "docassemble.key").symlink_to(own / ".hidden.key")
    assert folders.read(own) == {
        "docassemble.crt": b"docassemble.crt",
        "docassemble.key": b".hidden.key",
        "mail/exim.crt": b"mail/exim.crt",
    }
    assert folders.read(own / "nowhere") is None


@pytest.mark.parametrize("kind", ["link", "folder above", "pipe"])
def test_a_link_out_of_the_allowed_folders_is_not_followed(folders: LinkedFolders, paths: Paths, kind: str) -> None:
    """As root the agent could read any file: the web user can make links in the folder of the node."""
    own, elsewhere = paths.local_certificates, Path(tempfile.mkdtemp())
    own.mkdir(parents=True)
    (elsewhere / "root.key").write_bytes(b"secret")
    if kind == "pipe":
        os.mkfifo(elsewhere / "pipe")
    targets = {"link": elsewhere / "root.key", "folder above": elsewhere, "pipe": elsewhere / "pipe"}
    (own / "docassemble.key").symlink_to(targets[kind])
    try:
        if kind == "pipe":
            assert folders.read(own) == {}
        else:
            with pytest.raises(Invalid, match=r"docassemble.key"):
                folders.read(own)
    finally:
        shutil.rmtree(elsewhere)


def test_a_link_to_a_file_of_the_agent_is_not_followed(folders: LinkedFolders, paths: Paths) -> None:
    paths.blobs.mkdir(parents=True)
    (paths.blobs / "0").write_bytes(b"the configuration")
    paths.local_certificates.mkdir()
    (paths.local_certificates / "docassemble.key").symlink_to(paths.blobs / "0")
    with pytest.raises(Invalid, match="outside of the folders that this node allows"):
        folders.read(paths.local_certificates)


def test_links_within_a_folder_of_the_list_are_followed(folders: LinkedFolders, paths: Paths) -> None:
    live, archive = paths.root.parent / "live", paths.root.parent / "archive"
    live.mkdir()
    archive.mkdir()
    (archive / "fullchain1.pem").write_bytes(b"chain")
    (live / "fullchain.pem").symlink_to(archive / "fullchain1.pem")
    assert folders.read(live) == {"fullchain.pem": b"chain"}


def test_a_file_too_large_for_a_certificate_is_not_read(folders: LinkedFolders, paths: Paths) -> None:
    paths.local_certificates.mkdir(parents=True)
    (paths.local_certificates / "film.pem").write_bytes(bytes(2**20 + 1))
    with pytest.raises(Invalid, match="too large for a certificate"):
        folders.read(paths.local_certificates)


def test_a_folder_with_thousands_of_files_is_no_folder_of_certificates(folders: LinkedFolders, paths: Paths) -> None:
    paths.local_certificates.mkdir(parents=True)
    for number in range(1001):
        (paths.local_certificates / f"{number}.pem").touch()
    with pytest.raises(Invalid, match="has 1001 files"):
        folders.read(paths.local_certificates)


def test_the_way_to_a_place_must_be_the_agents_alone(folders: LinkedFolders, paths: Paths) -> None:
    install = places(paths).install
    install.parent.mkdir(parents=True)
    install.parent.chmod(0o777)
    with pytest.raises(NodeBroken, match=r"another user can change .*/etc; run chown root"):
        folders.show(NEW, Places(install))
    install.parent.rmdir()
    (paths.root.parent / "elsewhere").mkdir()
    install.parent.symlink_to(paths.root.parent / "elsewhere")
    with pytest.raises(NodeBroken, match=r"/etc is not a folder"):
        folders.show(NEW, Places(install))
    assert list((paths.root.parent / "elsewhere").iterdir()) == []
