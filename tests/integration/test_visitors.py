"""What a visitor can send, and what of it reaches the application: attacks through sockets on real Apaches."""

import json
import re
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from da_agent.domain.config.settings import Settings
from da_agent.domain.config.visitors import Visitors
from tests.integration.apaches import HEALTH, Web, certificate, get, wait_until, web

ECHO = """
import hashlib, json, os
SEEN = os.path.join(os.path.dirname(os.environ["DA_CONFIG_FILE"]), "..", "..", "seen")
def application(environ, start_response):
    with open(SEEN, "a") as seen:
        seen.write(json.dumps(environ["PATH_INFO"]) + "\\n")
    body = environ["wsgi.input"].read()
    said = {name: value for name, value in environ.items() if isinstance(value, str)}
    said.update(body=len(body), sha256=hashlib.sha256(body).hexdigest())
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(said).encode()]
"""
VISITOR, PROXY = "127.0.0.9", "127.0.0.10"
CONFIG = "a: 1\n"


@dataclass(frozen=True)
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def said(self) -> dict[str, Any]:
        assert self.status == 200, self
        found: dict[str, Any] = json.loads(self.body)
        return found


class Attacked(Web):
    """A node whose application says what has reached it."""

    def opened(self, *, tls: bool = False, source: str = VISITOR) -> socket.socket:
        port = self.node.https_port if tls else self.node.http_port
        return _opened("127.0.0.1", port, tls=tls, source=source)

    def send(self, data: bytes, *, tls: bool = False, source: str = VISITOR) -> list[Response]:
        """All responses on a connection on which nothing but `data` is sent, and then its end."""
        with self.opened(tls=tls, source=source) as connection:
            connection.sendall(data)
            # Of the connection below TLS: the other end must not wait for the rest of what is incomplete.
            socket.socket.shutdown(connection, socket.SHUT_WR)
            return _responses(connection)

    def ask(self, *headers: str, path: str = "/", tls: bool = False, source: str = VISITOR) -> Response:
        every = (f"GET {path} HTTP/1.1", "Host: shop.example", *headers)
        lines = every if any(h.lower().startswith("connection:") for h in headers) else (*every, "Connection: close")
        return self.send("\r\n".join((*lines, "", "")).encode(), tls=tls, source=source)[0]

    def seen(self) -> list[str]:
        """The paths of all requests that have reached the application."""
        return list(map(json.loads, (self.paths.root / "seen").read_text().splitlines()))

    def stage_with(self, number: int, visitors: Visitors, certificates: dict[str, bytes] | None = None) -> None:
        self.stage(number, {"hello.py": ECHO}, certificates, Settings(visitors=visitors), config=CONFIG)


def _opened(host: str, port: int, *, tls: bool = False, source: str = VISITOR) -> socket.socket:
    plain = socket.create_connection((host, port), 30, (source, 0))
    return ssl._create_unverified_context().wrap_socket(plain) if tls else plain


def _responses(connection: socket.socket) -> list[Response]:
    found = []
    with connection.makefile("rb") as stream:
        try:
            while head := stream.readline():
                headers = dict(_header(line) for line in iter(stream.readline, b"\r\n") if line)
                size = headers.get("content-length")
                body = _chunks(stream) if "transfer-encoding" in headers else stream.read(int(size) if size else -1)
                found.append(Response(int(head.split()[1]), headers, body))
        except (ConnectionResetError, ssl.SSLError, TimeoutError):
            pass
    return found


def _header(line: bytes) -> tuple[str, str]:
    name, _, value = line.decode("latin-1").partition(":")
    return name.lower(), value.strip()


def _chunks(stream: Any) -> bytes:
    body = b""
    while size := int(stream.readline(), 16):
        body += stream.read(size)
        stream.readline()
    stream.readline()
    return body


@contextmanager
def attacked(visitors: Visitors, certificates: dict[str, bytes] | None = None) -> Iterator[Attacked]:
    with web(kind=Attacked) as node:
        assert isinstance(node, Attacked)
        (node.paths.root / "seen").touch()
        (node.paths.root / "seen").chmod(0o666)
        node.stage_with(1, visitors, certificates)
        node.serve(1)
        yield node


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return certificate(tmp_path_factory.mktemp("certificates"), "shop.example")


@pytest.fixture(scope="module")
def node(pair: dict[str, bytes]) -> Iterator[Attacked]:
    """A node with HTTPS and without a trusted proxy."""
    with attacked(Visitors(), pair) as made:
        yield made


@pytest.fixture(scope="module")
def behind(pair: dict[str, bytes]) -> Iterator[Attacked]:
    """A node behind a balancer at PROXY."""
    visitors = Visitors(proxies=(f"{PROXY}/32",), behind_balancer=True, hsts=timedelta(days=1))
    with attacked(visitors, pair) as made:
        yield made


# ---- who it is


HOPS = [
    ["Connection: close, X-DA-Agent-Client"],
    ["Connection: X-DA-Agent-Client"],
    ["Connection: close,x-da-agent-client,X-Forwarded-For"],
    ["Connection: keep-alive, X-DA-Agent-Client", "Connection: close"],
    ["Connection: close", "Connection: X-DA-Agent-Client"],
    ["Connection: close", "connection:\tX-DA-Agent-Client"],
    ["Connection: close,,  ,X-DA-Agent-Client;q=1"],
    ["Connection: close\x0bX-DA-Agent-Client"],
    ["Connection: close", "Proxy-Connection: X-DA-Agent-Client"],
    ["Connection: close, TE", "TE: trailers", "Trailer: X-DA-Agent-Client"],
    ["Connection: close, Upgrade, X-DA-Agent-Client", "Upgrade: websocket"],
    ["Connection: close", "Keep-Alive: X-DA-Agent-Client", "Upgrade: h2c"],
    ["Connection: close", "X-DA-Agent-Client: 0 6.6.6.6 1 443 https", "X_DA_Agent_Client: 0 6.6.6.6 1 443 https"],
    ["Connection: close", "X-DA-Agent-Group: 0 green", "DA_AGENT_DETAILS: 1"],
    ["Connection: close, Host, X-DA-Agent-Client", "Max-Forwards: 0"],
    ["Connection: close", *(f"X-{number}: 1" for number in range(97))],
]


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("headers", HOPS)
def test_no_header_takes_away_who_the_client_is(node: Attacked, headers: Sequence[str], tls: bool) -> None:
    reply = node.ask(*headers, tls=tls)
    if reply.status == 400:
        return
    wanted = VISITOR, "https" if tls else "http", "on" if tls else None
    said = reply.said
    assert (said["REMOTE_ADDR"], said["wsgi.url_scheme"], said.get("HTTPS")) == wanted
    assert not [name for name in said if "DA_AGENT" in name]


@pytest.mark.parametrize("mark", [None, "0 6.6.6.6 1 443 https", " 6.6.6.6 1 443 https", ".* 6.6.6.6 1 443 https"])
@pytest.mark.parametrize("header", ["X-DA-Agent-Client", "X-DA-Agent-Group"])
def test_what_does_not_come_through_a_front_is_refused(node: Attacked, mark: str | None, header: str) -> None:
    before = node.seen()
    for port in (node.node.loopback_port, node.node.agent_port):
        for path in ("/", HEALTH):
            lines = [f"GET {path} HTTP/1.1", "Host: a", "Connection: close", *([f"{header}: {mark}"] if mark else [])]
            with _opened(node.node.loopback, port) as connection:
                connection.sendall("\r\n".join((*lines, "", "")).encode())
                (reply,) = _responses(connection)
            assert reply.status == 403, reply
            assert "x-da-agent" not in reply.headers
    assert node.seen() == before


FORWARDED = (
    "X-Forwarded-For: 6.6.6.6",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: evil.example",
    "X-Forwarded-Port: 666",
    "X-Real-IP: 6.6.6.6",
    "Forwarded: for=6.6.6.6;proto=https",
)


@pytest.mark.parametrize("source", [VISITOR, PROXY])
def test_without_a_trusted_proxy_no_forwarded_header_reaches_the_application(node: Attacked, source: str) -> None:
    said = node.ask(*FORWARDED, source=source).said
    assert (said["REMOTE_ADDR"], said["wsgi.url_scheme"]) == (source, "http")
    assert not [name for name in said if "FORWARDED" in name or "REAL_IP" in name]


def test_a_trusted_proxy_is_believed_and_others_are_not(behind: Attacked) -> None:
    said = behind.ask(*FORWARDED, source=PROXY).said
    assert (said["REMOTE_ADDR"], said["wsgi.url_scheme"], said["SERVER_PORT"]) == ("6.6.6.6", "https", "443")
    assert (said["HTTP_X_FORWARDED_FOR"], said["HTTP_X_FORWARDED_PROTO"]) == ("6.6.6.6", "https")
    said = behind.ask(*FORWARDED).said
    assert (said["REMOTE_ADDR"], said["wsgi.url_scheme"]) == (VISITOR, "http")
    assert not [name for name in said if "FORWARDED" in name]


def test_of_a_chain_only_the_part_counts_that_the_trusted_proxy_has_added(behind: Attacked) -> None:
    said = behind.ask("X-Forwarded-For: 1.1.1.1, 6.6.6.6", "X-Forwarded-Proto: http, https", source=PROXY).said
    assert (said["REMOTE_ADDR"], said["HTTP_X_FORWARDED_FOR"]) == ("6.6.6.6", "6.6.6.6")
    said = behind.ask(
        "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "Connection: close, X-Forwarded-For", source=PROXY
    ).said
    assert said["REMOTE_ADDR"] == "6.6.6.6"


# ---- what it is told


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_the_health_url_tells_the_world_a_status_and_nothing_else(node: Attacked, tls: bool) -> None:
    reply = node.ask(path=HEALTH, tls=tls)
    assert (reply.status, reply.body) == (200, b"")
    assert set(reply.headers) == {"date", "server", "content-type", "content-length", "cache-control", "connection"}
    node.paths.draining.touch()
    try:
        reply = node.ask(path=HEALTH, tls=tls)
        assert (reply.status, reply.body) == (503, b"")
    finally:
        node.paths.draining.unlink()


def test_a_release_that_cannot_be_loaded_is_503_for_the_world_and_a_reason_for_the_agent() -> None:
    with web() as node:
        node.stage(1, {"hello.py": "raise RuntimeError('the password is 123')\n"})
        node.switch(1)
        node.apache.serve(1, timedelta(seconds=60))
        wait_until(lambda: any(answer.error for answer in node.apache.ask(2)))
        assert get(node.url + HEALTH)[:2] == (503, "")


def test_plain_http_is_redirected_as_docassembles_settings_ask(behind: Attacked, pair: dict[str, bytes]) -> None:
    from_http = "X-Forwarded-Proto: http"
    reply = behind.ask(from_http, path="/a%20b?c=%0d%0a", source=PROXY)
    assert (reply.status, reply.headers["location"]) == (301, "https://shop.example/a%20b?c=%0d%0a")
    assert behind.ask(from_http, path=HEALTH, source=PROXY).status == 200
    assert behind.ask("X-Forwarded-Proto: https", source=PROXY).headers["strict-transport-security"] == "max-age=86400"
    assert "strict-transport-security" not in behind.ask().headers
    with attacked(Visitors(use_https=True, host="the.example"), pair) as node:
        wait_until(lambda: node.ask(path=HEALTH, tls=True).status == 200)
        reply = node.ask("X-Forwarded-Proto: https", path="//evil.example/x")
        wanted = f"https://the.example:{node.node.https_port}//evil.example/x"
        assert (reply.status, reply.headers["location"]) == (301, wanted)
        assert "strict-transport-security" not in reply.headers
        assert node.ask(path=HEALTH).status == 200
        assert node.ask(tls=True).headers["strict-transport-security"] == "max-age=15552000"


# ---- how much of it


def idle(node: Attacked, count: int, data: bytes, stack: ExitStack, *, tls: bool = False) -> list[socket.socket]:
    found = []
    for _ in range(count):
        connection = stack.enter_context(socket.socket())
        connection.settimeout(30)
        connection.bind((VISITOR, 0))
        connection.connect(("127.0.0.1", node.node.https_port if tls else node.node.http_port))
        connection.sendall(data)
        found.append(connection)
    return found


IDLE = {
    "one byte": b"G",
    "half a header": b"GET / HTTP/1.1\r\nHost: a\r\nX-Y: ",
    "half a body": b"POST /half HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nhalf",
    "half a chunk": b"POST /half HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\nhalf",
}


@pytest.mark.parametrize("data", IDLE.values(), ids=IDLE)
def test_idle_connections_of_one_client_keep_neither_the_agent_nor_other_visitors_waiting(
    node: Attacked, data: bytes
) -> None:
    with ExitStack() as stack:
        connections = idle(node, 450, data, stack)
        workers = node.apache.workers()
        for _ in range(5):
            begun = time.monotonic()
            assert len(node.apache.ask(len(workers))) == len(workers)
            page = node.apache.get("/page", warming=False, patience=timedelta(seconds=10))
            assert page is not None
            assert page.status == 200
            assert time.monotonic() - begun < 10
        assert node.ask(source=PROXY).status == 200
        # They do not hold what they have got for long. Whether the end is polite depends on how far they have come.
        wait_until(lambda: all(map(_over, connections[::50])), 90)
    assert "/half" not in node.seen()


def test_idle_connections_do_not_keep_a_release_from_being_served(pair: dict[str, bytes]) -> None:
    with attacked(Visitors(), pair) as node, ExitStack() as stack:
        node.stage(2, {"hello.py": ECHO}, pair, config="a: 2\n")
        idle(node, 450, b"G", stack)
        node.serve(2)
        assert node.ask(source=PROXY).status == 200


def _over(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return not connection.recv(1, socket.MSG_PEEK) or True
    except BlockingIOError:
        return False
    except OSError:
        return True


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("size", [0, 5, 3_000_000])
def test_a_chunked_upload_reaches_the_application(node: Attacked, size: int, tls: bool) -> None:
    body = bytes(range(256)) * (size // 256 + 1)
    pieces = [body[at : at + 70_000] for at in range(0, size, 70_000)]
    pieces = [piece[: size - 70_000 * number] for number, piece in enumerate(pieces)]
    sent = b"".join(b"%x;name=value\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    head = b"POST /up HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    (reply,) = node.send(head + sent + b"0\r\nX-Trailer: 1\r\n\r\n", tls=tls)
    assert (reply.said["body"], reply.said.get("HTTP_X_TRAILER")) == (size, None)


def test_a_body_that_is_larger_than_the_settings_allow_is_refused() -> None:
    with attacked(Visitors(body=1000)) as node:
        head = b"POST /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        for size in (1001, 50_000):
            declared = node.send(head + b"Content-Length: %d\r\n\r\n" % size + bytes(size))
            chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (size, bytes(size))
            chunked = node.send(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk)
            assert [reply.status for reply in (*declared, *chunked)] == [413, 413]
        assert "/large" not in node.seen()
        assert node.send(head + b"Content-Length: 1000\r\n\r\n" + bytes(1000))[0].said["body"] == 1000


# ---- where it ends

INNER = b"GET /smuggled HTTP/1.1\r\nHost: a\r\nX: "
SMUGGLED: dict[str, bytes] = {
    "CL.TE": b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n%b",
    "TE.CL": b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n%b%b\r\n0\r\n\r\n",
    "TE.TE": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\nContent-Length: %d\r\n\r\n0\r\n\r\n%b",
    "an unknown coding": b"Transfer-Encoding: xchunked\r\nContent-Length: %d\r\n\r\n0\r\n\r\n%b",
    "a coding before chunked": b"Transfer-Encoding: gzip, chunked\r\nContent-Length: %d\r\n\r\n0\r\n\r\n%b",
    "a coding after chunked": b"Transfer-Encoding: chunked, identity\r\nContent-Length: %d\r\n\r\n0\r\n\r\n%b",
    "a space before the colon": b"Transfer-Encoding : chunked\r\nContent-Length: %d\r\n\r\n0\r\n\r\n%b",
    "a tab before the coding": b"Transfer-Encoding:\tchunked\r\nContent-Length: %d\r\n\r\n0\r\n\r\n%b",
    "a vertical tab": b"Transfer-Encoding: \x0bchunked\r\nContent-Length: %d\r\n\r\n0\r\n\r\n%b",
    "an obsolete fold": b"Transfer-Encoding:\r\n chunked\r\nContent-Length: %d\r\n\r\n0\r\n\r\n%b",
    "a fold that hides a header": b"X-A: b\r\n Transfer-Encoding: chunked\r\nContent-Length: %d\r\n\r\n0\r\n\r\n%b",
    "two lengths": b"Content-Length: 5\r\nContent-Length: %d\r\n\r\n12345%b",
    "a list of lengths": b"Content-Length: 5, %d\r\n\r\n12345%b",
    "a length with a sign": b"Content-Length: +%d\r\n\r\n12345%b",
    "a negative length": b"Content-Length: -%d\r\n\r\n12345%b",
    "a length in hexadecimal": b"Content-Length: 0x%d\r\n\r\n12345%b",
    "a length in octal": b"Content-Length: 0%d\r\n\r\n12345%b",
    "a length that overflows": b"Content-Length: 184467440737095516%d\r\n\r\n12345%b",
    "line feeds alone": b"Content-Length: %d\nTransfer-Encoding: chunked\n\n0\n\n%b",
    "a carriage return alone": b"X: y\rTransfer-Encoding: chunked\r\nContent-Length: %d\r\n\r\n0\r\n\r\n%b",
    "a zero byte": b"X: \x00\r\nTransfer-Encoding: chunked\r\nContent-Length: %d\r\n\r\n0\r\n\r\n%b",
    "a chunk's extension": b"Transfer-Encoding: chunked\r\n\r\n5;a=%d\r\n12345\r\n0;b\nX\r\n\r\n%b",
    "a chunk's extension that ends with a line feed": b"Transfer-Encoding: chunked\r\n\r\n2;%d\nxx\r\n0\r\n\r\n%b",
    "a chunk's length with a sign": b"Transfer-Encoding: chunked\r\n\r\n+5;%d\r\n12345\r\n0\r\n\r\n%b",
    "a chunk's length that overflows": b"Transfer-Encoding: chunked\r\n\r\n100000000000000%d\r\n12345\r\n0\r\n\r\n%b",
    "a chunk without its end": b"Transfer-Encoding: chunked\r\n\r\n5;%d\r\n12345XX0\r\n\r\n%b",
    "Expect": b"Expect: 100-continue\r\nContent-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n%b",
}


def smuggling(template: bytes) -> bytes:
    """A request that hides another one, followed by an honest one."""
    rest = INNER + b"y\r\n\r\n"
    count = template.count(b"%")
    filled = template % ((len(rest) + 5, rest) if b"%d" in template else (b"", rest)) if count else template
    honest = b"GET /honest HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    return b"POST /outer HTTP/1.1\r\nHost: a\r\n" + filled + honest


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("template", SMUGGLED.values(), ids=SMUGGLED)
def test_the_apaches_agree_where_a_request_ends(node: Attacked, template: bytes, tls: bool) -> None:
    """Each request that reaches the application is answered on the visitor's own connection, and in its order: what a
    front takes for the next request may be one, but the application's Apache never finds one within another."""
    before = len(node.seen())
    replies = node.send(smuggling(template), tls=tls)
    assert replies, "an answer"
    answered = [json.loads(reply.body)["PATH_INFO"] for reply in replies if reply.status == 200]
    assert node.seen()[before:] == answered
    for path in answered:
        wait_until(lambda: re.search(rf'status=200 .* request="\w+ {path} ', node.requests(tls=tls)) is not None)  # noqa: B023
    # On the next connection nothing is left of it.
    assert node.ask(path="/next", tls=tls).said["PATH_INFO"] == "/next"


def test_a_request_line_reaches_the_application_as_one_request(node: Attacked) -> None:
    for line in (
        b"GET /a HTTP/1.1\nX: y\r\n",
        b"GET /a\r\nHost: a HTTP/1.1\r\n",
        b"GET http://evil.example/a HTTP/1.1\r\n",
        b"GET /a HTTP/1.1\r\n\x20X: y\r\n",
        b"GET  /a  HTTP/1.1\r\n",
        b"GET /a%0d%0aX-DA-Agent-Client:%20x HTTP/1.1\r\n",
        b"GET /" + b"a" * 8100 + b" HTTP/1.1\r\n",
    ):
        before = len(node.seen())
        replies = node.send(line + b"Host: a\r\nConnection: close\r\n\r\n")
        answered = [reply for reply in replies if reply.status == 200]
        assert len(node.seen()) - before == len(answered) <= 1


def test_folders_of_bodies_are_left_empty(node: Attacked) -> None:
    node.send(b"POST /up HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 100000\r\n\r\n" + bytes(100_000))
    assert not list(Path("/tmp").glob("modproxy.tmp.*"))
