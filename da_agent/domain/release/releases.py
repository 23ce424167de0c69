"""One immutable release: the exact blobs of configuration, certificates and every installed wheel."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from da_agent.domain.certificates import serving_pairs
from da_agent.domain.packages.wheels import Target, Wheel
from da_agent.domain.store.blobs import Blob, File


@dataclass(frozen=True, slots=True)
class Contents:
    """What a node serves. Two releases with equal contents differ only in their place in the ledger.

    `sources` are the files of the inbox's packages/ folder as they were when `wheels` was resolved from them. Their
    blobs are only hashes and need not be in the store. `wheels` is the whole lock, sorted by name.
    """

    config: Blob
    certificates: tuple[File, ...]
    sources: tuple[File, ...]
    target: Target
    wheels: tuple[Wheel, ...]

    def blobs(self) -> tuple[Blob, ...]:
        """Every blob that a node needs to stage this, each once."""
        every = (self.config, *(file.blob for file in self.certificates), *(wheel.blob for wheel in self.wheels))
        return tuple(dict.fromkeys(every))

    @property
    def why_no_https(self) -> str | None:
        """Why the web server serves no HTTPS although there is a key; None when it does, or there is no key."""
        return serving_pairs.why_no_https([file.name for file in self.certificates])


@dataclass(frozen=True, slots=True)
class Release:
    """An entry of the ledger. `nonce` is random: after a write with an unknown outcome it tells whose release is there.

    `rollback_of` is the older, known good release with the same contents. `restart`: the web server starts anew even
    with unchanged contents. `restarted` is the newest such restart before this release.
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

    @property
    def newest_restart(self) -> int | None:
        """The release for which the workers that serve this one must have restarted, or for a later one; None: for
        none."""
        return self.number if self.restart else self.restarted

    def after(self, number: int, before: "Release | None") -> "Release":
        """The release with the number after `number`, and with the restart of `before`, the newest readable release.

        A node that has restarted for that one need not do so again.
        """
        return replace(self, number=number + 1, restarted=None if before is None else before.newest_restart)


CREATE_TABLES = "python -m docassemble.webapp.create_tables"
"""What docassemble needs to run when its packages have changed: the seed does the same."""


def release_commands(given: tuple[str, ...] | None, contents: Contents) -> tuple[str, ...]:
    """The release commands: they run once in the cluster before the first node serves `contents`."""
    if given is not None:
        return given
    installed = any(wheel.name == "docassemble-webapp" for wheel in contents.wheels)
    return (CREATE_TABLES,) if installed else ()


@dataclass(frozen=True, slots=True)
class Served:
    """Fingerprints of what a release serves; None where not known, as in a release that an older agent staged.

    application    wheels, the effective configuration without the agent's own section, and what the loader loads
    certificates   the certificates and how they are presented; "" without a certificate that could be served
    web_server     the text of the configuration of the application's Apache
    http           the text of the configuration of the front for plain HTTP
    """

    application: str | None = None
    certificates: str | None = None
    web_server: str | None = None
    http: str | None = None


class Disturbance(Enum):
    """What must be done to serve another release: none of it ends a request."""

    RELOAD = "the idle group loads the application and takes over"
    RESTART = "graceful restart of the application's Apache"
    CERTIFICATES = "graceful restart of the front for HTTPS, which alone reads certificates"
    HTTP = "graceful restart of the front for plain HTTP"


NO_WORKER = frozenset({Disturbance.CERTIFICATES, Disturbance.HTTP})
"""What touches no worker process."""


def disturbances(before: Served, after: Served) -> frozenset[Disturbance]:
    """The least that makes the web server serve `after` where it served `before`; what is not known counts as
    different."""
    pairs = {
        Disturbance.RELOAD: (before.application, after.application),
        Disturbance.RESTART: (before.web_server, after.web_server),
        Disturbance.CERTIFICATES: (before.certificates, after.certificates),
        Disturbance.HTTP: (before.http, after.http),
    }
    return frozenset(need for need, (old, new) in pairs.items() if old is None or old != new)
