"""The files of a release that tell Apache and the loader what to do."""

import grp
import json
import pwd
from importlib import resources
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template

from da_agent.domain import serving_pairs
from da_agent.domain.nodes import Node
from da_agent.domain.paths import Paths, Staged
from da_agent.domain.releases import Release
from da_agent.domain.settings import Settings
from da_agent.errors import NodeBroken

APACHE = Path("/usr/sbin/apache2")
ROTATELOGS = Path("/usr/bin/rotatelogs")
MODULES = Path("/usr/lib/apache2/modules")
NEEDED = ("mpm_event", "authz_core", "alias", "headers", "reqtimeout", "wsgi")
NEEDED_FOR_TLS = ("socache_shmcb", "ssl")
"""mod_ssl needs the other one first."""

ACCESS_LOG = "access.log"
"""In paths.logs: one line for each request, `time= client= status= us= release= pid= request=""`."""

WEBAPP = "webapp.json"
"""Beside release.json: what the loader must know of a release before it can import anything from it."""

# A Unix socket's path must fit into 108 bytes with the zero behind it; mod_wsgi adds .<pid>.<generation>.<n>.sock
SOCKET_PATH = 107
SOCKET_SUFFIX = len(".4194304.9999.1.sock")


def command(paths: Paths, release: Path | None = None) -> tuple[str, ...]:
    """How Apache is started, for supervisord: it serves whatever `current` points at when it reads its files.

    With `release`, that release's folder takes the place of the switch.
    """
    folder = release or paths.current
    return (str(APACHE), "-DFOREGROUND", "-f", str(Staged(folder).web_server), "-C", f'Define RELEASE "{folder}"')


def check_node(paths: Paths) -> None:
    """NodeBroken, with the remedy, when Apache cannot work on this machine or below this root."""
    missing = [path for path in (APACHE, ROTATELOGS) if not path.exists()]
    missing += [path for path in map(_module, (*NEEDED, *NEEDED_FOR_TLS)) if not path.exists()]
    if missing:
        packages = "apache2 and libapache2-mod-wsgi-py3"
        raise NodeBroken(f"cannot find {missing[0]}: install the Debian packages {packages}")
    if odd := sorted(set(str(paths.root)) & set("\"'\\$%\n")):
        raise NodeBroken(f"cannot use {paths.root} as the root: Apache cannot have {' '.join(odd)} in a path")
    too_long = len(bytes(_socket_prefix(paths))) + SOCKET_SUFFIX - SOCKET_PATH
    if too_long > 0:
        raise NodeBroken(
            f"cannot use {paths.root} as the root: it is {too_long} bytes too long for the names of Unix sockets below "
            f"it; choose a shorter DA_AGENT_ROOT"
        )


def web_server(node: Node, paths: Paths, release: Release, settings: Settings) -> str:
    """The text of apache2.conf: equal for two releases unless settings or the serving certificate's names differ."""
    pair = serving_pairs.pair(file.name for file in release.contents.certificates)
    return _template("apache2.conf.j2").render(
        root=paths.root,
        run=paths.run,
        base=paths.base,
        wsgi=paths.wsgi,
        access_log=paths.logs / ACCESS_LOG,
        rotatelogs=ROTATELOGS,
        socket_prefix=_socket_prefix(paths),
        modules=(*NEEDED, *NEEDED_FOR_TLS) if pair else NEEDED,
        modules_folder=MODULES,
        web_user=node.web_user,
        web_group=_group(node.web_user) if node.web_user else None,
        address=f"[{node.address}]" if ":" in node.address else node.address,
        http_port=node.http_port,
        https_port=node.https_port,
        processes=settings.processes,
        threads=settings.threads,
        pair=pair,
    )


def webapp(node: Node, release: Release, settings: Settings) -> bytes:
    """The loader's facts: the application of the configuration comes before that of `dev --app`."""
    facts = {
        "release": release.number,
        "application": settings.application or node.application,
        "application_path": None if node.application_path is None else str(node.application_path),
        "start_timeout": settings.start_timeout.total_seconds(),
    }
    return json.dumps(facts, indent=2).encode() + b"\n"


def loader() -> bytes:
    """The WSGI file as this version of the agent has it."""
    return (resources.files("da_agent") / "templates" / "docassemble.wsgi").read_bytes()


def account(name: str) -> pwd.struct_passwd:
    """The web user; NodeBroken when the machine does not know the name."""
    try:
        return pwd.getpwnam(name)
    except KeyError as error:
        raise NodeBroken(f"cannot run the application as {name}: this machine has no such user") from error


def python_of_mod_wsgi() -> str | None:
    """The version that mod_wsgi was built for, such as "3.11", as Debian tells it by the name of the file."""
    _, separator, version = _module("wsgi").resolve().name.partition(".so-")
    return version if separator else None


def _group(user: str) -> str:
    return grp.getgrgid(account(user).pw_gid).gr_name


def _module(name: str) -> Path:
    return MODULES / f"mod_{name}.so"


def _socket_prefix(paths: Paths) -> Path:
    return paths.run / "w"


def _template(name: str) -> Template:
    text = (resources.files("da_agent") / "templates" / name).read_text(encoding="utf-8")
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)  # noqa: S701  (not HTML)
    return environment.from_string(text)
