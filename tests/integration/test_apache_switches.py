"""From release to release: touch, graceful restart and certificates on a real Apache."""

import json
import os
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from da_agent.domain.settings import Settings
from tests.integration.apaches import (
    HEALTH,
    SHORT,
    Web,
    certificate,
    get,
    hello,
    said,
    served,
    wait_until,
    web,
)
from tests.load import Load


@pytest.fixture
def node() -> Iterator[Web]:
    with web() as made:
        yield made


def presented(node: Web) -> str:
    """The certificate that Apache shows to openssl, as PEM."""
    shown = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{node.node.https_port}"],
        input="",
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    ).stdout
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----\n"
    assert begin in shown, shown
    return shown[shown.index(begin) : shown.index(end) + len(end)]


def test_a_switch_and_a_touch_replace_every_worker_and_no_request_fails(node: Web) -> None:
    node.stage(1, hello("one"))
    node.stage(2, hello("two"))
    node.serve(1)
    before = node.apache.workers()
    with Load(node.url) as load:
        load.wait_for(served("one"), count=30)
        node.switch(2)
        node.apache.reload()
        proof = node.prove(2)
        assert proof.holds, str(proof)
        assert not proof.workers & before
        load.wait_for(served("two"), count=30)
        node.switch(1)
        node.apache.reload()
        assert node.prove(1).holds
        load.wait_for(served("one"), count=30)
    assert load.failures == []


def test_an_old_worker_never_imports_from_the_new_release(node: Web) -> None:
    node.stage(1, hello("one"))
    node.stage(2, hello("two"))
    node.serve(1)
    node.switch(2)
    old = {worker.pid for worker in node.apache.workers()}
    answers: dict[int, tuple[str, str]] = {}
    with Load(node.url + "/lazy", clients=8) as load:

        def every_old_worker_answered() -> bool:
            for reply in load.replies:
                told = json.loads(reply.body)
                answers[told["pid"]] = (told["version"], told["lazy"])
            return set(answers) >= old

        wait_until(every_old_worker_answered)
    assert answers == dict.fromkeys(old, ("one", "one"))


def test_a_touch_moves_the_time_also_when_the_clock_went_back(node: Web) -> None:
    future = time.time_ns() + 3_600_000_000_000
    os.utime(node.paths.wsgi, ns=(future, future))
    node.apache.reload()
    assert node.paths.wsgi.stat().st_mtime_ns // 1000 > future // 1000


def test_an_import_error_is_visible_at_once_and_the_release_before_it_heals(node: Web) -> None:
    node.stage(1, hello("one"))
    node.stage(2, {"hello.py": "import what_nobody_has\n"})
    node.serve(1)
    node.switch(2)
    node.apache.reload()
    wait_until(lambda: {answer.release for answer in node.apache.ask(2)} == {2})
    proof = node.prove(2, seconds=0)
    assert proof.broken is not None
    assert "No module named 'what_nobody_has'" in proof.broken
    assert "hello.py, line 1)" in proof.broken
    assert get(node.url)[:2] == (500, "The application cannot be loaded.\n")
    assert get(node.url + HEALTH)[0] == 500
    assert "ModuleNotFoundError" in node.runner.log
    node.switch(1)
    node.apache.reload()
    assert node.prove(1).holds
    assert said(node.url)["version"] == "one"


def test_a_worker_that_never_ends_loading_is_replaced_when_its_time_is_up(node: Web) -> None:
    node.stage(1, hello("one"))
    node.stage(2, {"hello.py": "import threading\nthreading.Event().wait()\n"}, settings=SHORT)
    node.serve(1)
    node.switch(2)
    node.apache.reload()
    before = node.apache.workers()
    node.apache.ask(2)
    wait_until(lambda: not node.apache.workers() & before)
    node.switch(1)
    proof = node.prove(1)
    assert proof.holds, str(proof)


def test_https_presents_the_releases_certificate_and_a_graceful_restart_changes_it(node: Web, tmp_path: Path) -> None:
    one, two = certificate(tmp_path, "one"), certificate(tmp_path, "two")
    node.stage(1, hello("one"), one)
    node.stage(2, hello("two"), two)
    node.apache.rehearse(1)
    node.serve(1)
    assert presented(node) == one["docassemble.crt"].decode()
    with Load(node.url) as load:
        load.wait_for(served("one"), count=20)
        node.switch(2)
        node.apache.restart()
        assert node.prove(2).holds
        load.wait_for(served("two"), count=20)
    wait_until(lambda: presented(node) == two["docassemble.crt"].decode())
    unverified = ssl._create_unverified_context()
    with urllib.request.urlopen(f"https://127.0.0.1:{node.node.https_port}/", context=unverified, timeout=20) as reply:
        assert json.load(reply)["version"] == "two"


def test_a_first_certificate_opens_https_at_a_graceful_restart(node: Web, tmp_path: Path) -> None:
    one = certificate(tmp_path, "one")
    node.stage(1, hello("one"))
    node.stage(2, hello("two"), one)
    node.serve(1)
    assert node.apache.needs_restart(1, 2)
    node.switch(2)
    node.apache.restart()
    assert node.prove(2).holds
    assert presented(node) == one["docassemble.crt"].decode()


def test_only_other_certificates_or_settings_of_the_web_server_need_a_restart(node: Web, tmp_path: Path) -> None:
    one, two = certificate(tmp_path, "one"), certificate(tmp_path, "two")
    node.stage(1, hello("one"), one)
    node.stage(2, hello("two"), one, Settings(application="hello:application"))
    node.stage(3, hello("two"), two)
    node.stage(4, hello("two"), one, Settings(threads=3))
    assert node.apache.needs_restart(None, 1)
    assert not node.apache.needs_restart(1, 2)
    assert node.apache.needs_restart(1, 3)
    assert node.apache.needs_restart(1, 4)
