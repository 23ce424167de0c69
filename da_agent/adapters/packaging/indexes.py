"""The package indexes that uv and pip use; both use the same ones."""

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass

from da_agent.domain.packages.locked import Indexes

PASSED_ON = re.compile(
    r"(PATH|LANG|TZ|(HTTP|HTTPS|ALL|NO)_PROXY|(http|https|all|no)_proxy|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE"
    r"|CURL_CA_BUNDLE|UV_HTTP_\w+|UV_INDEX_\w+_(USERNAME|PASSWORD)|UV_SYSTEM_CERTS|UV_NATIVE_TLS"
    r"|PIP_(CERT|CLIENT_CERT|PROXY|DEFAULT_TIMEOUT|TIMEOUT|RETRIES))"
)
"""The only variables of the agent that a build sees: it must not see the store's credentials."""

_UV = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS")
_TRANSPORT = {"cert": "PIP_CERT", "client-cert": "PIP_CLIENT_CERT", "proxy": "PIP_PROXY", "timeout": "PIP_TIMEOUT"}


@dataclass(frozen=True, slots=True)
class IndexPlaces:
    """Where distributions are searched.

    `alone`: use no index. `merged`: take the best version of all indexes, as pip does. Otherwise the first index that
    knows a name decides, so that a public index cannot replace a private distribution.
    """

    index: str | None = None
    extra: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    trusted: tuple[str, ...] = ()
    alone: bool = False
    merged: bool = False


def places(indexes: Indexes, machine: IndexPlaces) -> IndexPlaces:
    """The indexes of config.yml; what it leaves open comes from this machine."""
    return IndexPlaces(
        index=indexes.index_url or machine.index,
        extra=indexes.extra_index_urls or machine.extra,
        links=machine.links,
        trusted=(*indexes.trusted_hosts, *machine.trusted),
        alone=machine.alone and indexes.index_url is None,
        merged=machine.merged and not indexes.extra_index_urls,
    )


def of_machine(environ: Mapping[str, str], pip: str) -> IndexPlaces:
    """The places in uv's variables, or else in pip's configuration. `pip` is the output of `pip config list`."""
    if any(environ.get(name) for name in _UV):
        extra = environ.get("UV_INDEX") or environ.get("UV_EXTRA_INDEX_URL", "")
        return IndexPlaces(
            index=_unnamed(environ.get("UV_DEFAULT_INDEX") or environ.get("UV_INDEX_URL") or "") or None,
            extra=tuple(_unnamed(url) for url in extra.split()),
            links=tuple(filter(None, environ.get("UV_FIND_LINKS", "").split(","))),
            trusted=tuple(environ.get("UV_INSECURE_HOST", "").split()),
            merged=environ.get("UV_INDEX_STRATEGY", "").startswith("unsafe"),
        )
    settings = _settings(pip)
    return IndexPlaces(
        index=settings.get("index-url"),
        extra=tuple(settings.get("extra-index-url", "").split()),
        links=tuple(settings.get("find-links", "").split()),
        trusted=tuple(settings.get("trusted-host", "").split()),
        alone=settings.get("no-index", "").lower() in {"1", "true", "yes", "on"},
        merged=True,
    )


def transport(pip: str) -> dict[str, str]:
    """pip's certificates and proxies as variables: the build user's pip does not read the configuration files."""
    settings = _settings(pip)
    return {variable: settings[key] for key, variable in _TRANSPORT.items() if key in settings}


def variables(where: IndexPlaces) -> dict[str, str]:
    """The variables with which uv and pip search `where` and nowhere else.

    They are not options, because URLs may contain passwords and every user of a machine can read command lines.
    """
    found = {
        "UV_DEFAULT_INDEX": where.index or "",
        "UV_INDEX": " ".join(where.extra),
        "UV_FIND_LINKS": ",".join(where.links),
        "UV_INSECURE_HOST": " ".join(where.trusted),
        "UV_INDEX_STRATEGY": "unsafe-best-match" if where.merged and where.extra else "first-index",
        "PIP_INDEX_URL": where.index or "",
        "PIP_EXTRA_INDEX_URL": " ".join(where.extra),
        "PIP_FIND_LINKS": " ".join(where.links),
        "PIP_TRUSTED_HOST": " ".join(where.trusted),
        "PIP_NO_INDEX": "1" if where.alone else "",
    }
    return {name: value for name, value in found.items() if value}


def _unnamed(url: str) -> str:
    """The URL of uv's `name=url`: pip does not know such names."""
    name, separator, rest = url.partition("=")
    return rest if separator and re.fullmatch(r"[\w.-]+", name) else url


def _settings(pip: str) -> dict[str, str]:
    """The settings in `pip config list`. The environment overrides `wheel`, and `wheel` overrides `global`.

    Sections of other commands are left out.
    """
    found: dict[str, dict[str, str]] = {"global": {}, "wheel": {}, ":env:": {}}
    for line in pip.splitlines():
        section, _, rest = line.partition(".")
        key, _, value = rest.partition("=")
        if section in found and value:
            found[section][key.lower().replace("_", "-")] = str(ast.literal_eval(value)).strip()
    return found["global"] | found["wheel"] | found[":env:"]
