"""One HTTP connection of a visitor, strict about what an answer must be."""

import asyncio
from dataclasses import dataclass
from typing import Self


class Cut(Exception):
    """The connection ended in the middle of an exchange. `unheard`: without one byte of the answer."""

    def __init__(self, message: str, *, unheard: bool) -> None:
        super().__init__(message)
        self.unheard = unheard


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete one."""

    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """Open until an answer says otherwise, or `close`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self._reader = reader
        self._writer = writer
        self._host = host
        self.open = True

    @classmethod
    async def make(cls, host: str, port: int) -> Self:
        return cls(*await asyncio.open_connection(host, port), f"{host}:{port}")

    async def ask(self, target: str, *, keep: bool) -> Answer:
        """Cut, or ValueError for what is not HTTP, when there is no complete answer."""
        self.open = False
        close = "" if keep else "Connection: close\r\n"
        try:
            self._writer.write(f"GET {target} HTTP/1.1\r\nHost: {self._host}\r\n{close}\r\n".encode())
            head = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            raise Cut("closed without a complete answer", unheard=not error.partial) from error
        except ConnectionError as error:
            raise Cut(f"closed without an answer: {error!r}", unheard=True) from error
        status, headers = _parse(head)
        try:
            body = await self._reader.readexactly(int(headers["content-length"]))
        except KeyError as error:
            raise ValueError("the answer does not tell its length") from error
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise Cut(f"status {status}, but the body ends early", unheard=False) from error
        self.open = keep and headers.get("connection", "").lower() != "close"
        return Answer(status, headers, body)

    def close(self) -> None:
        self._writer.close()


def _parse(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    protocol, status, *_ = first.split(" ")
    if protocol != "HTTP/1.1":
        raise ValueError(f"not an answer of HTTP/1.1: {first!r}")
    pairs = (line.partition(":") for line in lines)
    return int(status), {name.strip().lower(): value.strip() for name, _, value in pairs}
