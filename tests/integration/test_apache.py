"""The web server on a real Apache with mod_wsgi, as root with www-data's workers and without root."""

import json
import os
import pwd
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from da_agent.domain.config.settings import Settings
from tests.integration.apaches import (
    HEALTH,
    Web,
    distribution,
    get,
    hello,
    said,
    wait_until,
    web,
)

HERE = Path(__file__).resolve().parents[2]


@pytest.fixture
def node() -> Iterator[Web]:
    with web() as made:
        yield made


def test_without_an_application_a_page_tells_the_release() -> None:
    with web(application=None) as node:
        node.stage(41)
        node.serve(41)
        status, body, headers = get(node.url + "/anywhere")
        assert status == 200
        assert "Release 41" in body
        assert headers["Content-Type"] == "text/html; charset=utf-8"


def test_docassembles_own_application_is_served_where_it_is_installed() -> None:
    files = {
        **distribution("docassemble.webapp", "1.0"),
        "docassemble/webapp/server.py": hello("own")["hello.py"].replace("def application", "def app"),
    }
    with web(application=None) as node:
        node.stage(1, files)
        node.serve(1)
        assert said(node.url)["version"] == "own"


def test_the_application_of_the_configuration_comes_before_the_nodes_own(node: Web) -> None:
    files = {**hello("node"), "other.py": hello("configured")["hello.py"]}
    node.stage(1, files, settings=Settings(application="other:application"))
    node.serve(1)
    assert said(node.url)["version"] == "configured"


def test_an_application_outside_the_release_is_found_by_its_path() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "outside.py").write_text(hello("outside")["hello.py"])
        with web(application="outside:application", application_path=Path(folder)) as node:
            node.stage(1)
            node.serve(1)
            assert said(node.url)["version"] == "outside"


def test_the_health_url_tells_release_and_process(node: Web) -> None:
    node.stage(7, hello("one"))
    node.serve(7)
    status, body, headers = get(node.url + HEALTH)
    told = node.health()
    assert (status, body) == (200, "")
    assert {name: told[name] for name in ("release", "draining", "error")} == {
        "release": 7,
        "draining": False,
        "error": None,
    }
    assert told["pid"] in {worker.pid for worker in node.apache.workers()}
    assert headers["Cache-Control"] == "no-store"
    assert headers["Connection"] == "close"


def test_a_worker_runs_as_the_web_user_inside_the_releases_environment(node: Web) -> None:
    node.stage(
        1,
        {
            "hello.py": "import json, os, sys\n"
            "def application(environ, start_response):\n"
            "    start_response('200 OK', [])\n"
            "    names = 'DA_CONFIG_FILE', 'DOCASSEMBLE_CONFIG', 'DA_AGENT_RELEASE'\n"
            "    said = {'uid': os.getuid(), 'prefix': sys.prefix, 'path': sys.path, 'cwd': os.getcwd()}\n"
            "    said['open'] = open('/dev/null').encoding\n"
            "    return [json.dumps({**said, **{name: os.environ[name] for name in names}}).encode()]\n"
        },
    )
    node.serve(1)
    told = said(node.url)
    release = str(node.paths.release(1).resolve())
    assert told["uid"] == (pwd.getpwnam("www-data").pw_uid if node.node.web_user else os.getuid())
    assert told["prefix"] == f"{release}/local"
    assert told["path"][-1] == f"{release}/local/lib/python3.11/site-packages"
    assert not [path for path in told["path"] if str(node.paths.base) in path]
    assert told["DA_CONFIG_FILE"] == told["DOCASSEMBLE_CONFIG"] == f"{release}/config.yml"
    assert told["DA_AGENT_RELEASE"] == "1"
    assert told["cwd"] == "/"
    assert told["open"].lower() == "utf-8"


def test_the_access_log_tells_status_release_and_process_and_clients_do_not_see_them(node: Web) -> None:
    node.stage(3, hello("one"))
    node.serve(3)
    _, body, headers = get(node.url + "/logged")
    assert headers["X-DA-Agent"] is None
    wanted = f'release=3 pid={json.loads(body)["pid"]} request="GET /logged HTTP/1.1"'
    wait_until(lambda: any(wanted in line and "status=200" in line for line in node.requests().splitlines()))


def test_a_draining_node_says_503_and_goes_on_serving(node: Web) -> None:
    node.stage(1, hello("one"))
    node.serve(1)
    node.paths.draining.touch()
    assert get(node.url + HEALTH)[:2] == (503, "")
    assert node.health()["draining"] is True
    assert said(node.url)["version"] == "one"
    assert node.probe(1).holds
    node.paths.draining.unlink()
    assert get(node.url + HEALTH)[0] == 200


def test_a_node_that_is_not_root_serves_and_reloads() -> None:
    code = (
        "import json, os, sys; sys.path.insert(0, sys.argv[1])\n"
        "from tests.integration.apaches import hello, web\n"
        "with web(web_user=None) as node:\n"
        "    node.stage(1, hello('one')); node.stage(2, hello('two'))\n"
        "    node.apache.rehearse(1); node.serve(1); before = node.apache.workers()\n"
        "    node.serve(2); proof = node.probe(2)\n"
        "    print(json.dumps([os.getuid(), proof.holds, len(proof.workers), len(before & proof.workers)]))\n"
    )
    user = pwd.getpwnam("nobody" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name)
    as_user: dict[str, Any] = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    as_user = as_user if os.getuid() == 0 else {}
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, str(HERE)],
        capture_output=True,
        text=True,
        cwd="/",
        check=False,
        timeout=120,
        **as_user,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [user.pw_uid, True, 2, 0]


def test_workers_are_found_by_what_they_are_and_asked_all(node: Web) -> None:
    node.stage(1, hello("one"), settings=Settings(processes=4))
    node.serve(1)
    workers = node.apache.workers()
    answers = node.apache.ask(4)
    assert len(workers) == 4
    assert [answer.pid for answer in answers] == sorted(worker.pid for worker in workers)
    assert {worker.started_at for worker in workers} == {psutil.Process(w.pid).create_time() for w in workers}


def test_a_web_server_that_does_not_run_has_no_workers_and_gives_no_answers(node: Web) -> None:
    assert not node.apache.running()
    assert node.apache.workers() == frozenset()
    assert node.apache.ask(2) == ()
    assert node.apache.get("/", warming=False, patience=timedelta(seconds=10)) is None


def test_a_graceful_restart_right_after_the_start_does_not_end_apache(node: Web) -> None:
    node.stage(1, hello("one"), config="a: 1\n")
    node.stage(2, hello("one"), config="a: 1\n", settings=Settings(threads=3))
    node.switch(1)
    node.apache.start()
    node.serve(2)
    assert node.apache.running()


def test_preparing_again_changes_nothing_and_mends_a_changed_loader(node: Web) -> None:
    before = (node.paths.wsgi.stat(), (node.paths.base / "pyvenv.cfg").stat())
    node.apache.prepare()
    assert (node.paths.wsgi.stat(), (node.paths.base / "pyvenv.cfg").stat()) == before
    right = node.paths.wsgi.read_bytes()
    node.paths.wsgi.write_bytes(b"raise SystemExit\n")
    (node.paths.base / "pyvenv.cfg").write_text("executable = /usr/bin/another\n")
    node.apache.prepare()
    assert node.paths.wsgi.read_bytes() == right
    assert "executable = /usr/bin/python3.11\n" in (node.paths.base / "pyvenv.cfg").read_text()
