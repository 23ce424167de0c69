"""Is a page waited for as long as it may take, and not longer, however it comes?"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from da_agent.adapters.apache.requests import Door, get
from da_agent.ports import Reply

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
PATIENCE = 0.6


@contextmanager
def server(answer: bytes, dripping: bytes = b"", before: float = 0.0, rest: bytes = b"") -> Iterator[Door]:
    """Answers one request, `before` seconds late, then with the rest and an end, or drips on for ever."""
    ended = threading.Event()

    def serve() -> None:
        with listener.accept()[0] as connection:
            connection.recv(65536)
            ended.wait(before)
            try:
                connection.sendall(answer)
                if rest:
                    ended.wait(0.2)
                    connection.sendall(rest)
                    return
                while dripping and not ended.wait(0.1):
                    connection.sendall(dripping)
                ended.wait()
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield Door(*listener.getsockname()[:2])
        finally:
            ended.set()
            thread.join()


@pytest.mark.parametrize(
    ("answer", "dripping"),
    [
        pytest.param(b"", b"", id="nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\n", b"X", id="a header that never ends"),
        pytest.param(HEAD.replace(b"10", b"60000"), b"x", id="a page that drips for ever"),
    ],
)
def test_a_page_that_does_not_come_in_time_is_given_up_however_little_comes_at_a_time(
    answer: bytes, dripping: bytes
) -> None:
    with server(answer, dripping) as door:
        begun = time.monotonic()
        assert get(door, "/", PATIENCE) is None
        assert PATIENCE <= time.monotonic() - begun < PATIENCE + 5


def test_a_page_that_ends_with_its_connection_is_read_to_its_end() -> None:
    with server(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n01234", rest=b"56789") as door:
        assert get(door, "/", 30.0) == Reply(200, b"0123456789")


def test_a_page_may_take_all_its_time() -> None:
    with server(HEAD + b"0123456789", before=0.3) as door:
        assert get(door, "/", 30.0) == Reply(200, b"0123456789")
