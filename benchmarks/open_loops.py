"""Requests at a constant rate, whatever becomes of them: `python -m benchmarks.open_loops HOST PORT RATE COUNT`.

A request is due at its time, not when the one before it has been answered; its latency counts from then. One half opens
a connection for each request, the other half keeps connections; one in two hundred asks for /slow. Prints a JSON list
of [seconds, slow, problem, version] for each request, then how often a kept connection was closed while it was idle
(asked again on a new one, as browsers do; nothing else is forgiven).
"""

import asyncio
import json
import sys
import time
from collections import deque

SLOW_EVERY = 200
TIMEOUT = 60.0

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Result = tuple[float, bool, str | None, str | None]


class Client:
    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._kept: deque[Stream] = deque()
        self.closed_while_idle = 0

    async def ask(self, number: int, due: float) -> Result:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        slow, keep = number % SLOW_EVERY == 0, number % 2 == 1
        problem = version = None
        try:
            async with asyncio.timeout(TIMEOUT):
                status, body = await self._get("/slow" if slow else "/", keep)
                version = json.loads(body)["version"] if status == 200 else None
                problem = None if status == 200 else f"status {status}"
        except (OSError, ValueError, IndexError, EOFError, TimeoutError) as error:
            problem = f"{type(error).__name__}: {error}"
        return time.monotonic() - due, slow, problem, version

    async def _get(self, path: str, keep: bool) -> tuple[int, bytes]:
        if keep and self._kept:
            stream = self._kept.pop()
            try:
                return await self._exchange(stream, path, keep)
            except (ConnectionError, asyncio.IncompleteReadError) as error:
                stream[1].close()
                if isinstance(error, asyncio.IncompleteReadError) and error.partial:
                    raise
                self.closed_while_idle += 1
        return await self._exchange(await asyncio.open_connection(*self._address), path, keep)

    async def _exchange(self, stream: Stream, path: str, keep: bool) -> tuple[int, bytes]:
        reader, writer = stream
        connection = "keep-alive" if keep else "close"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        body = await reader.readexactly(int(head.split("content-length:")[1].split()[0]))
        if keep and "connection: close" not in head:
            self._kept.append(stream)
        else:
            writer.close()
        return int(head.split()[1]), body


async def generate(host: str, port: int, rate: float, count: int) -> tuple[list[Result], int]:
    client = Client(host, port)
    begin = time.monotonic() + 0.2
    async with asyncio.TaskGroup() as group:
        tasks = []
        for number in range(count):
            due = begin + number / rate
            tasks.append(group.create_task(client.ask(number, due)))
            await asyncio.sleep(max(0.0, due - 0.1 - time.monotonic()))
    return [task.result() for task in tasks], client.closed_while_idle


if __name__ == "__main__":
    host, port, rate, count = sys.argv[1:]
    print(json.dumps(asyncio.run(generate(host, int(port), float(rate), int(count)))))
