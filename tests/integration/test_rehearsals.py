"""What a rehearsal finds on a real Apache, uv and interpreter, and that nothing of it stays."""

import os
import pwd
import subprocess
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from da_agent.errors import NodeBroken, ReleaseBroken
from tests.integration.apaches import SHORT, Web, certificate, distribution, hello, wait_until, web


@pytest.fixture
def node() -> Iterator[Web]:
    with web() as made:
        yield made


def gone(pid: int) -> bool:
    """Ended, reaped by its new parent or not."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_rehearsal_of_a_good_release_passes_and_changes_nothing_in_it(node: Web) -> None:
    node.stage(1, {**hello("one"), **distribution("a", "1.0", "b>=1"), **distribution("b", "1.0")})
    for folder in node.paths.release(1).rglob("site-packages"):
        folder.chmod(0o777)
    before = sorted(node.paths.release(1).rglob("*"))
    node.apache.rehearse(1)
    assert sorted(node.paths.release(1).rglob("*")) == before


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import what_nobody_has\n", r"ModuleNotFoundError: No module named 'what_nobody_has' \(.*hello.py, line 1\)"),
        ("def application(:\n", r"SyntaxError: invalid syntax"),
        ("application = None\n", r"hello:application is not a WSGI application"),
        ("VERSION = 1\n", r"has no attribute 'application'"),
        ("import sys\nsys.exit(0)\n", r"SystemExit: 0"),
        ("import os\nprint('good bye', flush=True)\nos._exit(0)\n", r"ended the process \(exit code 0\): good bye"),
        ("import os\nos.kill(os.getpid(), 9)\n", r"ended the process \(signal 9\)"),
    ],
)
def test_rehearsal_finds_an_application_that_cannot_be_loaded(node: Web, text: str, reason: str) -> None:
    node.stage(1, {"hello.py": text})
    with pytest.raises(ReleaseBroken, match=rf"cannot serve release 1: its application cannot be loaded: .*{reason}"):
        node.apache.rehearse(1)


def test_rehearsal_names_the_packages_that_do_not_fit_together(node: Web) -> None:
    node.stage(1, {**hello("one"), **distribution("a", "1.0", "b>=2"), **distribution("b", "1.5")})
    with pytest.raises(ReleaseBroken, match=r"do not fit together: The package `a` requires `b>=2`, but `1.5`"):
        node.apache.rehearse(1)


def test_rehearsal_finds_what_apache_does_not_accept(node: Web) -> None:
    node.stage(1, hello("one"))
    with (node.paths.release(1) / "apache2.conf").open("a") as file:
        file.write("NoSuchDirective On\n")
    with pytest.raises(ReleaseBroken, match=r"Apache does not accept .* Invalid command 'NoSuchDirective'"):
        node.apache.rehearse(1)


def test_rehearsal_finds_a_key_that_belongs_to_another_certificate(node: Web, tmp_path: Path) -> None:
    mixed = {**certificate(tmp_path, "one"), "docassemble.key": certificate(tmp_path, "two")["docassemble.key"]}
    node.stage(1, hello("one"), mixed)
    with pytest.raises(ReleaseBroken, match=r"its certificate cannot be served: .*key values mismatch"):
        node.apache.rehearse(1)


def test_rehearsal_does_not_wait_for_the_password_of_an_encrypted_key(node: Web, tmp_path: Path) -> None:
    pair = certificate(tmp_path, "one")
    encrypted = subprocess.run(
        ["openssl", "pkcs8", "-topk8", "-passout", "pass:secret"],
        input=pair["docassemble.key"],
        capture_output=True,
        check=True,
    ).stdout
    node.stage(1, hello("one"), {**pair, "docassemble.key": encrypted})
    with pytest.raises(ReleaseBroken, match=r"docassemble.key: is protected by a passphrase"):
        node.apache.rehearse(1)


SPAWN = (
    "import os, subprocess, sys, threading\n"
    "child = subprocess.Popen(['sleep', '1000'])\n"
    "with open('{note}', 'w') as note: note.write(f'{{os.getpid()}} {{child.pid}} {{os.getuid()}}')\n"
)


@pytest.fixture
def note(node: Web) -> Path:
    """A file that the web user may write."""
    folder = node.paths.root / "notes"
    folder.mkdir()
    folder.chmod(0o777)
    return folder / "note"


def test_rehearsal_leaves_no_process_behind(node: Web, note: Path) -> None:
    text = SPAWN.format(note=note) + "threading.Thread(target=threading.Event().wait).start()\n"
    node.stage(1, {"hello.py": text + hello("one")["hello.py"]})
    node.apache.rehearse(1)
    process, child, user = map(int, note.read_text().split())
    assert user == (pwd.getpwnam("www-data").pw_uid if node.node.web_user else os.getuid())
    wait_until(lambda: gone(process) and gone(child))


def test_a_rehearsal_that_hangs_is_ended_and_says_where_it_was(node: Web, note: Path) -> None:
    text = SPAWN.format(note=note) + "threading.Event().wait()\n"
    node.stage(1, {"hello.py": text}, settings=SHORT)
    with pytest.raises(ReleaseBroken, match=r"did not end within 2 seconds; it was executing .*hello.py\", line 4"):
        node.apache.rehearse(1)
    process, child, _ = map(int, note.read_text().split())
    wait_until(lambda: gone(process) and gone(child))


def test_a_rehearsal_that_stops_itself_is_ended_too(node: Web, note: Path) -> None:
    text = SPAWN.format(note=note) + "import signal\nos.kill(os.getpid(), signal.SIGSTOP)\n"
    node.stage(1, {"hello.py": text}, settings=SHORT)
    with pytest.raises(ReleaseBroken, match="did not end within 2 seconds"):
        node.apache.rehearse(1)
    process, child, _ = map(int, note.read_text().split())
    wait_until(lambda: gone(process) and gone(child))


def test_a_rehearsal_does_not_see_what_would_act_on_the_cluster() -> None:
    text = "import os\nassert 'SUPERVISOR_SERVER_URL' not in os.environ\nassert os.environ['DBNAME'] == 'docassemble'\n"
    variables = {"SUPERVISOR_SERVER_URL": "http://127.0.0.1:1", "DBNAME": "docassemble", "TMPDIR": "/root/private"}
    with web(variables=variables, application_variables=("DBNAME",)) as node:
        node.stage(1, {"hello.py": text + hello("one")["hello.py"]})
        node.apache.rehearse(1)


def test_a_loader_that_cannot_be_read_is_the_nodes_fault_not_the_releases(node: Web) -> None:
    node.stage(1, hello("one"))
    node.paths.wsgi.unlink()
    with pytest.raises(NodeBroken, match=r"as the web user: .*No such file .*docassemble.wsgi"):
        node.apache.rehearse(1)


def test_a_root_that_the_web_user_may_not_enter_is_the_nodes_fault_not_the_releases(node: Web) -> None:
    node.stage(1, hello("one"))
    if node.node.web_user:
        node.paths.root.chmod(0o700)
    else:
        (node.paths.base / "bin" / "python").unlink()
    with pytest.raises(NodeBroken, match=r"cannot run .*(ermission|No such file)"):
        node.apache.rehearse(1)


PTH = {"zz.pth": "import sys; print('hello from a .pth file'); print('{', file=sys.stderr)\n"}


def test_a_print_from_a_pth_file_is_no_failed_package_check(node: Web) -> None:
    node.stage(1, {**hello("one"), **distribution("a", "1.0", "b>=1"), **distribution("b", "1.0"), **PTH})
    node.apache.rehearse(1)
    node.stage(2, {**hello("one"), **distribution("a", "1.0", "b>=2", "c"), **distribution("b", "1.5"), **PTH})
    with pytest.raises(ReleaseBroken, match=r"its packages do not fit together: .*a 1.0 .*b"):
        node.apache.rehearse(2)


@pytest.mark.parametrize(
    "text",
    [
        "print('[' * 200000 + ']' * 200000, flush=True)\nimport os\nos._exit(3)\n",
        "while True: print('x' * 100000)\n",
        "raise RuntimeError('postgresql://u:hunter2@db/' + 'x' * 8_000_000)\n",
        "print('password=hunter2 ' + 'x' * 8_000_000, flush=True)\nimport os\nos._exit(3)\n",
        "print('\\x1b[2J\\u202e', flush=True)\nimport os\nos._exit(3)\n",
        "print('{\"error\": ' + '[' * 200000, flush=True)\nimport os\nos._exit(3)\n",
    ],
    ids=["nested", "endless", "a long error", "a long line", "control sequences", "nested in a verdict"],
)
def test_what_an_application_prints_is_bounded_and_masked(node: Web, text: str) -> None:
    node.stage(1, {"hello.py": text}, settings=SHORT)
    tracemalloc.start()
    with pytest.raises(ReleaseBroken, match="cannot serve release 1: its application cannot be loaded: ") as caught:
        node.apache.rehearse(1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 32 * 1024 * 1024
    said = str(caught.value)
    assert len(said) <= 400
    assert said.isprintable()
    assert "hunter2" not in said
