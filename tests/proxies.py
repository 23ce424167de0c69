"""A proxy between a node and its store that passes every byte on as it is, until it is told to be at fault."""

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from io import BufferedReader
from urllib.parse import unquote, urlsplit

CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """What a client has asked for."""

    method: str
    path: str
    range: str | None
    fields: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one request.

    silent   it is read, and nothing ever comes back
    reply    this comes back, and the server hears nothing of it
    lost     the server does it; its answer is dropped and the connection closed
    cut      so many bytes of the answer's body come, then the connection is closed
    delay    seconds before anything is done
    pause    seconds behind every `portion` bytes of the body
    change   what becomes of each part of the body; the length stays
    """

    silent: bool = False
    reply: bytes | None = None
    lost: bool = False
    cut: int | None = None
    delay: float = 0.0
    pause: float = 0.0
    portion: int = CHUNK
    change: Callable[[bytes], bytes] = bytes


Choice = Callable[[Request], Fault | None]


def status(line: str, code: str) -> Fault:
    """The store's own error."""
    body = f"<Error><Code>{code}</Code><Message>The proxy says so.</Message></Error>".encode()
    head = f"HTTP/1.1 {line}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n"
    return Fault(reply=head.encode() + body)


class Proxy:
    """Listens on `url`. `choose` is asked for every request; `requests` are all that came so far.

    `answered` is told the status of every answer that the server has given. `ahead` is how much later than the server's
    clock the Date of an answer is.
    """

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        assert parts.hostname
        assert parts.port
        self._target = (parts.hostname, parts.port)
        self._lock = threading.Lock()
        self._mended = threading.Event()
        self._open: set[socket.socket] = set()
        self.requests: list[Request] = []
        self.choose: Choice = lambda request: None
        self.answered: Callable[[Request, int], object] = lambda request, code: None
        self.ahead = timedelta()
        self._listening = self._listen(0)
        self._port: int = self._listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"

    def asked(self, part: str, method: str = "GET") -> list[Request]:
        """The requests for keys that have `part` in them."""
        return [each for each in self.requests if each.method == method and part in each.path]

    def refuse(self) -> None:
        """From now on nobody can connect, and who was connected is cut off."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        with self._lock:
            for each in self._open:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """All is well again; whoever waits for an answer that would never have come is cut off."""
        self.choose = lambda request: None
        self._mended.set()
        if self._listening.fileno() < 0:
            self._listening = self._listen(self._port)

    def _listen(self, port: int) -> socket.socket:
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen(128)
        threading.Thread(target=self._accept, args=(listening,), daemon=True).start()
        return listening

    def _accept(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listening.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection(self._target) as server:
            for each in (client, server):
                # Heads and bodies are sent one after the other: neither waits until the one before was received.
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {client, server}
            try:
                with client.makefile("rb") as asking, server.makefile("rb") as answering:
                    while self._pass(client, asking, server, answering):
                        pass
            finally:
                with self._lock:
                    self._open -= {client, server}

    def _pass(
        self, client: socket.socket, asking: BufferedReader, server: socket.socket, answering: BufferedReader
    ) -> bool:
        """One request and its answer; whether the connection goes on."""
        head = _head(asking)
        if not head:
            return False
        method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        fields = _fields(head)
        request = Request(method, unquote(path), fields.get("range"), fields)
        self.requests.append(request)
        fault = self.choose(request) or Fault()
        if fault.delay:
            threading.Event().wait(fault.delay)
        if fault.silent:
            self._mended.clear()
            self._mended.wait(60)
            return False
        if fault.reply is not None:
            if "expect" not in fields:
                asking.read(int(fields.get("content-length", "0")))
            client.sendall(fault.reply)
            # A body that was held back until we agree never comes.
            return "expect" not in fields
        server.sendall(head)
        reply = b""
        if "expect" in fields:
            reply = _head(answering)
            if reply.startswith(b"HTTP/1.1 100"):
                client.sendall(reply)
                reply = b""
        if not reply:
            _copy(asking, int(fields.get("content-length", "0")), server.sendall)
            reply = _head(answering)
        if not reply:
            return False
        self.answered(request, int(reply.split(b" ", 2)[1]))
        if fault.lost:
            return False
        reply = _dated(reply, self.ahead) if self.ahead else reply
        client.sendall(reply)
        return _body(method, reply, answering, client, fault)


def _head(reader: BufferedReader) -> bytes:
    lines = []
    while line := reader.readline():
        lines.append(line)
        if line == b"\r\n":
            break
    return b"".join(lines)


def _dated(head: bytes, ahead: timedelta) -> bytes:
    """The head with a Date that is so much later."""
    date = _fields(head)["date"]
    return head.replace(date.encode(), format_datetime(parsedate_to_datetime(date) + ahead, usegmt=True).encode())


def _fields(head: bytes) -> dict[str, str]:
    lines = (line.decode("latin-1").partition(":") for line in head.split(b"\r\n")[1:] if line)
    return {name.strip().lower(): value.strip() for name, _, value in lines}


def _copy(reader: BufferedReader, length: int, send: Callable[[bytes], object]) -> None:
    while length > 0:
        chunk = reader.read1(min(length, CHUNK))
        if not chunk:
            raise ConnectionError("the other side has gone")
        send(chunk)
        length -= len(chunk)


def _body(method: str, head: bytes, reader: BufferedReader, client: socket.socket, fault: Fault) -> bool:
    fields, code = _fields(head), head.split(b" ", 2)[1]
    if method == "HEAD" or code in (b"204", b"304"):
        return True
    if "content-length" not in fields:
        # Chunks, or until the end of the connection: as they come.
        while chunk := reader.read1(CHUNK):
            client.sendall(chunk)
        return False
    length = int(fields["content-length"])
    place = 0

    def send(chunk: bytes) -> None:
        nonlocal place
        for at in range(0, len(chunk), fault.portion):
            part = fault.change(chunk[at : at + fault.portion])
            if fault.cut is not None and place + len(part) > fault.cut:
                client.sendall(part[: fault.cut - place])
                raise ConnectionAbortedError("cut, as we were told")
            client.sendall(part)
            place += len(part)
            if fault.pause:
                threading.Event().wait(fault.pause)

    _copy(reader, length, send)
    return True


@contextmanager
def proxy(target: str) -> Iterator[Proxy]:
    made = Proxy(target)
    try:
        yield made
    finally:
        made.mend()
        made.refuse()
