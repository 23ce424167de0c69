"""What a node's environment says about the node itself."""

import ipaddress
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from da_agent.domain.config.settings import names_application
from da_agent.domain.node import application_environment, loopbacks
from da_agent.domain.node.nodes import Node
from da_agent.domain.store.names import is_absolute
from da_agent.errors import Invalid

T = TypeVar("T")


def parse_node(variables: Mapping[str, str], *, root: bool) -> Node:
    """The node that `variables` describe; `root`: whether the agent runs as root. An empty variable counts as unset.

    `store` is DA_AGENT_STORE as it stands, empty when unset. Raises Invalid with every mistake at once.
    """
    mistakes: list[str] = []

    def read(name: str, kind: Callable[[str], T], default: T) -> T:
        text = variables.get(name, "")
        try:
            return kind(text) if text else default
        except ValueError as error:
            mistakes.append(f"the variable {name} {error}, not {text!r:.200}")
            return default

    # A trial run on a laptop must not be open to the network.
    address = read("DA_AGENT_ADDRESS", _address, "0.0.0.0" if root else "127.0.0.1")  # noqa: S104
    node = Node(
        root=read("DA_AGENT_ROOT", _root, Path("/usr/share/docassemble")),
        store=variables.get("DA_AGENT_STORE", ""),
        address=address,
        http_port=read("DA_AGENT_HTTP_PORT", _port, 80 if root else 8080),
        https_port=read("DA_AGENT_HTTPS_PORT", _port, 443 if root else 8443),
        python=read("DA_AGENT_PYTHON", _path, Path("/usr/bin/python3")),
        web_user=read("DA_AGENT_WEB_USER", _user if root else _no_user, "www-data" if root else None),
        build_user=read("DA_AGENT_BUILD_USER", _user if root else _no_user, "da-agent-build" if root else None),
        application=read("DA_AGENT_APPLICATION", _application, None),
        application_path=read("DA_AGENT_APPLICATION_PATH", _path, None),
        variables=dict(variables),
        application_variables=read(application_environment.VARIABLE, application_environment.names, ()),
        rpc_address=read("DA_AGENT_RPC_ADDRESS", _ipv4("supervisor knows"), _like(address)),
        rpc_port=read("DA_AGENT_RPC_PORT", _port, None),
        certificate_folders=read("DA_AGENT_CERTIFICATE_FOLDERS", _folders, (Path("/etc/ssl/docassemble"),)),
        notify_address=read("DA_AGENT_NOTIFY_ADDRESS", _ipv4("notifications know"), _like(address)),
        notify_port=read("DA_AGENT_NOTIFY_PORT", _port, None),
        loopback_port=read("DA_AGENT_LOOPBACK_PORT", _two_ports, loopbacks.PRIVILEGED_PORT if root else loopbacks.PORT),
    )
    if node.http_port == node.https_port:
        mistakes.append(f"DA_AGENT_HTTP_PORT and DA_AGENT_HTTPS_PORT must differ, both are {node.http_port}")
    if root and node.build_user == node.web_user:
        mistakes.append(
            f"DA_AGENT_BUILD_USER and DA_AGENT_WEB_USER must differ, both are {node.web_user}: the application must not"
            f" change what is built"
        )
    if node.rpc_port in (node.http_port, node.https_port):
        mistakes.append(f"DA_AGENT_RPC_PORT must not be one of the web server's ports, {node.rpc_port}")
    if shared := {node.http_port, node.https_port, node.rpc_port} & {node.loopback_port, node.agent_port}:
        mistakes.append(
            f"DA_AGENT_LOOPBACK_PORT and the port after it must not be ports of another program of this node,"
            f" {min(filter(None, shared))}"
        )
    if mistakes:
        raise Invalid(mistakes)
    return node


def _path(text: str) -> Path:
    # Paths become part of the configuration of Apache and supervisor, and of the first line of scripts.
    if not is_absolute(text) or re.search(r"[^\w/.@+-]", text):
        raise ValueError("must be an absolute path of letters, digits and /._@+-, without spaces")
    return Path(text)


def _root(text: str) -> Path:
    path = _path(text)
    if len(path.parts) < 2:
        raise ValueError("must be a directory of its own")
    return path


def _folders(text: str) -> tuple[Path, ...]:
    try:
        return tuple(map(_root, text.split(":")))
    except ValueError as error:
        raise ValueError(f"is a list of folders separated by colons, and each {error}") from error


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise ValueError("must be an IP address, such as 0.0.0.0 for all") from error


def _ipv4(knows: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        try:
            return str(ipaddress.IPv4Address(text))
        except ValueError as error:
            raise ValueError(f"must be an IPv4 address: {knows} no other") from error

    return read


def _like(address: str) -> str:
    """The default address of the other ports: the web server's, or an IPv4 address that is as private."""
    if address == "::":
        return "0.0.0.0"  # noqa: S104
    return "127.0.0.1" if ":" in address else address


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and 0 < int(text) < 65536):
        raise ValueError("must be a port number from 1 to 65535")
    return int(text)


def _two_ports(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and 0 < int(text) < 65535):
        raise ValueError("must be a port number from 1 to 65534")
    return int(text)


def _user(text: str) -> str:
    if text == "root" or not re.fullmatch(r"[a-z_][a-z0-9_-]*", text):
        raise ValueError("must be the name of a user other than root")
    return text


def _no_user(_: str) -> str:
    raise ValueError("must be left out unless the agent runs as root: everything runs as one user")


def _application(text: str) -> str:
    if not names_application(text):
        raise ValueError("must be MODULE:CALLABLE, such as shop.wsgi:application")
    return text
