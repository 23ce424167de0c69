"""Several nodes below one folder. Its cluster.json records them, so that another terminal can inspect and stop them."""

import os
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import msgspec

from da_agent import files
from da_agent.adapters.dev_clusters.nodes import DevNode, Seat
from da_agent.domain.node import application_environment
from da_agent.errors import Invalid, NodeBroken, NotFound

PASSED_ON = ("PATH", "LANG", "TZ", "TMPDIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy")
"""Variables that every node inherits from the caller, besides PREFIXES: the store, its keys and the package index."""

PREFIXES = ("DA_AGENT_CERTIFICATE_FOLDERS", "AWS_", "S3", "DB", "UV_", "PIP_", "SSL_")


class _Record(msgspec.Struct):
    store: str
    application: str | None
    application_path: str | None
    seats: list[Seat]


class DevCluster:
    """A cluster whose nodes may or may not run."""

    def __init__(self, directory: Path, record: _Record, environment: Mapping[str, str]) -> None:
        self.directory = directory
        self.store = record.store
        self._record = record
        self.nodes = tuple(DevNode(seat, _variables(environment, record)) for seat in record.seats)

    @classmethod
    def create(
        cls,
        directory: Path,
        *,
        nodes: int,
        store: str | None = None,
        application: str | None = None,
        application_path: Path | None = None,
        environment: Mapping[str, str],
    ) -> "DevCluster":
        """The cluster of `directory`, made when there is none. An existing one keeps its ports and its nodes' roots.

        Without `store` the nodes share the folder `store` in `directory`. Raises Invalid when the web user could not
        enter, or when the cluster is already running.
        """
        directory = directory.absolute()
        record = _load(directory) or _Record("", None, None, [])
        if any(seat.supervisord and seat.supervisord.find() for seat in record.seats):
            raise Invalid(f"the cluster below {directory} is running already: da-agent dev stop --root {directory}")
        record.store = store or f"file://{directory / 'store'}"
        record.application = application
        record.application_path = None if application_path is None else str(application_path)
        record.seats = (record.seats + _seats(directory, len(record.seats), nodes - len(record.seats)))[:nodes]
        cluster = cls(directory, record, environment)
        for node in cluster.nodes:
            node.check()
        with files.on_this_node(f"make the cluster's folder {directory}"):
            directory.mkdir(parents=True, exist_ok=True, mode=0o755)
            if store is None:
                (directory / "store").mkdir(exist_ok=True, mode=0o700)
        _check_access(directory)
        cluster._save()
        return cluster

    @classmethod
    def open(cls, directory: Path, environment: Mapping[str, str]) -> "DevCluster":
        """The cluster of `directory`, running or stopped; NotFound when there is none."""
        record = _load(directory.absolute())
        if record is None:
            raise NotFound(f"there is no cluster below {directory}: start one with da-agent dev --root {directory}")
        return cls(directory.absolute(), record, environment)

    def start(self) -> None:
        """Start every node that does not run."""
        for node in self.nodes:
            node.start()
        self._save()

    def join(self) -> None:
        """Return when no node runs any more, because another process has stopped them."""
        for node in self.nodes:
            node.join()

    def stop(self) -> list[str]:
        """Stop all nodes at the same time; returns "node: pid name" of each process that had to be killed."""
        for node in self.nodes:
            node.begin_to_stop(in_order=False)
        left = [f"{node.name}: {orphan}" for node in self.nodes for orphan in node.stop()]
        self._save()
        return left

    def wait(self, release: int = 1, patience: float = 180.0) -> None:
        """Return once every node serves `release` or a newer one; each node has `patience` seconds.

        Raises TimedOut, or NodeBroken when a node has ended.
        """
        for node in self.nodes:
            node.wait(release, patience)

    def _save(self) -> None:
        with files.on_this_node(f"write {self.directory / 'cluster.json'}"):
            files.replace(self.directory / "cluster.json", msgspec.json.format(msgspec.json.encode(self._record)))


def _load(directory: Path) -> _Record | None:
    path = directory / "cluster.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Record)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise Invalid(f"{path} is damaged ({error}): remove {directory} and begin again") from error
    except OSError as error:
        raise NodeBroken(f"cannot read {path}: {files.complaint(error)}") from error


def _seats(directory: Path, first: int, count: int) -> list[Seat]:
    ports, notify_ports = iter(free_ports(2 * max(count, 0))), iter(free_ports(max(count, 0), socket.SOCK_DGRAM))
    return [
        Seat(f"node{n + 1}", str(directory / "nodes" / str(n + 1)), next(ports), next(ports), next(notify_ports))
        for n in range(first, first + count)
    ]


def free_ports(count: int, kind: int = socket.SOCK_STREAM) -> list[int]:
    """Ports on which no program listens now. All are held until the last is found, so that they differ."""
    with ExitStack() as stack:
        held = [stack.enter_context(socket.socket(type=kind)) for _ in range(count)]
        for each in held:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in held]


def _variables(environment: Mapping[str, str], record: _Record) -> dict[str, str]:
    wanted = {*PASSED_ON, application_environment.VARIABLE, *_for_the_application(environment)}
    chosen = {name: value for name, value in environment.items() if name in wanted or name.startswith(PREFIXES)}
    chosen |= {"DA_AGENT_STORE": record.store, "HOME": environment.get("HOME", "/")}
    if record.application is not None:
        chosen["DA_AGENT_APPLICATION"] = record.application
    if record.application_path is not None:
        chosen["DA_AGENT_APPLICATION_PATH"] = record.application_path
    return chosen


def _for_the_application(environment: Mapping[str, str]) -> tuple[str, ...]:
    try:
        return application_environment.names(environment.get(application_environment.VARIABLE, ""))
    except ValueError:
        # Each node refuses it, with the reason.
        return ()


def _check_access(directory: Path) -> None:
    """Raise Invalid when another user owns `directory`, or when the web user cannot enter it.

    As root, Apache's workers are another user.
    """
    if directory.stat().st_uid != os.geteuid():
        raise Invalid(f"{directory} belongs to another user: choose another --root")
    if os.geteuid() != 0:
        return
    for folder in (directory, *directory.parents):
        if not folder.stat().st_mode & 0o001:
            raise Invalid(
                f"{directory} cannot be the cluster's folder: {folder} lets only its owner in, and the web"
                f" server's processes are another user; choose another --root, or chmod o+x {folder}"
            )
