"""An S3 server that answers what it is told, for everything that a good one never says."""

import hashlib
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from http.client import parse_headers
from typing import BinaryIO, TypeVar
from urllib.parse import parse_qs

from da_agent.adapters.s3_store import Patience, S3Store
from da_agent.adapters.s3_store.patience import USUAL
from da_agent.domain.store.locations import S3Location
from da_agent.ports import Always, IfAbsent, IfTag, Store

S = TypeVar("S", bound="Script")
Act = Callable[[Store], object]
CONDITIONAL: dict[str, Act] = {
    "create": lambda store: store.write("a/key", b"body", IfAbsent()),
    "swap": lambda store: store.write("a/key", b"body", IfTag('"old"')),
}
READING: dict[str, Act] = {
    "read": lambda store: store.read("a/key"),
    "fetch": lambda store: store.fetch("a/key", bytes),
    "scan": lambda store: list(store.scan("a/key")),
}
PATIENT: dict[str, Act] = {
    **READING,
    "write": lambda store: store.write("a/key", b"body", Always()),
    "delete": lambda store: store.delete("a/key"),
}
ACTS = PATIENT | CONDITIONAL


@dataclass
class Script:
    """Answers each request with the next of `answers`, and the last one for ever; remembers the requests.

    With a `pause` (seconds) each answer goes out in portions of so many bytes, and there is one behind each.
    """

    answers: list[bytes]
    requests: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""
    pause: float = 0.0
    portion: int = 1024
    stopped: threading.Event = field(default_factory=threading.Event)

    def store(self, patience: Patience = USUAL, **changes: object) -> S3Store:
        location = S3Location("shop", "", self.url, "us-east-1", path_style=True)
        return S3Store(replace(location, **changes), ("key", "secret"), patience)  # type: ignore[arg-type]

    def handle(self, reader: BinaryIO, writer: BinaryIO) -> bool:
        """Whether the connection goes on."""
        line = reader.readline().decode().split()
        if not line:
            return False
        headers = {name.lower(): value for name, value in parse_headers(reader).items()}
        if headers.get("expect"):
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = reader.read(int(headers.get("content-length", "0")))
        answer = self.answer(line[0], line[1], headers, body)
        self.requests.append(f"{line[0]} {line[1]}")
        self.headers.append(headers)
        if answer == NEVER:
            self.stopped.wait()
            return False
        self._send(writer, answer)
        return b"Connection: close" not in answer and answer != b""

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> bytes:
        return self.answers[min(len(self.requests), len(self.answers) - 1)]

    def _send(self, writer: BinaryIO, answer: bytes) -> None:
        if not self.pause:
            writer.write(answer)
            return
        with suppress(OSError):
            for place in range(0, len(answer), self.portion):
                writer.write(answer[place : place + self.portion])
                self.stopped.wait(self.pause)


@dataclass
class Bucket(Script):
    """A bucket in memory. `right` decides whether the If-Match of a PUT is right for an object with a bare tag."""

    answers: list[bytes] = field(default_factory=list)
    right: Callable[[str, str], bool] = lambda sent, tag: sent == f'"{tag}"'
    objects: dict[str, bytes] = field(default_factory=dict)
    changing: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> bytes:
        path, _, query = target.partition("?")
        key = path.removeprefix("/shop/")
        with self.changing:
            if "list-type" in query:
                return self._list(parse_qs(query)["prefix"][0])
            if method == "PUT":
                return self._put(key, headers, body)
            found = self.objects.pop(key, b"") if method == "DELETE" else self.objects.get(key)
        if found is None:
            return error("404 Not Found", "NoSuchKey")
        return answer("200 OK", found, f'ETag: "{_tag(found)}"') if method == "GET" else answer("204 No Content")

    def _put(self, key: str, headers: dict[str, str], body: bytes) -> bytes:
        there, sent = self.objects.get(key), headers.get("if-match")
        if sent is not None and there is None:
            return error("404 Not Found", "NoSuchKey")
        if (sent and there is not None and not self.right(sent, _tag(there))) or (
            "if-none-match" in headers and there is not None
        ):
            return error("412 Precondition Failed", "PreconditionFailed")
        self.objects[key] = body
        return answer("200 OK", b"", f'ETag: "{_tag(body)}"')

    def _list(self, prefix: str) -> bytes:
        rows = (row(key, len(body), _tag(body)) for key, body in sorted(self.objects.items()) if key.startswith(prefix))
        return page("".join(rows))


def _tag(body: bytes) -> str:
    return hashlib.md5(body).hexdigest()


def scripted(*answers: bytes, pause: float = 0.0) -> AbstractContextManager[Script]:
    return serving(Script(list(answers), pause=pause))


@contextmanager
def serving(script: S) -> Iterator[S]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while script.handle(self.rfile, self.wfile):  # type: ignore[arg-type]
                pass

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        script.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield script
        finally:
            script.stopped.set()
            server.shutdown()
            thread.join()


NOW = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
NEVER = b"never"
CLOSED = b""


def answer(status: str, body: bytes = b"", *headers: str, date: datetime | None = NOW) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Last-Modified: Tue, 06 May 2031 07:08:09 GMT"]
    lines += [f"Date: {format_datetime(date, usegmt=True)}"] if date else []
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body


def error(status: str, code: str) -> bytes:
    return answer(status, f"<Error><Code>{code}</Code><Message>It says so.</Message></Error>".encode())


def listing(*keys: str, truncated: bool = False) -> bytes:
    return page("".join(row(key, 1, "e") for key in keys), truncated=truncated)


def row(key: str, size: int, tag: str) -> str:
    return (
        f"<Contents><Key>{key}</Key><Size>{size}</Size><ETag>&quot;{tag}&quot;</ETag>"
        "<LastModified>2031-05-06T07:08:09.000Z</LastModified></Contents>"
    )


def page(rows: str, *, truncated: bool = False) -> bytes:
    head = f"<IsTruncated>{str(truncated).lower()}</IsTruncated>"
    return answer("200 OK", f"<ListBucketResult>{head}{rows}</ListBucketResult>".encode())
