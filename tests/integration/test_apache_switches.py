"""What a process serves after a switch and a touch, and what Apache presents over TLS."""

import json
import os
import ssl
import time
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from da_agent.errors import ReleaseBroken
from tests.integration.apaches import (
    HEALTH,
    SHORT,
    Web,
    certificate,
    get,
    hello,
    presented,
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


def test_a_touch_replaces_every_worker_by_one_of_the_release_that_is_served(node: Web) -> None:
    node.stage(1, hello("one"))
    node.stage(2, hello("two"))
    node.serve(1)
    before = node.apache.workers()
    # The switch of a probation that has not come further must change nothing.
    node.switch(2)
    with Load(node.url) as load:
        load.wait_for(served("one"), count=30)
        node.apache.reload()
        wait_until(lambda: not node.apache.workers() & before)
        assert node.probe(1).holds
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
    assert node.paths.wsgi.stat().st_mtime_ns // 1000 != future // 1000


def test_a_touch_moves_the_time_also_when_the_web_user_has_set_one_of_a_far_future(node: Web) -> None:
    os.utime(node.paths.wsgi, (2**33, 2**33))
    before = node.paths.wsgi.stat().st_mtime_ns
    node.apache.reload()
    assert node.paths.wsgi.stat().st_mtime_ns != before


def test_an_application_that_cannot_be_loaded_any_more_says_so_and_a_touch_heals_it(node: Web) -> None:
    """Its database was away, for instance."""
    condition = node.paths.root / "condition"
    text = (
        f"import pathlib\nassert pathlib.Path({str(condition)!r}).exists(), 'no database'\n" + hello("one")["hello.py"]
    )
    node.stage(1, {"hello.py": text})
    condition.touch()
    node.serve(1)
    condition.unlink()
    node.apache.reload()
    wait_until(lambda: node.probe(1, seconds=0).broken is not None)
    assert "no database" in str(node.probe(1, seconds=0))
    assert get(node.url)[:2] == (500, "The application cannot be loaded.\n")
    assert get(node.url + HEALTH)[0] == 503
    condition.touch()
    node.apache.reload()
    assert node.probe(1).holds
    assert said(node.url)["version"] == "one"


def test_a_worker_that_never_ends_loading_is_given_up_when_its_time_is_up(node: Web) -> None:
    node.stage(1, hello("one"))
    node.stage(2, {"hello.py": "import threading\nthreading.Event().wait()\n"}, settings=SHORT)
    node.serve(1)
    before = node.apache.workers()
    with pytest.raises(ReleaseBroken, match="was not loaded within 4 seconds"):
        node.apache.serve(2, timedelta(seconds=4))
    assert node.apache.workers() == before
    node.stage(3, hello("three"))
    node.serve(3)
    assert said(node.url)["version"] == "three"


def test_https_presents_the_releases_certificate_and_forwards_to_the_application(node: Web, tmp_path: Path) -> None:
    one = certificate(tmp_path, "one")
    node.stage(1, hello("one"), one)
    node.apache.rehearse(1)
    node.serve(1)
    assert presented(node) == one["docassemble.crt"].decode()
    unverified = ssl._create_unverified_context()
    with urllib.request.urlopen(f"{node.tls_url}/", context=unverified, timeout=20) as reply:
        assert json.load(reply)["version"] == "one"
        assert reply.headers["X-DA-Agent"] is None


def test_a_first_certificate_opens_https_and_the_last_one_closes_it(node: Web, tmp_path: Path) -> None:
    one = certificate(tmp_path, "one")
    node.stage(1, hello("one"), config="a: 1\n")
    node.stage(2, hello("one"), one, config="a: 1\n")
    node.serve(1)
    before = node.apache.workers()
    assert node.runner.pid("tls") is None
    node.serve(2)
    wait_until(lambda: node.runner.pid("tls") is not None)
    assert presented(node) == one["docassemble.crt"].decode()
    node.serve(1)
    assert node.runner.pid("tls") is None
    assert node.apache.workers() == before
    assert node.apache.running()
