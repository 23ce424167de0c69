"""The listener's side of supervisor's event protocol, over stdin and stdout."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Event, Thread
from typing import IO

from supervisor import childutils

from da_agent.files import on_this_node

_STDERR = 2


@contextmanager
def listen(
    stdin: IO[str], stdout: IO[str], wake: Callable[[str], object], stop: Callable[[], object]
) -> Iterator[None]:
    """Answer supervisord in a thread: `wake` gets the name of each event, `stop` is called after the last one.

    The events end when supervisord dies or closes the pipe. Neither function is called after the context.
    Inside the context `stdin` and `stdout` belong to the protocol. Any other reader of stdin finds end of file. Any
    other output to stdout, of this process or of its children, goes to stderr.
    """
    ended = Event()
    with ExitStack() as stack:
        with on_this_node("listen to supervisord"):
            events = _take(stack, stdin.fileno(), os.open(os.devnull, os.O_RDONLY))
            answers = _take(stack, stdout.fileno(), os.dup(_STDERR))
        # The thread blocks in a read and may outlive the context. It has descriptors of its own, so it closes nothing
        # that the interpreter needs at exit.
        Thread(target=_serve, args=(events, answers, wake, stop, ended), name="listener", daemon=True).start()
        stack.callback(ended.set)
        yield


def _take(stack: ExitStack, descriptor: int, replacement: int) -> int:
    """A copy of `descriptor`, which is not inherited by child processes.

    `descriptor` itself refers to the file of `replacement` until `stack` is closed.
    """
    ours, kept = os.dup(descriptor), os.dup(descriptor)
    os.dup2(replacement, descriptor, inheritable=True)
    os.close(replacement)
    stack.callback(os.close, kept)
    stack.callback(os.dup2, kept, descriptor)
    return ours


def _serve(events: int, answers: int, wake: Callable[[str], object], stop: Callable[[], object], ended: Event) -> None:
    try:
        with os.fdopen(events, encoding="utf-8", newline="\n") as source, os.fdopen(answers, "w") as sink:
            while not ended.is_set():
                childutils.listener.ready(sink)
                name = _next(source)
                if name is None:
                    return
                if not ended.is_set():
                    wake(name)
                # Always OK: supervisord would resend a failed event, and the loop reads the state itself anyway.
                childutils.listener.ok(sink)
    except BrokenPipeError:
        return
    finally:
        if not ended.is_set():
            stop()


def _next(source: IO[str]) -> str | None:
    """The name of the next event; None when supervisord has closed the pipe, perhaps in the middle of an event."""
    header = source.readline()
    if not header.endswith("\n"):
        return None
    headers = childutils.get_headers(header)
    length = int(headers["len"])
    return str(headers["eventname"]) if len(source.read(length)) == length else None
