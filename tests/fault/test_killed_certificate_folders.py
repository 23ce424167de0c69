"""SIGKILL before every effect of putting certificates where they are wanted."""

import itertools
import os
import signal
from pathlib import Path

import pytest

from da_agent.adapters.certificate_folders import LinkedFolders
from da_agent.domain.certificates.folders import Places
from da_agent.domain.node.certificate_places import AllowedFolders
from da_agent.domain.node.paths import Paths
from tests.clusters_of_witnesses import folder
from tests.fault.killings import Countdown

OLD = {"docassemble.crt": b"old certificate", "docassemble.key": b"old key", "old.pem": b"old"}
NEW = {"docassemble.crt": b"new certificate", "docassemble.key": b"new key", "mail/exim.crt": b"mail"}
OWNER = "www-data" if os.geteuid() == 0 else None


def content(place: Path) -> dict[str, bytes]:
    return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}


def killed(folders: LinkedFolders, places: Places, number: int) -> bool:
    """Whether a process that was to show the new certificates died before its effect with that number."""
    pid = os.fork()
    if pid == 0:
        try:
            Countdown(number, lambda _: None).begin()
            folders.show(NEW, places)
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    assert status in (0, signal.SIGKILL), status
    return status != 0


@pytest.mark.parametrize("before", ["a set", "a folder", "nothing"])
def test_whenever_it_is_killed_the_old_or_the_new_certificates_are_there_whole_and_the_next_one_tidies(
    before: str,
) -> None:
    effects = 0
    for number in itertools.count():
        with folder() as top:
            paths = Paths(top / "node")
            folders = LinkedFolders(AllowedFolders(paths, (top,)))
            places = Places(top / "etc" / "tls", top / "www" / "certs", OWNER)
            if before == "a set":
                folders.show(OLD, places)
            elif before == "a folder":
                for place in (places.install, top / "www" / "certs"):
                    place.mkdir(parents=True)
                    for name, data in OLD.items():
                        (place / name).write_bytes(data)
            ended_early = killed(folders, places, number)
            for place in (places.install, top / "www" / "certs"):
                assert content(place) in (({} if before == "nothing" else OLD), NEW)
            folders.show(NEW, places)
            for place in (places.install, top / "www" / "certs"):
                assert content(place) == NEW
                left = [path for path in place.parent.iterdir() if path != place]
                assert all(path.name.startswith(f"{place.name}.replaced-") for path in left)
                assert len(left) == (before == "a folder")
            assert len(list(paths.certificate_sets.iterdir())) == 2
        if not ended_early:
            break
        effects += 1
    assert effects > 20
