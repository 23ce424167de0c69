"""Asking the loader's URL until every worker process has had its say."""

import http.client
import json
import time
from concurrent.futures import ThreadPoolExecutor

from da_agent.domain.proofs import Answer

HEALTH = "/.well-known/da-agent"
WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1", "*": "127.0.0.1"}  # noqa: S104  (names, not a socket)
TIMEOUT = 2.0
"""Seconds for one request. It may be less than the application takes to load: the next time will see it."""
PERIOD = 4.0
"""Seconds after which no further round is begun."""
MOST_AT_ONCE = 32
FIRST_PAUSE, LONGEST_PAUSE = 0.01, 0.2
"""Seconds between two rounds: the questions must not keep the processes from their work."""


def ask(address: str, port: int, at_least: int) -> tuple[Answer, ...]:
    """Ask in rounds until `at_least` processes have answered, nobody answers, or time is up; the newest of each.

    Which process takes a connection is chance: twice as many connections at once as processes, and a few rounds,
    reach every one that is free.
    """
    host = WILDCARDS.get(address, address)
    at_once = min(MOST_AT_ONCE, max(4, 2 * at_least))
    ends = time.monotonic() + PERIOD
    newest: dict[int, Answer] = {}
    pause = FIRST_PAUSE
    with ThreadPoolExecutor(at_once, thread_name_prefix="ask") as pool:
        while True:
            answers = [answer for answer in pool.map(lambda _: _one(host, port), range(at_once)) if answer]
            # Within a round the order is chance, but a process never changes its release.
            newest.update({answer.pid: answer for answer in answers})
            if not answers or len(newest) >= at_least or time.monotonic() > ends:
                return tuple(newest[pid] for pid in sorted(newest))
            time.sleep(pause)
            pause = min(1.5 * pause, LONGEST_PAUSE)


def _one(host: str, port: int) -> Answer | None:
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT)
    try:
        connection.request("GET", HEALTH, headers={"Connection": "close"})
        said = json.loads(connection.getresponse().read())
        return Answer(int(said["pid"]), int(said["release"]), said["error"])
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return None
    finally:
        connection.close()
