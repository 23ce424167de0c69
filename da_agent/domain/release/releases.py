"""One immutable release: the exact blobs of configuration, certificates and every installed wheel."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Literal

from da_agent.domain.packages.wheels import Target, Wheel
from da_agent.domain.store.blobs import Blob, File


@dataclass(frozen=True, slots=True)
class Contents:
    """What a node serves. Two releases with equal contents differ in nothing but their place in the ledger.

    `sources` are the files of the inbox's packages/ folder as they were when `wheels` was resolved from them;
    their blobs are names only and need not be in the store. `wheels` is the whole lock, sorted by name.
    """

    config: Blob
    certificates: tuple[File, ...]
    sources: tuple[File, ...]
    target: Target
    wheels: tuple[Wheel, ...]

    def blobs(self) -> tuple[Blob, ...]:
        """Everything a node must have to stage this, without repetition."""
        every = (self.config, *(file.blob for file in self.certificates), *(wheel.blob for wheel in self.wheels))
        return tuple(dict.fromkeys(every))


@dataclass(frozen=True, slots=True)
class Release:
    """A line of the ledger. `nonce` is random: after a doubtful write it tells whose release is there.

    `rollback_of` is the release whose contents these are again, for one that is known to be good. `restart`: the web
    server starts anew although nothing in the contents has changed. `restarted` is the newest restart before it.
    """

    number: int
    nonce: str
    published_at: datetime
    publisher: str
    reason: str
    contents: Contents
    rollback_of: int | None = None
    restart: bool = False
    restarted: int | None = None
    format: Literal[1] = 1

    @property
    def newest_restart(self) -> int | None:
        """For which the worker processes that serve this must have started anew, or for a later one."""
        return self.number if self.restart else self.restarted

    def after(self, number: int, before: "Release | None") -> "Release":
        """The one after release `number`. Of `before`, the newest that can be read, it carries the restart on: whoever
        has started anew for that need not do so again."""
        return replace(self, number=number + 1, restarted=None if before is None else before.newest_restart)


CREATE_TABLES = "python -m docassemble.webapp.create_tables"
"""What docassemble wants to be run when its packages have changed: the seed's own step."""


def once_commands(given: tuple[str, ...] | None, contents: Contents) -> tuple[str, ...]:
    """The commands that are run once in the cluster before the first node serves `contents`."""
    if given is not None:
        return given
    installed = any(wheel.name == "docassemble-webapp" for wheel in contents.wheels)
    return (CREATE_TABLES,) if installed else ()


@dataclass(frozen=True, slots=True)
class Served:
    """Fingerprints of what a release serves; None where nobody knows, as with one staged by an older agent.

    application   wheels, the configuration's meaning without our own section, and what the loader loads
    certificates  and how they are presented; "" without a certificate that could be served
    web_server    the text of its configuration
    """

    application: str | None = None
    certificates: str | None = None
    web_server: str | None = None


class Disturbance(Enum):
    """What must be done to serve another release: nothing of it ends a request."""

    RELOAD = "the idle group loads the application and takes over"
    RESTART = "graceful restart of the application's Apache"
    CERTIFICATES = "graceful restart of the Apache in front of it, which alone reads certificates"


def disturbances(before: Served, after: Served) -> frozenset[Disturbance]:
    """The least that makes the web server serve `after` where it served `before`; what is not known is different."""
    pairs = {
        Disturbance.RELOAD: (before.application, after.application),
        Disturbance.RESTART: (before.web_server, after.web_server),
        Disturbance.CERTIFICATES: (before.certificates, after.certificates),
    }
    return frozenset(need for need, (old, new) in pairs.items() if old is None or old != new)
