"""Slows down wrong passwords at the TCP port of supervisord, which loads this module as a plug-in."""

import socket
import time
from typing import Any

from supervisor import events

from da_agent.domain.node.password_guesses import Guesses


class NoCalls:
    """A plug-in must offer calls over XML-RPC; this one has none."""


def make_guard(supervisord: Any, **_: object) -> NoCalls:
    """A factory as in `supervisor.rpcinterface_factory`. It is called before there are servers, and its callback before
    the first request."""
    events.subscribe(events.SupervisorRunningEvent, lambda _: guard(supervisord.options.httpservers))
    return NoCalls()


def guard(servers: Any) -> None:
    """Put a guard before each handler that asks for a password at a TCP port."""
    for config, server in servers:
        if config["family"] == socket.AF_INET:
            watched = _Watched()
            server.handlers = [
                _Guard(each, watched) if hasattr(each, "authorizer") else each for each in server.handlers
            ]


class _Watched:
    """What all handlers of one server know about its clients."""

    def __init__(self) -> None:
        self.guesses = Guesses()


class _Guard:
    """Passes a request on, unless its client has sent too many wrong passwords."""

    def __init__(self, handler: Any, watched: _Watched) -> None:
        self._handler = handler
        self._watched = watched
        self._authorizer = handler.authorizer
        self._wrong = False
        handler.authorizer = self

    def match(self, request: Any) -> Any:
        return self._handler.match(request)

    def handle_request(self, request: Any) -> None:
        client, now = str(request.channel.addr[0]), time.monotonic()
        if not self._watched.guesses.allowed(client, now):
            self._handler.handle_unauthorized(request)
            return
        self._wrong = False
        self._handler.handle_request(request)
        if self._wrong:
            self._watched.guesses = self._watched.guesses.failed(client, now)

    def authorize(self, words: Any) -> bool:
        # Without a colon, supervisor's own would raise.
        right = len(words) == 2 and bool(self._authorizer.authorize(words))
        self._wrong = not right
        return right
