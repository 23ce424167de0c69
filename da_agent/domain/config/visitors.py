"""How requests from outside are received."""

import ipaddress
from dataclasses import dataclass
from datetime import timedelta

from da_agent.domain import limits


@dataclass(frozen=True, slots=True)
class Visitors:
    """Settings of the fronts, the Apaches that visitors reach.

    proxies          networks from which `X-Forwarded-*` headers are believed
    use_https        plain HTTP is redirected, where there is a certificate
    behind_balancer  a balancer in `proxies` speaks HTTPS with the visitors
    host             the host name of redirections; None for that of the request
    body             the largest body of a request, in bytes
    hsts             how long browsers must use HTTPS only; zero: the header is not sent
    """

    proxies: tuple[str, ...] = ()
    use_https: bool = False
    behind_balancer: bool = False
    host: str | None = None
    body: int = limits.REQUEST
    hsts: timedelta = timedelta(days=180)


DIRECT = Visitors()
"""The default: visitors reach the node without a proxy, over HTTP or HTTPS as they like."""


def network(text: str) -> str:
    """An address or a network as CIDR; ValueError when `text` is neither, or stands for every address."""
    found = ipaddress.ip_network(text, strict=False)
    if found.prefixlen == 0:
        raise ValueError(text)
    return str(found)
