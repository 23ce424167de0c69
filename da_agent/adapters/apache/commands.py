"""Commands from the settings, run like the application: as its user, in its release's environment."""

import os
from datetime import timedelta

from da_agent import ports
from da_agent.adapters.apache import configurations, throwaways
from da_agent.domain import texts
from da_agent.domain.node.nodes import Node
from da_agent.domain.node.paths import Paths, Staged

_TEXT = "DA_AGENT_COMMAND_TEXT"
_SHELL = ("/bin/sh", "-c", f'da_agent=${_TEXT}; unset {_TEXT}; eval "$da_agent"')
"""Takes the command from a variable: every user of the machine can read command lines, and it may hold a password."""


class ShellCommands:
    """Implements ports.Commands. Each command runs in its own session, which ends with it."""

    def __init__(self, node: Node, paths: Paths) -> None:
        self._node = node
        self._paths = paths

    def run(self, number: int, command: str, patience: timedelta) -> ports.Ended:
        user = configurations.account(self._node.web_user) if self._node.web_user else None
        staged = Staged(self._paths.release(number))
        environment = throwaways.variables(self._node, user)
        environment |= {
            "DA_AGENT_RELEASE": str(number),
            "DA_CONFIG_FILE": str(staged.config),
            "DOCASSEMBLE_CONFIG": str(staged.config),
            "VIRTUAL_ENV": str(staged.environment),
            "PATH": f"{staged.environment / 'bin'}{os.pathsep}{environment['PATH']}",
            # A release is complete before it is served: a command must not add files to it.
            "PYTHONDONTWRITEBYTECODE": "1",
            _TEXT: command,
        }
        seconds = patience.total_seconds()
        ended = throwaways.run(_SHELL, seconds=seconds, environment=environment, user=user)
        lines = texts.log(ended.lines)
        last = f": {texts.reason(lines[-1])}" if lines else ""
        if ended.code is None:
            return ports.Ended(lines, f"did not end within {seconds:g} seconds{last}")
        if ended.code < 0:
            return ports.Ended(lines, f"was ended by signal {-ended.code}{last}")
        return ports.Ended(lines, f"ended with exit code {ended.code}{last}" if ended.code else None)
