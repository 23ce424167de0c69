"""Constant load on a web server, and what came of each request."""

import http.client
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

CLOSED_WHILE_IDLE = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)


@dataclass(frozen=True)
class Reply:
    """`status` is None when there was no answer; `problem` then says why. It took `seconds` and ended `at`."""

    status: int | None
    body: str
    at: float
    seconds: float
    problem: str | None = None

    @property
    def begun(self) -> float:
        return self.at - self.seconds

    @property
    def failed(self) -> bool:
        return self.status is None or self.status >= 400


class Load:
    """Several clients ask for `url` again and again while the context is open.

    Every other client keeps its connection, the rest open a new one for each request. As browsers do, a client whose
    kept connection was closed by the server while it was idle asks once more on a new one; nothing else is forgiven.
    """

    def __init__(self, url: str, clients: int = 6, pause: float = 0.02, timeout: float = 30.0) -> None:
        self._url = urlsplit(url)
        self._unverified = ssl._create_unverified_context()
        self._pause = pause
        self._timeout = timeout
        self._replies: list[Reply] = []
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number % 2 == 0,), name=f"load-{number}", daemon=True)
            for number in range(clients)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def replies(self) -> list[Reply]:
        with self._changed:
            return list(self._replies)

    @property
    def failures(self) -> list[Reply]:
        return [reply for reply in self.replies if reply.failed]

    def wait_for(self, wanted: Callable[[Reply], bool], seconds: float = 30.0, count: int = 1) -> None:
        """Return when `count` replies from now on are `wanted`; AssertionError after `seconds`."""
        with self._changed:
            begin = len(self._replies)
            enough = self._changed.wait_for(lambda: sum(map(wanted, self._replies[begin:])) >= count, seconds)
            assert enough, f"not in {seconds} s; the last replies: {self._replies[-3:]}"

    def _run(self, keep: bool) -> None:
        kept: http.client.HTTPConnection | None = None
        while not self._stop.is_set():
            connection, began = kept or self._connect(), time.monotonic()
            reused, kept = kept is not None, None
            try:
                connection.request("GET", self._url.path or "/")
                response = connection.getresponse()
                body = response.read().decode(errors="replace")
                self._note(Reply(response.status, body, time.monotonic(), time.monotonic() - began))
                kept = connection if keep and not response.will_close else None
            except (OSError, http.client.HTTPException) as error:
                if reused and isinstance(error, CLOSED_WHILE_IDLE):
                    continue
                problem = f"{type(error).__name__}: {error}"
                self._note(Reply(None, "", time.monotonic(), time.monotonic() - began, problem))
            finally:
                if kept is None:
                    connection.close()
            self._stop.wait(self._pause)
        if kept is not None:
            kept.close()

    def _connect(self) -> http.client.HTTPConnection:
        if self._url.scheme == "https":
            return http.client.HTTPSConnection(
                self._url.hostname or "127.0.0.1", self._url.port, timeout=self._timeout, context=self._unverified
            )
        return http.client.HTTPConnection(self._url.hostname or "127.0.0.1", self._url.port, timeout=self._timeout)

    def _note(self, reply: Reply) -> None:
        with self._changed:
            self._replies.append(reply)
            self._changed.notify_all()
