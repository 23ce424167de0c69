"""What one node must know before it has read any configuration."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from da_agent.domain.node import loopbacks


@dataclass(frozen=True, slots=True)
class Node:
    """One node of the cluster, as its environment describes it.

    root               the directory of everything that belongs to the node
    store              the store's URL, without credentials
    address            the address that the web server listens on
    https_port         is only opened when there is a certificate
    python             the interpreter of the managed environments
    web_user           the user that runs the application; None when the agent is not root and everything runs as one
                       user
    build_user         the user that resolves, builds and compiles packages, and owns nothing else; None as above
    application        the `MODULE:CALLABLE` used when the configuration names none (dev --app)
    application_path   the folder to import `application` from
    application_variables  names of variables that the application may see, besides those that it always sees
    rpc_address        the address on which supervisord takes commands
    rpc_port           its TCP port; None when supervisord takes no commands from the network
    notify_address     the address on which the node takes notifications
    notify_port        its UDP port; None when the node only polls
    certificate_folders the folders, besides those below the root, that a configuration may name for certificates
    loopback_port      the first of the ports on which the application's Apache listens, at the address `loopback`
    variables          the environment itself, for the first configuration
    """

    root: Path
    store: str
    address: str
    http_port: int
    https_port: int
    python: Path
    web_user: str | None
    application: str | None
    application_path: Path | None
    variables: Mapping[str, str]
    application_variables: tuple[str, ...] = ()
    rpc_address: str = "127.0.0.1"
    rpc_port: int | None = None
    notify_address: str = "127.0.0.1"
    notify_port: int | None = None
    certificate_folders: tuple[Path, ...] = (Path("/etc/ssl/docassemble"),)
    build_user: str | None = None
    loopback_port: int = loopbacks.PORT

    @property
    def loopback(self) -> str:
        """The address of the application's Apache: this machine alone can reach it, and no other node has it."""
        return loopbacks.address(self.root, self.http_port)

    @property
    def agent_port(self) -> int:
        """The port of the application's Apache that answers the agent."""
        return self.loopback_port + 1
