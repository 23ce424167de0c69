"""A process of the web user that puts links in the way of root, as fast as it can: it never wins."""

import os
import secrets
import signal
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from da_agent.adapters.apache import Apache
from da_agent.adapters.certificate_folders import LinkedFolders, mounts
from da_agent.adapters.scratches import Scratch
from da_agent.domain.certificates.folders import Places
from da_agent.domain.node.certificate_places import AllowedFolders
from da_agent.domain.node.paths import Paths
from da_agent.errors import AgentError
from da_agent.held_folders import held
from da_agent.processes import Account
from tests.integration.apaches import Runner, make_node
from tests.other_users import become

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="without root everything runs as one user"),
    pytest.mark.seconds(30),
]

ROUNDS = 1000
USER = "www-data"
FOUND = {"docassemble.crt": b"certificate", "docassemble.key": b"key", "mail/exim.crt": b"mail"}


class Victim:
    """A file and a folder of root alone, and how they must stay."""

    def __init__(self, top: Path) -> None:
        self.folder = top / "victim"
        self.folder.mkdir(mode=0o700)
        self.file = self.folder / "shadow"
        self.file.write_bytes(b"root's own")
        self.file.chmod(0o600)
        self._before = self._states()

    def _states(self) -> object:
        def state(path: Path) -> object:
            found = path.lstat()
            return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode), found.st_mtime_ns

        return sorted(map(str, self.folder.rglob("*"))), self.file.read_bytes(), state(self.file), state(self.folder)

    def check(self, number: int) -> None:
        assert self._states() == self._before, f"won in round {number}"


@pytest.fixture
def top() -> Iterator[Path]:
    """A folder in memory where there is one: some rounds wait for the disk many times."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="da-", dir=shared if shared.is_dir() else "/tmp") as path:
        Path(path).chmod(0o755)
        yield Path(path)


@pytest.fixture
def victim(top: Path) -> Victim:
    return Victim(top)


@contextmanager
def racing(step: Callable[[], object]) -> Iterator[None]:
    """While the context is open, a process of the web user does `step` again and again, whatever happens to it."""
    pid = os.fork()
    if pid == 0:
        try:
            become(USER)
            while os.getppid() != 1:
                with suppress(OSError):
                    step()
        finally:
            os._exit(0)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def exchange(path: Path, target: Path) -> None:
    """Put a link to `target` in the place of `path`, a file, a link or a folder."""
    new = path.with_name(f"x{secrets.token_hex(4)}")
    new.symlink_to(target)
    try:
        new.replace(path)
    except OSError:
        path.rename(path.with_name(f"y{secrets.token_hex(4)}"))
        new.replace(path)


def given(path: Path) -> Path:
    """A new folder of the web user."""
    path.mkdir(parents=True, mode=0o755)
    os.chown(path, *ids())
    return path


def ids() -> tuple[int, int]:
    account = Account.of(USER)
    return account.uid, account.gid


def rounds(victim: Victim, act: Callable[[int], object]) -> None:
    done = 0
    for number in range(ROUNDS):
        try:
            act(number)
            done += 1
        except (AgentError, OSError):
            # An expected answer: the way is not safe, or what was there has gone.
            pass
        victim.check(number)
    assert done, "no round has come to its end"


def node(top: Path) -> tuple[Apache, Paths]:
    paths = Paths(top / "node")
    paths.agent.mkdir(parents=True)
    apache = Apache(make_node(paths.root), paths, Runner({}, top / "log"))
    apache.prepare()
    os.chown(paths.wsgi.parent, *ids())
    return apache, paths


def test_the_loader_is_written_where_the_web_user_exchanges_it(top: Path, victim: Victim) -> None:
    apache, paths = node(top)

    def step() -> None:
        for path in (paths.wsgi, *paths.wsgi.parent.glob(".*.new")):
            exchange(path, victim.file)

    with racing(step):
        rounds(victim, lambda _: apache.prepare())


def test_the_loader_is_touched_where_the_web_user_exchanges_it(top: Path, victim: Victim) -> None:
    apache, paths = node(top)
    text = paths.wsgi.read_bytes()

    def step() -> None:
        exchange(paths.wsgi, victim.file)
        new = paths.wsgi.with_name("new")
        new.write_bytes(text)
        new.replace(paths.wsgi)

    with racing(step):
        rounds(victim, lambda _: apache.reload())


def test_a_loader_that_is_a_pipe_or_endless_does_not_hold_the_agent(top: Path) -> None:
    apache, paths = node(top)
    text = paths.wsgi.read_bytes()
    paths.wsgi.unlink()
    os.mkfifo(paths.wsgi)
    apache.prepare()
    assert paths.wsgi.read_bytes() == text
    paths.wsgi.unlink()
    with paths.wsgi.open("wb") as file:
        file.truncate(1 << 40)
    os.chown(paths.wsgi, *ids())
    apache.prepare()
    assert paths.wsgi.read_bytes() == text


def test_unfinished_files_are_removed_where_the_web_user_makes_folders_and_links(top: Path, victim: Victim) -> None:
    _, paths = node(top)
    paths.scratch.mkdir()
    folder = paths.wsgi.parent

    def step() -> None:
        path = folder / f".a.{secrets.token_hex(6)}.new"
        path.mkdir()
        path.rmdir()
        path.symlink_to(victim.file)

    with racing(step):
        rounds(victim, lambda _: Scratch(paths.scratch).sweep(folder))


def test_the_scratch_folder_is_emptied_where_the_web_user_owns_a_part_of_it(top: Path, victim: Victim) -> None:
    paths = Paths(top / "node")
    scratch = paths.scratch / "resolve"

    def step() -> None:
        (scratch / "home" / "deep" / "er").mkdir(parents=True, exist_ok=True)
        exchange(scratch / "home" / "deep", victim.folder)

    def act(_: int) -> None:
        Scratch(paths.scratch).sweep()
        if not scratch.is_dir():
            scratch.mkdir()
            given(scratch / "home")

    scratch.mkdir(parents=True)
    with racing(step):
        rounds(victim, act)


def folders(paths: Paths, top: Path) -> LinkedFolders:
    return LinkedFolders(AllowedFolders(paths, (top,)))


def other(number: int) -> dict[str, bytes]:
    return {name: data + str(number % 2).encode() for name, data in FOUND.items()}


def test_a_set_of_certificates_is_made_for_the_web_user(top: Path, victim: Victim) -> None:
    paths = Paths(top / "node")
    made = folders(paths, top)
    places = Places(top / "etc" / "tls", top / "www" / "certs", USER)

    def step() -> None:
        for folder in paths.certificate_sets.iterdir():
            for name in ("docassemble.key", "mail", "docassemble.crt"):
                exchange(folder / name, victim.file)

    with racing(step):
        rounds(victim, lambda number: made.show(other(number), places))


def test_certificates_are_put_into_a_folder_of_the_web_user_that_cannot_be_moved(top: Path, victim: Victim) -> None:
    place = given(top / "www")

    def step() -> None:
        for path in place.iterdir():
            exchange(path, victim.folder if path.name == "mail" else victim.file)

    def act(number: int) -> None:
        with held(place) as folder:
            mounts.fill(folder, other(number), ids())

    with racing(step):
        rounds(victim, act)


def test_a_list_of_the_agents_files_leads_to_no_file_elsewhere(top: Path, victim: Victim) -> None:
    """The web user can write the list in its own folder: the agent would remove what stands there."""
    place = given(top / "www")
    (place / ".da-agent.json").write_text('["../victim/shadow", "/etc/passwd-", "a/../../victim/shadow", 1, null]')
    (place / "a").symlink_to(top)
    with held(place) as folder:
        mounts.fill(folder, FOUND, ids())
    victim.check(0)
    assert (place / "docassemble.key").read_bytes() == b"key"


def test_a_link_is_made_in_a_folder_of_the_web_user(top: Path, victim: Victim) -> None:
    paths, way = Paths(top / "node"), given(top / "www")
    made = folders(paths, way)
    places = Places(top / "node" / "ssl", way / "sub" / "certs", USER)

    def step() -> None:
        for path in way.iterdir():
            exchange(path, victim.folder)
            path.unlink()

    with racing(step):
        rounds(victim, lambda number: made.show(other(number), places))


def test_a_link_takes_the_place_of_what_the_web_user_exchanges(top: Path, victim: Victim) -> None:
    paths, way = Paths(top / "node"), given(top / "www")
    made = folders(paths, way)
    places = Places(top / "node" / "ssl", way / "certs", USER)

    def step() -> None:
        for path in way.iterdir():
            exchange(path, victim.folder)
            path.unlink()
        (way / "certs").mkdir()

    with racing(step):
        rounds(victim, lambda number: made.show(other(number), places))
