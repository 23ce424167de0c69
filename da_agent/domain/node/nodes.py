"""What one node must know before it has read any configuration."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Node:
    """One node of the cluster, as its environment describes it.

    store         the store's URL, without credentials
    address       where the web server listens; `https_port` is only opened when there is a certificate
    python        the interpreter that the managed environments are made with
    web_user      who runs the application; None when the agent is not root and everything runs as one user
    application   `MODULE:CALLABLE` used when the configuration names none (dev --app);
                  `application_path` is the folder to import it from
    rpc_address, rpc_port   where supervisord can be notified; the port is None when it cannot
    variables     the environment itself, for the first configuration and for the application's processes
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
    rpc_address: str = "127.0.0.1"
    rpc_port: int | None = None
