"""Whether a release is well, beside the worker processes' own word: a page, a command, the supervised programs."""

from datetime import timedelta

from da_agent import ports
from da_agent.domain.config import redaction
from da_agent.domain.config.settings import Health

BROKEN = 500
"""From here on a status says that the application has failed (RFC 9110, 15.6); others may be what a page is like."""

LOOK_AGAIN = timedelta(milliseconds=250)

LEAST = timedelta(seconds=1)
"""What any check may take, although those before it have used up the time."""


class Checkup:
    """The health checks of this node. Each gives a reason, or None when all is well."""

    def __init__(
        self, traffic: ports.Traffic, commands: ports.Commands, supervisor: ports.Supervisor, clock: ports.Clock
    ) -> None:
        self._traffic = traffic
        self._commands = commands
        self._supervisor = supervisor
        self._clock = clock

    def unwell(self, number: int, health: Health, patience: timedelta) -> str | None:
        """What is wrong with this node while it serves release `number`; known after `patience`."""
        ends = self._clock.elapsed() + patience
        page = self.page(health, patience, warming=False)
        return page or self._programs() or self._command(number, health, ends - self._clock.elapsed())

    def wait_for_programs(self, patience: timedelta) -> None:
        """Wait until it is known of each program that was begun again whether it stays up; `patience` at most."""
        ends = self._clock.elapsed() + patience
        while self._supervisor.starting() and self._clock.elapsed() < ends:
            self._clock.wait(LOOK_AGAIN)

    def page(self, health: Health, patience: timedelta, *, warming: bool) -> str | None:
        """What is wrong with the page; `warming`: as those answer it that do not serve anybody yet."""
        if health.path is None:
            return None
        reply = self._traffic.get(health.path, warming=warming, patience=max(patience, LEAST))
        if reply is None:
            return f"GET {health.path} timed out"
        if health.status is not None and reply.status != health.status:
            return f"{health.path} answers {reply.status} instead of {health.status}"
        if reply.status >= BROKEN and health.status is None:
            return f"{health.path} answers {reply.status}"
        if health.text is not None and health.text.encode() not in reply.start:
            return f"{health.path} answers without the text {health.text!r}"
        return None

    def _programs(self) -> str | None:
        failed = self._supervisor.failed()
        return f"supervisor has given up {', '.join(failed)}" if failed else None

    def _command(self, number: int, health: Health, patience: timedelta) -> str | None:
        if health.command is None:
            return None
        ended = self._commands.run(number, health.command, max(patience, LEAST))
        return None if ended.failure is None else f"{redaction.command(health.command)} {ended.failure}"
