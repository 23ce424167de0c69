"""A crowd and a haproxy tell the truth: nothing that a node does to its visitors is forgiven or hidden."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import pytest

from tests.crowds import Crowd, Visit, figures
from tests.haproxies import HEALTH, haproxy

GOOD = {"release": 1, "version": "1", "process": "1-1", "late": None}
HEALTHY = "200 OK"


def reply(facts: object, status: str = "200 OK") -> bytes:
    body = json.dumps(facts).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@dataclass
class Server:
    """Answers as `script` says, which is given the path. None closes the connection without a word, and every answer
    but a good one is the last of its connection.

    `healthy` is what the loader's URL says. `questions` counts everything else that was asked.
    """

    script: Callable[[str], bytes | None] = lambda _: reply(GOOD)
    healthy: bool = True
    patience: float = 30.0
    questions: int = 0
    port: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def serve(self, listening: socket.socket) -> None:
        while not self.stopped.is_set():
            try:
                connection, _ = listening.accept()
            except TimeoutError:
                continue
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        connection.settimeout(self.patience)
        with connection, connection.makefile("rb") as questions:
            try:
                while line := questions.readline().decode():
                    while questions.readline().strip():
                        pass
                    answer = self._answer(line.split()[1])
                    connection.sendall(answer or b"")
                    if answer not in (reply(GOOD), reply({}, HEALTHY)):
                        return
            except OSError:
                return

    def _answer(self, path: str) -> bytes | None:
        if path == HEALTH:
            return reply({}, HEALTHY if self.healthy else "503 Draining")
        self.questions += 1
        return self.script(path)


@contextmanager
def server(script: Callable[[str], bytes | None] = lambda _: reply(GOOD), **values: float) -> Iterator[Server]:
    made = Server(script, **values)  # type: ignore[arg-type]
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        listening.settimeout(0.1)
        made.port = listening.getsockname()[1]
        thread = threading.Thread(target=made.serve, args=(listening,))
        thread.start()
        try:
            yield made
        finally:
            made.stopped.set()
            thread.join()


def visits(script: Callable[[str], bytes | None], count: int = 20) -> list[Visit]:
    with server(script) as made, Crowd(made.url, rate=100, long=0.0, long_every=0.1) as crowd:
        crowd.wait_for(lambda _: True, count=count)
    return crowd.visits


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (reply(GOOD, "500 No"), "status 500"),
        (reply({}), "not what the application says"),
        (reply(GOOD)[:-1], "the body ends early"),
        (reply(GOOD)[:12], "without a complete answer"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "does not tell its length"),
        (b"HTTP/0.9 200 OK\r\n\r\n", "not an answer of HTTP/1.1"),
        (reply({**GOOD, "late": ["2", "1"]}), "version 1 imported"),
        (reply({**GOOD, "release": 2}), "one process served"),
    ],
)
def test_a_visitor_who_gets_no_whole_answer_of_one_release_has_failed(bad: bytes, said: str) -> None:
    answers = iter([reply(GOOD)] * 5 + [bad])

    problems = [visit.problem for visit in visits(lambda _: next(answers, reply(GOOD)), 10) if visit.problem]
    assert len(problems) == 1
    assert said in problems[0]


def test_a_visitor_who_is_not_answered_on_a_new_connection_has_failed() -> None:
    every = visits(lambda _: None)
    assert figures(every).failed == len(every)


def test_a_kept_connection_that_was_closed_while_it_was_idle_is_no_failure() -> None:
    with server(patience=0.05) as made, Crowd(made.url, rate=20, long_every=60) as crowd:
        crowd.wait_for(lambda visit: visit.cut is not None)
    assert crowd.failures == []


def test_a_visitor_on_a_kept_connection_who_was_kept_waiting_and_let_down_has_failed() -> None:
    fresh = threading.local()

    def script(path: str) -> bytes | None:
        # Every connection has a thread of its own.
        if getattr(fresh, "used", False):
            time.sleep(1.0)
            return None
        fresh.used = True
        return reply(GOOD)

    with server(script) as made, Crowd(made.url, rate=20, long_every=60) as crowd:
        crowd.wait_for(lambda visit: visit.problem is not None and visit.kind == "kept")
    assert {visit.kind for visit in crowd.failures} == {"kept"}


def test_a_crowd_keeps_its_rate_although_nobody_is_answered_for_a_second() -> None:
    def script(_: str) -> bytes | None:
        time.sleep(1.0)
        return reply(GOOD)

    with server(script) as made, Crowd(made.url, rate=50, long_every=60) as crowd:
        crowd.wait_for(lambda _: True, count=100)
    assert crowd.failures == []
    first = min(visit.began for visit in crowd.visits)
    assert sum(visit.began < first + 1.0 for visit in crowd.visits) == pytest.approx(50, abs=10)
    assert figures(crowd.visits).p50 == pytest.approx(1.0, abs=0.3)


def test_a_node_whose_health_is_bad_has_no_visitors_and_nobody_notices() -> None:
    with ExitStack() as stack:
        well, ill = stack.enter_context(server()), stack.enter_context(server())
        proxy = stack.enter_context(haproxy({"well": well.port, "ill": ill.port}))
        proxy.all_up()
        with Crowd(proxy.url, rate=100, long=0.0) as crowd:
            crowd.wait_for(lambda visit: visit.node == "ill", count=5)
            ill.healthy = False
            proxy.wait(lambda states: not states["ill"].up)
            asked = ill.questions
            crowd.wait_for(lambda visit: visit.node == "well", count=50)
            assert ill.questions <= asked + 1
            ill.healthy = True
            crowd.wait_for(lambda visit: visit.node == "ill", count=5)
    assert crowd.failures == []


def test_what_a_node_was_asked_is_never_asked_again_of_another() -> None:
    with ExitStack() as stack:
        well, ill = stack.enter_context(server()), stack.enter_context(server(lambda _: None))
        proxy = stack.enter_context(haproxy({"well": well.port, "ill": ill.port}))
        proxy.all_up()
        with Crowd(proxy.url, rate=100, long=0.0) as crowd:
            crowd.wait_for(lambda visit: visit.status == 502, count=5)
        states = proxy.states()
        assert any("nodes/ill" in line for line in proxy.complaints())
    assert ill.questions == states["ill"].requests
    assert states["ill"].failed_answers > 0
    assert len(crowd.failures) >= 5


def test_a_connection_that_could_not_be_made_is_made_to_another_node_and_counted() -> None:
    with ExitStack() as stack:
        well = stack.enter_context(server())
        with ExitStack() as leaving:
            gone = leaving.enter_context(server())
            proxy = stack.enter_context(haproxy({"well": well.port, "gone": gone.port}))
            proxy.all_up()
            # Only the health check would notice, and it does not look for a minute.
            proxy.command("disable health nodes/gone")
            leaving.pop_all().close()
        with Crowd(proxy.url, rate=100, long=0.0) as crowd:
            crowd.wait_for(lambda visit: visit.node == "well", count=50)
        assert proxy.states()["gone"].reconnections > 0
    assert crowd.failures == []
