"""Reads docassemble's keys that concern requests from outside."""

import re
from collections.abc import Iterator
from dataclasses import replace

from da_agent.domain.config import docassemble_keys
from da_agent.domain.config.documents import Mistake, Section
from da_agent.domain.config.visitors import Visitors

TRUSTED = "trusted proxies"
BALANCER = "behind https load balancer"
HOST = "external hostname"
BODY = "maximum content length"

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


def read(root: Section, ours: Visitors) -> Visitors:
    """`ours`, which has the settings of the section `da agent`, with those by docassemble's keys."""
    host, body = _plain(root, HOST), _whole(_plain(root, BODY))
    return replace(
        ours,
        use_https=_plain(root, "use https") is True,
        behind_balancer=_plain(root, BALANCER) is True,
        # It becomes part of Apache's configuration.
        host=host if isinstance(host, str) and _HOST.fullmatch(host) else None,
        body=body or ours.body,
    )


def check(root: Section, ours: Visitors) -> Iterator[Mistake]:
    """A mistake when the balancer has no address: any client could then claim to be it."""
    entry = docassemble_keys.find(root, BALANCER)
    if entry is not None and entry.value.plain is True and not ours.proxies:
        yield Mistake(
            entry.line,
            f'"{entry.key!s}" needs the addresses of the balancer: add them to the section "da agent", such as'
            f' "{TRUSTED}: [10.0.0.0/8]"',
        )


def _whole(plain: object) -> int:
    """A number, also when it is written as a text; 0 for anything else."""
    return int(plain) if type(plain) is int or (isinstance(plain, str) and plain.isdecimal()) else 0


def _plain(root: Section, name: str) -> object:
    entry = docassemble_keys.find(root, name)
    return None if entry is None else entry.value.plain
