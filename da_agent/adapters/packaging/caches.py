"""The caches of the builder's uv and pip: each build user has its own, which no other user may read."""

import os
from contextlib import suppress
from pathlib import Path

from da_agent import files
from da_agent.adapters.packaging import handovers
from da_agent.processes import Account

_OF = "of-"
BUILT = "built"
"""Wheels that the agent has taken from builds, by the sha256 of their sources."""


def of(cache: Path, account: Account | None) -> Path:
    """The folder below `cache` that the builder owns.

    What another build user has left is removed, and what it has built: another program may have changed that.
    """
    own = cache / f"{_OF}{os.geteuid() if account is None else account.uid}"
    cache.mkdir(parents=True, exist_ok=True)
    if account is not None:
        cache.chmod(0o711)
        _remove_former(cache, own)
    for folder in (cache / BUILT, own):
        with suppress(FileExistsError):
            folder.mkdir(mode=handovers.PRIVATE)
    (cache / BUILT).chmod(handovers.PRIVATE)
    handovers.give(own, account)
    return own


def _remove_former(cache: Path, own: Path) -> None:
    former = [folder for folder in cache.glob(f"{_OF}*") if folder != own]
    if former:
        # The folder of the user comes last: without it, what is left of the rest would be trusted.
        for folder in (cache / BUILT, *former):
            files.remove_tree(folder)
