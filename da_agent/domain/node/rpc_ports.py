"""The port on which a node's supervisord takes commands from other machines, and what is needed to use it.

The agents do not use this port: its password controls the node.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from da_agent.domain.node.nodes import Node
from da_agent.errors import Invalid

if TYPE_CHECKING:
    # The YAML reader takes long to import, and a process that only notifies does not need it.
    from da_agent.domain.config.configurations import Configuration

_UNSET = ("", "null", "Null", "None")
"""docassemble's own start-up takes these for "no value"."""

_USERNAME = re.compile(r"[A-Za-z0-9._@+-]{1,100}")
"""A colon would end the name in a request; a percent sign, a semicolon or a space has a meaning in supervisor's
files."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The user name and password that every supervisord of the cluster asks for."""

    username: str
    password: str = field(repr=False)


def given(variables: Mapping[str, str]) -> Credentials | None:
    """The credentials from DASUPERVISORUSERNAME and DASUPERVISORPASSWORD; None unless both are set.

    Raises Invalid when they are not usable.
    """
    return _credentials(variables.get("DASUPERVISORUSERNAME"), variables.get("DASUPERVISORPASSWORD"))


def configured(configuration: Configuration) -> Credentials | None:
    """The credentials from the section `supervisor`; None unless both are there. Raises Invalid when they are not
    usable."""
    return _credentials(configuration.value("supervisor", "username"), configuration.value("supervisor", "password"))


def _credentials(username: object, password: object) -> Credentials | None:
    if not isinstance(username, str) or not isinstance(password, str) or username in _UNSET or password in _UNSET:
        return None
    if not _USERNAME.fullmatch(username):
        raise Invalid("supervisor's user name must consist of letters, digits and ._@+-")
    if any("\ud800" <= character <= "\udfff" for character in password):
        raise Invalid("supervisor's password is not UTF-8 text")
    return Credentials(username, password)


def section(node: Node, credentials: Credentials | None) -> bytes | None:
    """What supervisord must read besides supervisord.conf; None when the node has no such port.

    Raises Invalid for a port without a password: any program that reaches it could start programs and read logs.
    """
    if node.rpc_port is None:
        return None
    if credentials is None:
        raise Invalid(
            f"cannot open port {node.rpc_port} (DA_AGENT_RPC_PORT) without a password: set DASUPERVISORUSERNAME and"
            " DASUPERVISORPASSWORD, or supervisor: username and password in config.yml"
        )
    # Hashed, because a password may contain any character that has a meaning in this file. It is the one hash that
    # supervisor knows. It hides the password from view only, not from guessing.
    password = hashlib.sha1(credentials.password.encode()).hexdigest()  # noqa: S324
    return (
        "; Written by the agent, from DA_AGENT_RPC_PORT and the supervisor credentials of the cluster.\n"
        "[inet_http_server]\n"
        f"port={node.rpc_address}:{node.rpc_port}\n"
        f"username={credentials.username}\n"
        f"password={{SHA}}{password}\n"
        "; Slows down wrong passwords.\n"
        "[rpcinterface:da_agent]\n"
        "supervisor.rpcinterface_factory=da_agent.adapters.port_guards:make_guard\n"
    ).encode()
