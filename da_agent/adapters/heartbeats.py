"""A node's heart, which goes on while the node resolves, stages or waits."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta


@contextmanager
def beating(beat: Callable[[], None], period: timedelta) -> Iterator[None]:
    """Call `beat` every `period`, from a thread of its own, until this ends. One that fails is only missing."""
    ended = threading.Event()

    def go_on() -> None:
        while not ended.wait(period.total_seconds()):
            beat()

    thread = threading.Thread(target=go_on, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        # Not waited for: a store that does not answer must not keep a node from ending.
        ended.set()
