"""Whether a store gives the guarantees that a cluster needs, and the checks that show it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoreCheck:
    """The check of one guarantee. `detail` is empty, or a sentence about what happened instead."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Conformance:
    """The conformance record of the store with the identity `store`.

    `format` increases when checks are added, which makes old records invalid.
    """

    store: str
    tried: tuple[StoreCheck, ...]

    @property
    def fit(self) -> bool:
        return bool(self.tried) and all(check.ok for check in self.tried)

    @property
    def verdict(self) -> str:
        """One sentence for an operator."""
        if self.fit:
            return f"The store {self.store} is fit for a cluster."
        failed = [check for check in self.tried if not check.ok]
        if not failed:
            return f"The store {self.store} has not been examined."
        others = f" (and {len(failed) - 1} more)" if failed[1:] else ""
        return (
            f"The store {self.store} is not fit for a cluster: {failed[0].detail}{others}; "
            "use a store with conditional writes, such as Amazon S3 or a directory on NFS; docs/stores.md lists others."
        )
