"""`python -m tests.crowds PLAN`: one line of JSON for each visit, until stdin ends."""

import asyncio
import contextlib
import os
import sys

import msgspec

from tests.crowds.visitors import Plan, Visitors
from tests.crowds.visits import Visit


def tell(visit: Visit) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(visit) + b"\n")
    sys.stdout.buffer.flush()


async def main() -> None:
    plan = msgspec.json.decode(sys.argv[1], type=Plan)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        loop.remove_reader(sys.stdin)
        stopped.set()

    loop.add_reader(sys.stdin, stop)
    await Visitors(plan, str(os.getpid()), tell).come(stopped)


if __name__ == "__main__":
    # Who measures goes before who is measured: they share few cores.
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)
    asyncio.run(main())
