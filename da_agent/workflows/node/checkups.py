"""The health checks of a release beyond worker readiness: a page, a command, the supervised programs."""

from datetime import timedelta

from da_agent import ports
from da_agent.domain.config import redaction
from da_agent.domain.config.settings import Health

BROKEN = 500
"""From this status on, the application has failed (RFC 9110, 15.6). A lower status may be normal for a page."""

LOOK_AGAIN = timedelta(milliseconds=250)

LEAST = timedelta(seconds=1)
"""The time that each check gets at least, even when the checks before it have used up all of it."""


class Checkup:
    """The health checks of this node. Each returns a reason, or None when it passes."""

    def __init__(
        self, traffic: ports.Traffic, commands: ports.Commands, supervisor: ports.Supervisor, clock: ports.Clock
    ) -> None:
        self._traffic = traffic
        self._commands = commands
        self._supervisor = supervisor
        self._clock = clock

    def failing(self, number: int, health: Health, patience: timedelta) -> str | None:
        """What is wrong with this node while it serves release `number`, or None. Takes at most about `patience`."""
        ends = self._clock.elapsed() + patience
        page = self.page(health, patience, warming=False)
        return page or self._programs() or self._command(number, health, ends - self._clock.elapsed())

    def wait_for_programs(self, patience: timedelta) -> None:
        """Wait until every restarted program either stays up or has failed; at most `patience`."""
        ends = self._clock.elapsed() + patience
        while self._supervisor.starting() and self._clock.elapsed() < ends:
            self._clock.wait(LOOK_AGAIN)

    def page(self, health: Health, patience: timedelta, *, warming: bool) -> str | None:
        """What is wrong with the page, or None. `warming`: ask the processes that are loaded but do not serve users
        yet.
        """
        if health.path is None:
            return None
        reply = self._traffic.get(health.path, warming=warming, patience=max(patience, LEAST))
        if reply is None:
            return f"GET {health.path} timed out"
        if health.status is not None and reply.status != health.status:
            return f"GET {health.path} answers {reply.status} instead of {health.status}"
        if reply.status >= BROKEN and health.status is None:
            return f"GET {health.path} answers {reply.status}"
        if health.text is not None and health.text.encode() not in reply.start:
            return f"GET {health.path} answers without the text {health.text!r}"
        return None

    def _programs(self) -> str | None:
        failed = self._supervisor.failed()
        return f"supervisor cannot keep these programs running: {', '.join(failed)}" if failed else None

    def _command(self, number: int, health: Health, patience: timedelta) -> str | None:
        if health.command is None:
            return None
        ended = self._commands.run(number, health.command, max(patience, LEAST))
        return None if ended.failure is None else f"{redaction.command(health.command)} {ended.failure}"
