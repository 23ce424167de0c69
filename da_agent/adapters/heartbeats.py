"""A node's heartbeat, which continues while the node resolves, stages or waits."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta


@contextmanager
def beating(beat: Callable[[], None], period: timedelta) -> Iterator[None]:
    """Call `beat` every `period`, from a thread of its own, until the context ends.

    `beat` must not raise: an exception would end the heartbeat.
    """
    ended = threading.Event()

    def go_on() -> None:
        while not ended.wait(period.total_seconds()):
            beat()

    thread = threading.Thread(target=go_on, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        # The thread is not joined: a store that does not answer must not keep the process from ending.
        ended.set()
