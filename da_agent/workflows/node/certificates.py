"""Puts certificates where other programs look for them: those of the live release, or the machine's own before that.

The rule is in docs/decisions/0008: a release that has certificates is the only source. Without one the setting `certs`
counts, then the store, then the folder certs/ of the node.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from da_agent import ports
from da_agent.domain import limits
from da_agent.domain.certificates import placed_files
from da_agent.domain.certificates.folders import Placed, Places
from da_agent.domain.certificates.server_chains import ServerChain
from da_agent.domain.config import configurations
from da_agent.domain.config.documents import Section
from da_agent.domain.node import certificate_places, certificate_sources
from da_agent.domain.node.certificate_places import AllowedFolders
from da_agent.domain.node.nodes import Node
from da_agent.domain.node.paths import Staged
from da_agent.domain.release.releases import Release
from da_agent.domain.store import keys
from da_agent.domain.store.inboxes import is_temporary, without_markers
from da_agent.domain.store.locations import DirectoryLocation, Location, location_of_environment
from da_agent.errors import Invalid, NodeBroken, NotFound
from da_agent.workflows.records.ledgers import Ledger
from da_agent.workflows.records.readers import Reader

if TYPE_CHECKING:
    from cryptography.x509 import Certificate


@dataclass(frozen=True, slots=True)
class Opened:
    """A store that the certificates may come from."""

    store: ports.Store
    reader: Reader
    ledger: Ledger


Found = tuple[Mapping[str, bytes], str]
"""Files by relative name, and their origin as text."""


class Certificates:
    """The program install_certs, and the certificates' part in every switch."""

    def __init__(
        self,
        *,
        node: Node,
        allowed: AllowedFolders,
        installation: ports.Installation,
        folders: ports.CertificateFolders,
        running: Callable[[], bool],
        reread: ports.RereadCertificates,
        progress: ports.Progress,
        now: Callable[[], datetime],
        trusted: Callable[[], Collection[Certificate]],
        handshake: Callable[[ServerChain], str | None],
        read: Callable[[Path], bytes | None],
        store: Callable[[Location, tuple[str, str] | None], Opened],
    ) -> None:
        """`read` returns the bytes of a file of this node, or None when it does not exist; `store` opens the store at a
        location.
        """
        self._node = node
        self._allowed = allowed
        self._paths = allowed.paths
        self._installation = installation
        self._folders = folders
        self._running = running
        self._reread = reread
        self._progress = progress
        self._now = now
        self._trusted = trusted
        self._handshake = handshake
        self._read = read
        self._store = store

    def follow(self) -> None:
        """Put the live release's certificates where its own configuration wants them; reports only a change."""
        root = self._parsed(self._read(Staged(self._paths.current).config))
        placed = self._folders.follow(self._places(root))
        if any(each.changed for each in placed):
            self._tell("the live release", placed)

    def install(self) -> None:
        """Install from the one source that counts, and report what was done. An error leaves the existing files in
        place.
        """
        live = self._installation.current()
        variables = self._node.variables
        store = location_of_environment(variables)
        top = None if live is not None or store is None else self._open(store).ledger.top().release
        root = self._configuration(live, store, top)
        home = certificate_sources.home(root, variables)
        elsewhere = certificate_sources.elsewhere(root, home)
        release = top if live is None else self._installation.load(live)
        if release is not None and release.contents.certificates:
            if elsewhere is not None:
                raise Invalid(certificate_sources.contradiction(elsewhere))
            if live is not None:
                self._done(f"release {live}", self._folders.follow(self._places(root)))
                return
        found = self._find(root, home, elsewhere, release)
        if found is None:
            self._progress.say(f"No certificates to install: {self._nowhere(home, release)}")
            return
        # Imported here: a node that only places a release's certificates needs neither the time nor the memory for
        # parsers.
        from da_agent.domain.certificates import validity

        for good in validity.check(found[0], now=self._now(), trusted=self._trusted(), handshake=self._handshake):
            for line in good.told:
                self._progress.say(line)
        self._done(found[1], self._folders.show(placed_files.placed(found[0]), self._places(root)))

    # ---- source

    def _configuration(self, live: int | None, store: Location | None, top: Release | None) -> Section:
        """The live release's configuration, else the node's own file, else the store's. Empty when there is none.

        NodeBroken when DA_CONFIG_FILE names a file that does not exist.
        """
        if live is not None:
            return self._parsed(self._read(Staged(self._paths.release(live)).config))
        named = self._node.variables.get("DA_CONFIG_FILE")
        data = self._read(Path(named) if named else self._paths.root / "config.yml")
        if data is None and named:
            raise NodeBroken(f"cannot read {named}, which DA_CONFIG_FILE names: there is no such file")
        if data is None and store is not None:
            data = self._stored(self._open(store), top)
        return self._parsed(data)

    def _stored(self, opened: Opened, top: Release | None) -> bytes | None:
        try:
            if top is None:
                return opened.reader.written(keys.CONFIG)
            return opened.reader.blob(top.contents.config, top)
        except NotFound:
            return None

    def _find(
        self, root: Section, home: Location | None, elsewhere: Location | None, release: Release | None
    ) -> Found | None:
        """The files and their origin, or None. Invalid when `elsewhere` has no certificates.

        `release` is the newest one, with or without certificates. When there is a release, the store's inbox is not
        read.
        """
        if elsewhere is not None:
            files = self._outside(elsewhere, root)
            if not files:
                raise Invalid(f'there are no certificates in {elsewhere}, which "certs" in {keys.CONFIG} names')
            return files, f"{elsewhere}"
        if home is not None:
            opened = self._open(home, root)
            if release is not None and release.contents.certificates:
                files = {each.name: opened.reader.blob(each.blob, release) for each in release.contents.certificates}
                return files, f"release {release.number} of {opened.reader.name}"
            if release is None and (files := _below(opened, keys.CERTIFICATES)):
                return files, f"{keys.CERTIFICATES} in {opened.reader.name}"
        own = self._folders.read(self._paths.local_certificates)
        return (own, f"{self._paths.local_certificates}") if own else None

    def _outside(self, place: Location, root: Section) -> Mapping[str, bytes]:
        if not isinstance(place, DirectoryLocation):
            return _below(self._open(place, root), "")
        self._allowed.check_source(place.path, certificate_sources.SETTING)
        found = self._folders.read(place.path)
        if found is None:
            raise Invalid(f'there is no folder {place.path}, which "certs" in {keys.CONFIG} names')
        return found

    def _nowhere(self, home: Location | None, release: Release | None) -> str:
        where = f"release {release.number} has none" if release else f"{home} has none" if home else "no store is named"
        return f"{where}, and there are none in {self._paths.local_certificates}"

    # ---- destination

    def _places(self, root: Section) -> Places:
        return certificate_places.places(root, self._allowed, self._node.web_user)

    def _done(self, origin: str, placed: Collection[Placed]) -> None:
        self._tell(origin, placed)
        if not any(each.changed for each in placed):
            return
        told = self._reread([each.path for each in placed])
        if told:
            self._progress.say(f"Apache reads its certificates again ({', '.join(told)})")
        elif self._runs():
            self._progress.say(
                "No running server uses these files: the node's own web server uses only the certificates of a release,"
                " which da-agent push certs makes. Reload any other program that reads these files"
            )

    def _runs(self) -> bool:
        try:
            return self._running()
        except NodeBroken:
            # Without supervisord: certificates may be installed before anything runs.
            return False

    def _tell(self, origin: str, placed: Collection[Placed]) -> None:
        self._progress.say(f"The certificates of {origin} are in {', '.join(map(str, placed))}")

    # ---- outside

    def _open(self, location: Location, root: Section | None = None) -> Opened:
        return self._store(location, certificate_sources.credentials(root or EMPTY, self._node.variables))

    def _parsed(self, data: bytes | None) -> Section:
        return EMPTY if data is None else configurations.parse(data).root


EMPTY = Section((), 1)


def _below(opened: Opened, prefix: str) -> Mapping[str, bytes]:
    """Every file below `prefix`, including subfolders; without folder markers and temporary files.

    Invalid when a file is larger than a certificate may be.
    """
    found: dict[str, bytes] = {}
    for entry in without_markers(entry for entry in opened.store.scan(prefix) if not is_temporary(entry.key)):
        if len(found) == limits.CERTIFICATES:
            raise Invalid(
                f"{prefix or 'the folder'} in {opened.reader.name} has more than {limits.CERTIFICATES} files; check"
                " that it is the right folder"
            )
        if entry.size > limits.CERTIFICATE:
            raise Invalid(
                f"{entry.key} in {opened.reader.name} is too large for a certificate; check that the folder is right"
            )
        found[entry.key.removeprefix(prefix)] = opened.reader.written(entry.key, limits.CERTIFICATE)
    return found
