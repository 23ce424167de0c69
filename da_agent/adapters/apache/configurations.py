"""The files of a release that configure Apache and the loader."""

import grp
import hashlib
import json
import pwd
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from da_agent import handshakes
from da_agent.domain import limits
from da_agent.domain.application.groups import GROUPS
from da_agent.domain.certificates import serving_pairs
from da_agent.domain.config import config_digest
from da_agent.domain.config.sections import OUR_SECTION
from da_agent.domain.config.settings import Settings
from da_agent.domain.config.visitors import Visitors
from da_agent.domain.node import loopbacks
from da_agent.domain.node.nodes import Node
from da_agent.domain.node.paths import Paths, Staged
from da_agent.domain.release.releases import Release
from da_agent.domain.rollout import plans
from da_agent.errors import NodeBroken

APACHE = Path("/usr/sbin/apache2")
ROTATELOGS = Path("/usr/bin/rotatelogs")
MODULES = Path("/usr/lib/apache2/modules")
_COMMON = ("mpm_event", "authz_core", "headers", "reqtimeout", "rewrite")
NEEDED = (*_COMMON, "alias", "wsgi")
NEEDED_IN_FRONTS = (*_COMMON, "env", "setenvif", "remoteip", "proxy", "proxy_http", "socache_shmcb", "ssl")
"""Load order: a module comes after those that it needs."""

ACCESS_LOG = "access.log"
TLS_ACCESS_LOG = "access-tls.log"
"""File names in paths.logs. One line per request: `time= client= status= us= release= pid= request=""`. Requests to the
front for HTTPS are only in the second file."""

APPLICATION = "apache2"
HTTP = "http"
TLS = "tls"
"""The Apaches: the names of their supervisor programs and of their pins. The application's is reached on the loopback
alone; the other two are its fronts, for visitors."""

TITLE = "(wsgi:"
"""The start of the process title that mod_wsgi gives to workers; the name of their group follows."""

WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1", "*": "127.0.0.1"}  # noqa: S104  (names, not a socket)

# A Unix socket's path with its final zero byte must fit into 108 bytes; mod_wsgi adds .<pid>.<generation>.<n>.sock
SOCKET_PATH = 107
SOCKET_SUFFIX = len(".4194304.9999.1.sock")


def command(paths: Paths, program: str, release: Path | None = None) -> tuple[str, ...]:
    """The command line with which supervisord starts one of the Apaches, with the files of its pinned release.

    With `release`, that release's folder replaces the pin.
    """
    folder = release or paths.pin(program)
    staged = Staged(folder)
    return (str(APACHE), "-DFOREGROUND", "-f", str(text(staged, program)), "-C", f'Define RELEASE "{folder}"')


def text(staged: Staged, program: str) -> Path:
    """The file that configures `program`."""
    return {HTTP: staged.http, TLS: staged.tls, APPLICATION: staged.web_server}[program]


def check_node(paths: Paths) -> None:
    """Raise NodeBroken, with the remedy, when Apache cannot work on this machine or below this root."""
    missing = [path for path in (APACHE, ROTATELOGS) if not path.exists()]
    missing += [path for path in map(_module, dict.fromkeys((*NEEDED, *NEEDED_IN_FRONTS))) if not path.exists()]
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


def web_server(node: Node, paths: Paths, settings: Settings) -> str:
    """The text of apache2.conf. Releases with equal settings have equal texts."""
    return _template("apache2.conf.j2").render(
        **_common(node, paths, APPLICATION, NEEDED, settings.visitors),
        requests=2 * limits.CONNECTIONS + limits.SPARE_CONNECTIONS,
        base=paths.base,
        wsgi=paths.wsgi,
        groups=paths.groups,
        colours=GROUPS,
        title=TITLE,
        socket_prefix=_socket_prefix(paths),
        loopback=node.loopback,
        port=node.loopback_port,
        agent_port=node.agent_port,
        processes=settings.processes,
        threads=settings.threads,
    )


def http(node: Node, paths: Paths, release: Release, settings: Settings) -> str:
    """The text of http.conf."""
    visitors = settings.visitors
    to_own = visitors.use_https and serving_pairs.pair(_names(release)) is not None
    return _template("front.conf.j2").render(
        **_front(node, paths, HTTP, visitors),
        access_log=paths.logs / ACCESS_LOG,
        port=node.http_port,
        pair=None,
        redirect="all" if to_own else "balancer" if visitors.behind_balancer else None,
        redirect_port="" if visitors.behind_balancer or node.https_port == 443 else f":{node.https_port}",
        hsts=_hsts(visitors) if visitors.behind_balancer else 0,
    )


def tls(node: Node, paths: Paths, release: Release, settings: Settings) -> str | None:
    """The text of tls.conf; None when the release has no certificate to present."""
    pair = serving_pairs.pair(_names(release))
    if pair is None:
        return None
    return _template("front.conf.j2").render(
        **_front(node, paths, TLS, settings.visitors),
        access_log=paths.logs / TLS_ACCESS_LOG,
        port=node.https_port,
        pair=pair,
        redirect=None,
        hsts=_hsts(settings.visitors),
    )


def _front(node: Node, paths: Paths, program: str, visitors: Visitors) -> dict[str, object]:
    return {
        **_common(node, paths, program, NEEDED_IN_FRONTS, visitors),
        "requests": limits.CONNECTIONS,
        "backend": f"{node.loopback}:{node.loopback_port}",
        "proxies": visitors.proxies,
        "host": visitors.host,
        "health": loopbacks.HEALTH,
        "ciphers": handshakes.CIPHERS,
    }


def _hsts(visitors: Visitors) -> int:
    """Seconds; 0 unless docassemble's keys ask for HTTPS."""
    asked = visitors.use_https or visitors.behind_balancer
    return int(visitors.hsts.total_seconds()) if asked else 0


def _names(release: Release) -> list[str]:
    return [file.name for file in release.contents.certificates]


def local_address(node: Node) -> str:
    """The address at which this machine reaches its own fronts."""
    return WILDCARDS.get(node.address, node.address)


def webapp(node: Node, paths: Paths, release: Release, settings: Settings, config: bytes) -> bytes:
    """The loader's facts as JSON. The application named in the configuration overrides that of `dev --app`.

    `serves` and `processes` are for the agent: what a switch to another release disturbs, and when it is served.
    """
    application = settings.application or node.application
    path = None if node.application_path is None else str(node.application_path)
    facts = {
        "release": release.number,
        "application": application,
        "application_path": path,
        "start_timeout": settings.start_timeout.total_seconds(),
        "processes": settings.processes,
        "serves": {
            "application": _fingerprint(
                plans.wheels(release.contents),
                [str(each) for each in settings.overlaps],
                config_digest.digest(config, without=OUR_SECTION),
                application,
                path,
                release.newest_restart,
            ),
            "certificates": _certificates(tls(node, paths, release, settings), release),
            "http": _fingerprint(http(node, paths, release, settings)),
            "web_server": _fingerprint(web_server(node, paths, settings)),
        },
    }
    return json.dumps(facts, indent=2).encode() + b"\n"


def _certificates(text: str | None, release: Release) -> str:
    """A fingerprint of the presented certificates and of the text of tls.conf; empty without a certificate."""
    return "" if text is None else _fingerprint(text, plans.presented(release.contents))


def _fingerprint(*facts: object) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def loader() -> bytes:
    """The WSGI file of this version of the agent."""
    return (resources.files("da_agent") / "templates" / "docassemble.wsgi").read_bytes()


def account(name: str) -> pwd.struct_passwd:
    """The web user's account; NodeBroken when this machine has no user of that name."""
    try:
        return pwd.getpwnam(name)
    except KeyError as error:
        raise NodeBroken(f"cannot run the application as {name}: this machine has no such user") from error


def python_of_mod_wsgi() -> str | None:
    """The Python version of mod_wsgi, such as "3.11", from Debian's file name; None when the name does not tell."""
    _, separator, version = _module("wsgi").resolve().name.partition(".so-")
    return version if separator else None


def _common(node: Node, paths: Paths, program: str, modules: tuple[str, ...], visitors: Visitors) -> dict[str, object]:
    return {
        "body": visitors.body,
        "root": paths.root,
        "run": paths.run,
        "program": program,
        "secret": paths.secret,
        "rotatelogs": ROTATELOGS,
        "modules": modules,
        "modules_folder": MODULES,
        "web_user": node.web_user,
        "web_group": _group(node.web_user) if node.web_user else None,
        "address": _bracketed(node.address),
        "group_header": loopbacks.GROUP_HEADER,
    }


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _group(user: str) -> str:
    return grp.getgrgid(account(user).pw_gid).gr_name


def _module(name: str) -> Path:
    return MODULES / f"mod_{name}.so"


def _socket_prefix(paths: Paths) -> Path:
    return paths.run / "w"


def _template(name: str) -> Template:
    environment = Environment(  # noqa: S701  (not HTML)
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        loader=PackageLoader("da_agent"),
    )
    return environment.get_template(name)
