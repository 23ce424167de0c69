"""The build user against the agent and the application against the build user: neither gains anything."""

import os
import pwd
import re
import select
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from da_agent.adapters.packaging import handovers
from da_agent.adapters.packaging.build_users import build_user
from da_agent.adapters.packaging.enclosures import Enclosure
from da_agent.adapters.packaging.workshops import Workshop
from da_agent.errors import Invalid, NotHere
from da_agent.processes import Account
from tests import packages
from tests.integration.test_resolvers import BUILDER, appends_to, inbox_of, lock, resolver_at, titles

ROUNDS = 1000

needs_root = pytest.mark.skipif(BUILDER is None, reason="without root everything runs as one user")


UID = os.geteuid() if BUILDER is None else pwd.getpwnam(BUILDER).pw_uid

needs_namespaces = pytest.mark.skipif(
    BUILDER is None or not Enclosure.of(Account.of(BUILDER)).namespaces, reason="this machine lets root make none"
)


def builder() -> Account | None:
    return None if BUILDER is None else Account.of(BUILDER)


# ---- who it is


@needs_root
def test_a_machine_without_the_build_user_gets_the_command_that_makes_it() -> None:
    with pytest.raises(NotHere) as caught:
        build_user("da-agent-builds", "www-data")
    assert str(caught.value) == (
        "cannot build packages here: this machine has no user da-agent-builds. Make it: useradd --system --user-group"
        " --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin da-agent-builds"
    )


@needs_root
def test_the_build_user_is_neither_root_nor_the_web_user_nor_in_its_group() -> None:
    with pytest.raises(NotHere, match="set DA_AGENT_BUILD_USER"):
        build_user(None, "www-data")
    with pytest.raises(NotHere, match="cannot build packages as root: it has the rights of root"):
        build_user("root", "www-data")
    with pytest.raises(NotHere, match="it has the user id of www-data, which runs the application"):
        build_user("www-data", "www-data")
    with pytest.raises(NotHere, match="other programs may run as it"):
        build_user("nobody", "www-data")
    # Both have the group nogroup on every Debian.
    with pytest.raises(NotHere, match="it has the group of nobody, which runs the application"):
        build_user("_apt", "nobody")
    assert build_user(BUILDER, "www-data") == builder()


# ---- what it hands over


def refused(path: Path) -> None:
    copy = path.parent.parent / "copy"
    with pytest.raises(Invalid, match=f"cannot use {path.name}, which a build made"):
        handovers.take(path, copy, UID)
    assert not copy.exists()


def test_only_a_file_that_the_build_owns_alone_is_taken(desk: Path) -> None:
    outbox = Workshop(desk, desk / "cache", builder(), {}).outbox("out")
    secret = desk / "secret"
    secret.write_text("hush")

    def second_name(path: Path) -> None:
        path.hardlink_to(secret)

    def left_over_name(path: Path) -> None:
        path.hardlink_to(secret)
        secret.unlink()

    def socket_at(path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))

    makers: list[Callable[[Path], object]] = [
        lambda path: path.symlink_to(secret),
        os.mkfifo,
        Path.mkdir,
        socket_at,
        second_name,
    ]
    if BUILDER is not None:
        makers.append(left_over_name)
    for number, make in enumerate(makers):
        path = outbox / f"shop-{number}.whl"
        make(path)
        refused(path)


@needs_root
def test_a_file_that_changes_while_it_is_taken_never_leads_to_another(desk: Path) -> None:
    workshop = Workshop(desk, desk / "cache", builder(), {})
    outbox = workshop.outbox("out", {"ours": "ours"})
    secret = desk / "secret"
    secret.write_text("hush")
    secret.chmod(0o600)
    with attacking(_SWAPS, outbox, secret) as attacker:
        assert attacker.stdout is not None
        assert attacker.stdout.readline() == "begun\n"
        taken = [_taken(outbox / "made", desk / f"copy-{number}") for number in range(ROUNDS)]
        assert attacker.poll() is None
    assert set(taken) <= {None, "ours"}
    assert None in taken, "the attack was not tried"


def _taken(made: Path, copy: Path) -> str | None:
    try:
        handovers.take(made, copy, UID)
    except (Invalid, FileNotFoundError):
        return None
    return copy.read_text()


_SWAPS = """
import os, sys
from contextlib import suppress
outbox, secret = sys.argv[1:]
os.chdir(outbox)
print("begun", flush=True)
while True:
    for plant in (lambda: os.symlink(secret, "new"), lambda: os.link(secret, "new"), lambda: os.mkfifo("new"),
                  lambda: open("new", "w").write("ours")):
        with suppress(OSError):
            plant()
            os.rename("new", "made")
"""


@needs_root
def test_no_link_in_a_folder_that_is_given_away_makes_root_change_another(desk: Path) -> None:
    victim = desk / "victim"
    victim.mkdir(mode=0o700)
    before = os.lstat(victim)
    planted = 0
    with attacking(_PLANTS, desk, victim) as attacker:
        assert attacker.stdout is not None
        for number in range(ROUNDS):
            root = desk / str(number)
            root.mkdir()
            Workshop(root, desk / "cache", builder(), {})
            planted += attacker.stdout.readline() == f"planted {number}\n"
    after = os.lstat(victim)
    assert planted == ROUNDS, "the attack was not tried"
    assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)


_PLANTS = """
import os, sys
from itertools import count
top, victim = sys.argv[1:]
for number in count():
    place = f"{top}/{number}/home/tmp"
    while True:
        try:
            os.symlink(victim, place)
            break
        except FileExistsError:
            os.rename(place, f"{place}-{number}")
        except OSError:
            pass
    print(f"planted {number}", flush=True)
"""


# ---- what others can do to it


@needs_root
def test_the_application_changes_nothing_of_what_is_built_and_reads_nothing(desk: Path, inbox: Path) -> None:
    sources = [packages.sdist(inbox, f"shop{number}", "1.0", {f"shop{number}": "x = 1"}) for number in range(2)]
    with attacking(_REWRITES, desk, user="www-data") as attacker:
        assert attacker.stdout is not None
        assert attacker.stdout.readline() == "begun\n"
        assert titles(lock(resolver_at(desk), inbox_of(*sources))) == [("shop0", "1.0"), ("shop1", "1.0")]
        attacker.terminate()
        seen = attacker.stdout.read()
    assert seen == ""


_REWRITES = """
import os, sys
print("begun", flush=True)
while True:
    for place in ("scratch", "cache"):
        for folder, names, files in os.walk(os.path.join(sys.argv[1], place)):
            for name in files:
                for flags in (os.O_RDONLY, os.O_WRONLY):
                    try:
                        os.open(os.path.join(folder, name), flags)
                        print("opened", name, flags, flush=True)
                    except FileNotFoundError:
                        pass
                    except PermissionError:
                        print("found", name, flush=True)
"""


def test_a_build_may_nest_folders_as_deep_as_it_wants(desk: Path, inbox: Path) -> None:
    nested = "import os\nhere = os.getcwd()\nos.chdir(os.environ['HOME'])\n"
    nested += "for _ in range(2000): os.mkdir('d'); os.chdir('d')\nos.chdir(here)"
    nested = f"import sys\nif 'bdist_wheel' in sys.argv:\n {nested.replace(chr(10), chr(10) + ' ')}"
    source = packages.sdist(inbox, "deep", "1.0", {"deep": ""}, setup=nested)
    assert titles(lock(resolver_at(desk), inbox_of(source))) == [("deep", "1.0")]
    assert list((desk / "scratch").iterdir()) == []


# ---- what it can see and leave behind


@needs_root
@needs_namespaces
def test_a_build_sees_no_other_process_and_leaves_none(desk: Path, inbox: Path, log: Path) -> None:
    pipe = desk / "pipe"
    os.mkfifo(pipe)
    pipe.chmod(0o666)
    daemon = _DAEMON.format(pipe=str(pipe))
    seen = appends_to(log, "sorted(int(name) for name in os.listdir('/proc') if name.isdecimal())")
    source = packages.sdist(inbox, "lasting", "1.0", {"lasting": ""}, setup=f"{seen}\n{daemon}")
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        lock(resolver_at(desk), inbox_of(source))
        # Readable until its end, which comes when no process holds the other side any more.
        heard = b""
        while select.select([reading], [], [], 30)[0] and (data := os.read(reading, 100)):
            heard += data
        assert re.fullmatch(b"(begun)+", heard)
        assert data == b"", "a process of the build is still there"
    finally:
        os.close(reading)
    assert str(os.getpid()) not in log.read_text()


_DAEMON = """
if not os.fork():
    os.setsid()
    if not os.fork():
        held = os.open({pipe!r}, os.O_WRONLY)
        os.write(held, b"begun")
        for number in range(3):
            os.dup2(os.open("/dev/null", os.O_RDWR), number)
        import time
        time.sleep(1000)
    os._exit(0)
"""


@needs_root
def test_what_a_build_has_left_running_cannot_touch_the_process_that_compiles(desk: Path, inbox: Path) -> None:
    large = "".join(f"x{number} = {{'a': [{number}, 2]}}\n" for number in range(30_000))
    wheel = packages.wheel(inbox, "large", "1.0", {"large": large})
    with attacking(_TRACES, desk) as attacker:
        assert attacker.stdout is not None
        assert attacker.stdout.readline() == "begun\n"
        assert titles(lock(resolver_at(desk), inbox_of(wheel))) == [("large", "1.0")]
        attacker.terminate()
        seen = set(attacker.stdout.read().splitlines())
    assert seen == {"seen"}


_TRACES = """
import os, sys
from contextlib import suppress
me = os.getuid()
print("begun", flush=True)
while True:
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        with suppress(OSError):
            with open(f"/proc/{pid}/status") as status:
                its = [line.split()[1] for line in status if line.startswith("Uid:")]
            with open(f"/proc/{pid}/cmdline") as line:
                compiles = "bytecode_writer" in line.read() and int(pid) != os.getpid()
            if not compiles or its != [str(me)]:
                continue
            print("seen", flush=True)
            with suppress(PermissionError):
                os.open(f"/proc/{pid}/mem", os.O_RDWR)
                print("opened its memory", flush=True)
            with suppress(PermissionError):
                os.listdir(f"/proc/{pid}/fd")
                print("reached its files", flush=True)
"""


@needs_root
@needs_namespaces
def test_in_a_container_what_builds_left_ends_with_the_last_resolution(desk: Path) -> None:
    """In a namespace, because it would end the builds of other tests."""
    command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, "-c", _LEAVES, str(desk)]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    assert (ran.stdout, ran.stderr) == ("running\nended\n", "")


_LEAVES = """
import subprocess, sys
from pathlib import Path
from da_agent.adapters.packaging import leftovers
from da_agent.adapters.packaging.enclosures import Enclosure
from tests.integration.test_build_users import builder
def ended():
    return leftovers.ended(builder(), Enclosure.of(builder()).user, Path(sys.argv[1]))
with ended():
    left = subprocess.Popen([*Enclosure.of(builder()).user, "sh", "-c", "echo; sleep 1000"], stdout=subprocess.PIPE)
    left.stdout.readline()
    with ended():
        pass
    print("running" if left.poll() is None else "ended", flush=True)
left.wait()
print("ended")
"""


def test_the_caches_of_a_former_build_user_and_what_it_built_are_removed(desk: Path) -> None:
    cache = desk / "cache"
    for folder in ("of-33/uv", "built/3.11-linux", f"of-{UID}/uv"):
        (cache / folder).mkdir(parents=True)
    root = desk / "root"
    root.mkdir()
    Workshop(root, cache, builder(), {})
    left = {path.name for path in cache.glob("*/*")}
    assert left == ({"uv"} if BUILDER else {"uv", "3.11-linux"})
    modes = {folder.name: stat.S_IMODE(folder.stat().st_mode) for folder in cache.glob("*") if folder.name != "of-33"}
    assert modes == {"built": 0o700, f"of-{UID}": 0o700}


@contextmanager
def attacking(script: str, *arguments: object, user: str | None = BUILDER) -> Iterator["subprocess.Popen[str]"]:
    """A process of `user` that runs `script` until the end of the context."""
    account = Account.of(str(user))
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
        user=account.uid,
        group=account.gid,
        extra_groups=[],
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
