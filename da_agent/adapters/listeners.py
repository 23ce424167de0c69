"""The event listener's side of supervisor's protocol."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from supervisor.childutils import EventListenerProtocol


@contextmanager
def listen(
    stdin: TextIO, stdout: TextIO, *, wake: Callable[[str], object], stop: Callable[[], object]
) -> Iterator[None]:
    """Answer supervisor's events in a thread: `wake` gets the name of each, `stop` is called when supervisor is gone.

    stdout belongs to the protocol: whoever else writes there breaks it.
    """

    def follow() -> None:
        protocol = EventListenerProtocol()
        try:
            while True:
                headers, _ = protocol.wait(stdin, stdout)
                wake(headers["eventname"])
                protocol.ok(stdout)
        except (KeyError, ValueError, OSError):
            # An empty or broken line: supervisord has closed the pipe.
            stop()

    # A daemon: it waits in a read that nothing else can end, and the process must be able to.
    threading.Thread(target=follow, name="listener", daemon=True).start()
    yield
