"""The resolver on real uv and pip, a real compiler, and the index that this machine is set up for."""

import grp
import hashlib
import os
import pwd
import select
import signal
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from da_agent.adapters.packaging import UvResolver
from da_agent.domain.packages.locked import Indexes, Locked, Sources
from da_agent.domain.packages.wheels import Wheel
from da_agent.domain.store.blobs import Blob
from da_agent.errors import Invalid, NodeBroken, NotHere, Unreachable
from tests import packages
from tests.fakes import MemoryBlobs, SilentProgress

PYTHON = Path("/usr/bin/python3")
ROOT = os.geteuid() == 0
BUILDER = "da-agent-build" if ROOT else None


@pytest.fixture
def resolver(desk: Path) -> UvResolver:
    return resolver_at(desk)


def resolver_at(desk: Path, environ: Mapping[str, str] | None = None, patience: float = 300) -> UvResolver:
    return UvResolver(
        PYTHON, desk / "scratch", desk / "cache", BUILDER, SilentProgress(), environ=environ, patience=patience
    )


def inbox_of(*paths: Path, requirements: Sequence[str] = (), indexes: Indexes | None = None) -> Sources:
    return Sources(tuple(requirements), {path.name: path for path in paths}, indexes or Indexes())


def lock(resolver: UvResolver, sources: Sources, previous: Sequence[Wheel] = ()) -> tuple[Locked, ...]:
    with resolver.resolve(sources, previous) as locked:
        for each in locked:
            assert each.path is None or each.path.stat().st_size == each.wheel.blob.size
        return locked


def titles(locked: Sequence[Locked]) -> list[tuple[str, str]]:
    return [(each.wheel.name, each.wheel.version) for each in locked]


def wheels(locked: Sequence[Locked]) -> tuple[Wheel, ...]:
    return tuple(each.wheel for each in locked)


def made_paths(locked: Sequence[Locked]) -> list[Path | None]:
    return [each.path for each in locked]


def appends_to(log: Path, text: str = "'built'") -> str:
    """Something for a setup.py to do each time that it makes a wheel."""
    return f"import os, sys\nif 'bdist_wheel' in sys.argv: print({text}, file=open({str(log)!r}, 'a'))"


@pytest.fixture
def closed_port() -> Iterator[int]:
    with closing(socket.socket()) as held:
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])


# ---- what is found


def test_requirements_become_wheels_with_their_dependencies(resolver: UvResolver) -> None:
    with resolver.resolve(inbox_of(requirements=["python-dateutil==2.9.0.post0", "iniconfig"]), ()) as locked:
        names = [each.wheel.name for each in locked]
        assert names == ["iniconfig", "python-dateutil", "six"]
        for each in locked:
            assert each.path is not None
            assert each.path.name == each.wheel.filename
            assert zipfile.is_zipfile(each.path)
    assert not any(path.exists() for path in made_paths(locked) if path), "the scratch outlives its context"


def test_what_an_index_has_only_as_source_is_built(resolver: UvResolver) -> None:
    # docopt has never had a wheel.
    (docopt,) = lock(resolver, inbox_of(requirements=["docopt==0.6.2"]))
    assert docopt.wheel.source == "49b3a825280bd66b3aa83585ef59c4a8c82f2c8a522dbe754a8bc8d08c85c491"
    assert docopt.wheel.filename.startswith("docopt-0.6.2-")
    assert lock(resolver, inbox_of(requirements=["docopt"]), [docopt.wheel]) == (Locked(docopt.wheel, None),)


def test_versions_of_the_previous_release_are_preferred(resolver: UvResolver) -> None:
    (old,) = lock(resolver, inbox_of(requirements=["six==1.16.0"]))
    assert lock(resolver, inbox_of(requirements=["six"]), [old.wheel]) == (Locked(old.wheel, None),)
    assert titles(lock(resolver, inbox_of(requirements=["six>1.16"]), [old.wheel])) != [("six", "1.16.0")]


def test_nothing_to_install_is_an_empty_lock(resolver: UvResolver) -> None:
    assert lock(resolver, inbox_of()) == ()


def test_a_local_wheel_wins_over_an_index_that_has_a_newer_one(resolver: UvResolver, inbox: Path) -> None:
    ours = packages.wheel(inbox, "six", "0.0.1", {"six": "OURS = True"})
    (six,) = lock(resolver, inbox_of(ours, requirements=["six"]))
    assert (six.wheel.version, six.wheel.source) == ("0.0.1", None)


def test_of_local_distributions_the_newest_wins_and_wheels_win_over_sources(
    resolver: UvResolver, inbox: Path, log: Path
) -> None:
    build = appends_to(log)
    chosen = lock(
        resolver,
        inbox_of(
            packages.wheel(inbox, "shop", "1.9", {"shop": ""}),
            packages.wheel(inbox, "shop", "1.10", {"shop": ""}),
            packages.sdist(inbox, "shop", "1.10", {"shop": ""}, setup=build),
            # Whose version only its build can tell, and whose wheel would suit this platform better.
            packages.zip_source(inbox, "shop", "1.10", {"shop": ""}, header="stdio.h"),
            packages.sdist(inbox, "Docassemble.Kiosk", "2.0", {"kiosk": ""}),
            packages.wheel(inbox, "docassemble-kiosk", "1.0", {"kiosk": ""}),
        ),
    )
    assert titles(chosen) == [("docassemble-kiosk", "2.0"), ("shop", "1.10")]
    assert chosen[1].wheel.source is None
    assert log.read_text() == "", "a source was built that nobody needs"


def test_dependencies_of_local_distributions_come_from_the_index(resolver: UvResolver, inbox: Path) -> None:
    ours = packages.wheel(inbox, "shop", "1.0", {"shop": ""}, ["six==1.16.0"])
    assert titles(lock(resolver, inbox_of(ours))) == [("shop", "1.0"), ("six", "1.16.0")]


def test_a_zip_of_a_branch_is_built(resolver: UvResolver, inbox: Path) -> None:
    source = packages.zip_source(inbox, "docassemble-foo", "3.1", {"docassemble.foo.__init__": "answer = 42"})
    with resolver.resolve(inbox_of(source), ()) as (foo,):
        assert (foo.wheel.name, foo.wheel.version) == ("docassemble-foo", "3.1")
        assert foo.path is not None
        with zipfile.ZipFile(foo.path) as archive:
            assert archive.read("docassemble/foo/__init__.py") == b"answer = 42"


def test_an_extension_is_compiled_for_the_target(resolver: UvResolver, inbox: Path) -> None:
    (fast,) = lock(resolver, inbox_of(packages.sdist(inbox, "fast", "1.0", {"fast": ""}, header="stdio.h")))
    assert fast.wheel.filename == f"fast-1.0-cp311-cp311-{resolver.target.platform}.whl"


# ---- what is built, by whom, how often


def test_foreign_code_never_runs_as_root_and_sees_no_secrets(desk: Path, inbox: Path, log: Path) -> None:
    setup = appends_to(log, "os.getuid(), os.getgid(), os.getgroups(), 'S3SECRETACCESSKEY' in os.environ")
    resolver = resolver_at(desk, dict(os.environ) | {"S3SECRETACCESSKEY": "hush"})
    with _in_another_group():
        lock(resolver, inbox_of(packages.sdist(inbox, "nosy", "1.0", {"nosy": ""}, setup=setup)))
    if BUILDER:
        user = pwd.getpwnam(BUILDER)
        assert log.read_text() == f"{user.pw_uid} {user.pw_gid} [] False\n"
    else:
        assert log.read_text().startswith(f"{os.getuid()} ")
        assert log.read_text().endswith("False\n")


def test_equal_inputs_give_equal_locks_on_machines_that_share_nothing(inbox: Path, desk: Path) -> None:
    sources = inbox_of(packages.sdist(inbox, "shop", "1.0", {"shop": "x = 1"}, ["six"]), requirements=["iniconfig"])
    (desk / "other").mkdir()
    assert wheels(lock(resolver_at(desk), sources)) == wheels(lock(resolver_at(desk / "other"), sources))


def test_a_source_that_the_previous_release_was_built_from_is_not_built_again(
    resolver: UvResolver, inbox: Path, log: Path
) -> None:
    source = packages.sdist(inbox, "shop", "1.0", {"shop": ""}, ["six"], setup=appends_to(log))
    first = lock(resolver, inbox_of(source))
    again = lock(resolver, inbox_of(source, requirements=["iniconfig"]), wheels(first))
    assert log.read_text() == "built\n"
    assert [each.wheel for each in again if each.wheel.name != "iniconfig"] == list(wheels(first))
    assert [each.wheel.name for each in again if each.path is not None] == ["iniconfig"]


def test_a_node_that_has_the_wheel_does_not_build_what_another_node_has_built(
    desk: Path, inbox: Path, log: Path
) -> None:
    source = packages.sdist(inbox, "shop", "1.0", {"shop": ""}, ["six"], setup=appends_to(log))
    with resolver_at(desk).resolve(inbox_of(source), ()) as first:
        bodies = {each.wheel.blob: each.path for each in first if each.path}
        other = UvResolver(PYTHON, desk / "scratch", desk / "other", BUILDER, SilentProgress(), blobs=_Copies(bodies))
        assert wheels(lock(other, inbox_of(source), wheels(first))) == wheels(first)
    assert log.read_text() == "built\n"


def test_a_changed_source_of_the_same_version_is_built_anew(resolver: UvResolver, inbox: Path) -> None:
    (before,) = lock(resolver, inbox_of(packages.sdist(inbox, "shop", "1.0", {"shop": "x = 1"})))
    (after,) = lock(resolver, inbox_of(packages.sdist(inbox, "shop", "1.0", {"shop": "x = 2"})), [before.wheel])
    assert after.wheel.blob != before.wheel.blob
    assert after.path is not None


def test_a_build_that_does_not_end_is_ended(desk: Path, inbox: Path) -> None:
    endless = packages.sdist(inbox, "endless", "1.0", {"endless": ""}, setup="import time\ntime.sleep(1000)")
    with pytest.raises(Invalid, match=r"cannot build endless-1\.0\.tar\.gz: not finished"):
        lock(resolver_at(desk, patience=3), inbox_of(endless))


def test_when_we_are_asked_to_end_no_build_goes_on(desk: Path, inbox: Path) -> None:
    pipe = desk / "pipe"
    os.mkfifo(pipe)
    pipe.chmod(0o666)
    setup = f"import time\nheld = open({str(pipe)!r}, 'w')\nprint('begun', file=held, flush=True)\ntime.sleep(1000)"
    source = packages.sdist(inbox, "endless", "1.0", {"endless": ""}, setup=setup)
    process = subprocess.Popen([sys.executable, "-c", _RESOLVE, str(desk), str(source)], cwd=Path(__file__).parents[2])
    try:
        with pipe.open() as heard:
            assert heard.readline() == "begun\n"
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 143
            assert select.select([heard], [], [], 10)[0], "the build still holds the pipe"
            assert heard.read() == ""
    finally:
        process.kill()
        process.wait()
    assert list((desk / "scratch").iterdir()) == []


_RESOLVE = """
import signal, sys
from pathlib import Path
from tests.integration.test_resolvers import inbox_of, lock, resolver_at
def stop(number, frame):
    raise SystemExit(143)
signal.signal(signal.SIGTERM, stop)
lock(resolver_at(Path(sys.argv[1])), inbox_of(Path(sys.argv[2])))
"""


# ---- what is refused


def test_a_missing_header_is_named_with_its_package(resolver: UvResolver, inbox: Path) -> None:
    source = packages.sdist(inbox, "ldapper", "1.0", {"ldapper": ""}, header="no_such_ldap.h")
    with pytest.raises(Invalid, match=r"cannot build ldapper-1\.0\.tar\.gz: the C header no_such_ldap\.h is missing"):
        lock(resolver, inbox_of(source))


def test_every_missing_header_of_sdists_from_an_index_is_named(desk: Path) -> None:
    for name, header in (("airy", "stdio.h"), ("ldapper", "no_such_ldap.h"), ("saslish", "no_such_sasl.h")):
        index = desk / "simple" / name
        index.mkdir(parents=True)
        source = packages.sdist(index, name, "1.0", {name: ""}, header=header)
        sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
        (index / "index.html").write_text(f'<a href="{source.name}#sha256={sha256}">{source.name}</a>')
    indexes = Indexes(extra_index_urls=((desk / "simple").as_uri(),))
    with pytest.raises(Invalid) as caught:
        lock(resolver_at(desk), inbox_of(requirements=["airy", "ldapper", "saslish"], indexes=indexes))
    assert [mistake.split(" is missing")[0] for mistake in caught.value.mistakes] == [
        "cannot build ldapper: the C header no_such_ldap.h",
        "cannot build saslish: the C header no_such_sasl.h",
    ]


def test_a_build_that_fails_says_why(resolver: UvResolver, inbox: Path) -> None:
    source = packages.sdist(inbox, "shop", "1.0", {"shop": ""}, setup="raise RuntimeError('the moon is too full')")
    with pytest.raises(Invalid, match=r"cannot build shop-1\.0\.tar\.gz: .*the moon is too full") as caught:
        lock(resolver, inbox_of(source))
    assert len(str(caught.value)) < 900


def test_requirements_that_contradict_each_other_are_explained(resolver: UvResolver, inbox: Path) -> None:
    ours = packages.wheel(inbox, "shop", "1.0", {"shop": ""}, ["six<1.5"])
    with pytest.raises(Invalid) as caught:
        lock(resolver, inbox_of(ours, requirements=["six>=1.16"]))
    sentence = str(caught.value)
    assert sentence.startswith("cannot install these packages together: because ")
    assert "shop==1.0 depends on six<1.5" in sentence
    assert "six>=1.16" in sentence
    assert "unsatisfiable" in sentence
    assert "file:" not in sentence
    assert "\n" not in sentence


def test_a_distribution_that_no_index_knows_is_named(resolver: UvResolver) -> None:
    with pytest.raises(Invalid, match="no-such-thing-as-this-one was not found"):
        lock(resolver, inbox_of(requirements=["no-such-thing-as-this-one"]))


def test_every_file_that_is_wrong_is_named_at_once(resolver: UvResolver, inbox: Path) -> None:
    whole = packages.wheel(inbox, "shop", "1.0", {"shop": "x = 1\n" * 1000})
    (inbox / "torn-1.0-py3-none-any.whl").write_bytes(whole.read_bytes()[:200])
    (inbox / "torn-2.0.zip").write_bytes(b"PK junk")
    (inbox / "torn-3.0.tar.gz").write_bytes(b"junk")
    packages.wheel(inbox, "future", "1.0", {"future": ""}, tag="cp314-cp314-win_amd64")
    (inbox / "liar-1.0-py3-none-any.whl").write_bytes(whole.read_bytes())
    with pytest.raises(Invalid) as caught:
        lock(resolver, inbox_of(*inbox.iterdir()))
    assert [mistake.split(" ")[0:3] for mistake in caught.value.mistakes] == [
        ["cannot", "use", "torn-1.0-py3-none-any.whl:"],
        ["cannot", "use", "torn-2.0.zip:"],
        ["cannot", "use", "torn-3.0.tar.gz:"],
        ["future-1.0-cp314-cp314-win_amd64.whl", "is", "not"],
        ["liar-1.0-py3-none-any.whl", "contains", "shop"],
    ]


# ---- what is nobody's fault


def test_an_index_that_does_not_answer_is_no_refusal(desk: Path, closed_port: int) -> None:
    url = f"http://user:hush@127.0.0.1:{closed_port}/simple"
    with pytest.raises(
        Unreachable, match=f"cannot reach the package index at http://127.0.0.1:{closed_port}"
    ) as caught:
        lock(resolver_at(desk, _bare()), inbox_of(requirements=["six"], indexes=Indexes(index_url=url)))
    assert "hush" not in str(caught.value)


def test_a_build_that_cannot_get_its_tools_is_no_refusal(desk: Path, inbox: Path, closed_port: int) -> None:
    source = packages.sdist(inbox, "shop", "1.0", {"shop": ""})
    url = f"http://127.0.0.1:{closed_port}/simple"
    with pytest.raises(Unreachable, match="cannot reach the package index"):
        lock(resolver_at(desk, _bare() | {"UV_DEFAULT_INDEX": url}), inbox_of(source))


@pytest.mark.parametrize("variable", ["UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"])
def test_the_machines_own_index_is_asked(desk: Path, closed_port: int, variable: str) -> None:
    environ = _bare() | {variable: f"http://127.0.0.1:{closed_port}/simple"}
    with pytest.raises(Unreachable, match=f"index at http://127.0.0.1:{closed_port}/simple/iniconfig"):
        lock(resolver_at(desk, environ), inbox_of(requirements=["iniconfig"]))


def test_pips_configuration_is_read_anew_for_each_publication(desk: Path, inbox: Path, closed_port: int) -> None:
    packages.wheel(inbox, "shop", "1.0", {"shop": ""})
    configuration = desk / "pip.conf"
    resolver = resolver_at(desk, _bare() | {"PIP_CONFIG_FILE": str(configuration)})
    configuration.write_text(f"[global]\nindex-url = http://127.0.0.1:{closed_port}/simple\n")
    with pytest.raises(Unreachable):
        lock(resolver, inbox_of(requirements=["shop"]))
    configuration.write_text(f"[global]\nno-index = true\nfind-links = {inbox}\n")
    assert titles(lock(resolver, inbox_of(requirements=["shop"]))) == [("shop", "1.0")]


def test_an_index_that_wants_other_credentials_is_its_authors_or_this_machines_matter(desk: Path) -> None:
    with _answering(401) as url:
        with pytest.raises(Invalid, match="rejects the credentials of this machine"):
            lock(resolver_at(desk, _bare()), inbox_of(requirements=["iniconfig"], indexes=Indexes(index_url=url)))
        with pytest.raises(NotHere, match="rejects the credentials of this machine"):
            lock(resolver_at(desk, _bare() | {"PIP_INDEX_URL": url}), inbox_of(requirements=["iniconfig"]))


def test_an_index_that_is_ill_is_no_refusal(desk: Path) -> None:
    with _answering(503) as url, pytest.raises(Unreachable, match="503"):
        lock(resolver_at(desk, _bare()), inbox_of(requirements=["iniconfig"], indexes=Indexes(index_url=url)))


def test_a_machine_without_this_python_leaves_it_to_another(desk: Path) -> None:
    resolver = UvResolver(Path("/no/python3"), desk / "scratch", desk / "cache", BUILDER, SilentProgress())
    with pytest.raises(NotHere, match="cannot run /no/python3"):
        lock(resolver, inbox_of(requirements=["six"]))


def test_a_machine_without_the_build_user_or_a_way_for_it_says_so(desk: Path) -> None:
    stranger = UvResolver(PYTHON, desk / "scratch", desk / "cache", "no-such-user", SilentProgress())
    if not ROOT:
        assert titles(lock(stranger, inbox_of(requirements=["six==1.16.0"]))) == [("six", "1.16.0")]
        return
    with pytest.raises(NotHere, match="no user no-such-user"):
        lock(stranger, inbox_of(requirements=["six"]))
    with pytest.raises(NotHere, match="as root"):
        lock(
            UvResolver(PYTHON, desk / "scratch", desk / "cache", None, SilentProgress()), inbox_of(requirements=["six"])
        )
    (desk / "closed").mkdir(mode=0o700)
    with pytest.raises(NodeBroken, match=r"da-agent-build.*may not enter .*/closed"):
        lock(resolver_at(desk / "closed"), inbox_of(requirements=["six"]))


# ---- helping hands


class _Copies(MemoryBlobs):
    """Blobs that lie somewhere already."""

    def __init__(self, paths: Mapping[Blob, Path]) -> None:
        super().__init__()
        self._paths = paths

    def has(self, blob: Blob) -> bool:
        return blob in self._paths

    def path(self, blob: Blob) -> Path:
        return self._paths[blob]


@contextmanager
def _in_another_group() -> Iterator[None]:
    """What a root shell has, and a build must not inherit."""
    before = os.getgroups()
    if ROOT:
        os.setgroups([*before, grp.getgrnam("adm").gr_gid])
    try:
        yield
    finally:
        if ROOT:
            os.setgroups(before)


def _bare() -> dict[str, str]:
    """This environment on a machine where nobody has set up uv or pip."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("UV_", "PIP_"))}
    return ours | {"PIP_CONFIG_FILE": os.devnull, "UV_HTTP_RETRIES": "1"}


@contextmanager
def _answering(status: int) -> Iterator[str]:
    """An index that has only one answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/simple"
        finally:
            server.shutdown()
            thread.join()
