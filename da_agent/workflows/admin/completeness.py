"""Whether the store still has everything that an old release needs."""

from da_agent import ports
from da_agent.domain.release.releases import Release
from da_agent.domain.store import keys
from da_agent.domain.store.blobs import Blob
from da_agent.errors import StoreDamaged
from da_agent.workflows.records.readers import Reader


class Completeness:
    """Looks for the blobs of a release in the store, and restores from this machine those that are missing."""

    def __init__(self, store: ports.Store, reader: Reader, transfers: ports.Transfers) -> None:
        self._store = store
        self._reader = reader
        self._transfers = transfers

    def require(self, release: Release) -> None:
        """StoreDamaged when a blob of the release is missing: no node could stage it. Blobs that this machine has are
        put back.
        """
        contents = release.contents
        names = {contents.config: keys.CONFIG}
        names |= {file.blob: f"{keys.CERTIFICATES}{file.name}" for file in contents.certificates}
        names |= {wheel.blob: wheel.filename for wheel in contents.wheels}
        lost = self._transfers.mend([blob for blob in names if not self._is_there(blob, release)])
        gone = [name for blob, name in names.items() if blob in lost]
        if gone:
            raise StoreDamaged(
                f"cannot repeat release {release.number}: {self._store.name} lacks its {', '.join(gone)}."
                f" Run the same command on a node that still has it on its disk: that puts it back"
            )

    def _is_there(self, blob: Blob, release: Release) -> bool:
        """True when the listing shows the blob with its size. The configuration is read in full: without it no node
        could open the rollout.
        """
        if blob == release.contents.config:
            return self._is_right(release)
        key = keys.blob_key(blob)
        return any((entry.key, entry.size) == (key, blob.size) for entry in self._store.scan(key))

    def _is_right(self, release: Release) -> bool:
        try:
            self._reader.blob(release.contents.config, release)
        except StoreDamaged:
            return False
        return True
