"""Which changes of an older release a newer one has undone."""

from collections.abc import Callable

from da_agent.domain.release import differences
from da_agent.domain.release.releases import Contents
from da_agent.domain.store.blobs import Blob


def undone(before: Contents | None, mine: Contents, after: Contents, read: Callable[[Blob], bytes]) -> tuple[str, ...]:
    """The names of settings, certificates and packages that `mine` changed and that `after` changed again.

    `before` are the contents before `mine`; None when `mine` was the first. `read` returns the bytes of a
    configuration. Other changes in `after` do not count.
    """
    parts = zip(_changed(before, mine, read), _changed(mine, after, read), strict=True)
    return tuple(name for ours, theirs in parts for name in sorted(ours & theirs))


def _changed(before: Contents | None, after: Contents, read: Callable[[Blob], bytes]) -> tuple[frozenset[str], ...]:
    """Names in configuration, certificates and packages, in this order."""
    wheels = differences.packages(before.wheels if before is not None else (), after.wheels)
    files = {(file.name, file.blob) for file in after.certificates}
    files ^= {(file.name, file.blob) for file in before.certificates} if before is not None else set()
    return (
        _settings(before, after, read),
        frozenset(name for name, _ in files),
        frozenset(change.name for change in wheels),
    )


def _settings(before: Contents | None, after: Contents, read: Callable[[Blob], bytes]) -> frozenset[str]:
    if before is None:
        return frozenset(differences.settings(read(after.config)))
    if before.config == after.config:
        return frozenset()
    return frozenset(each.name for each in differences.configuration(read(before.config), read(after.config)))
