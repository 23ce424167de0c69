"""The input and the result of a resolution."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from da_agent.domain.packages.overlaps import Overlap
from da_agent.domain.packages.wheels import Wheel


@dataclass(frozen=True, slots=True)
class Indexes:
    """The package indexes, from docassemble's keys `pip index url`, `pip extra index urls`, `pip trusted host`.

    Empty fields mean the machine's own defaults (environment variables and files of pip and uv).
    """

    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    trusted_hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sources:
    """The packages of an inbox: `requirements` as `requirements.parse` returns them, and local `distributions` by file
    name. `overlaps` says whose file counts where two distributions own it.
    """

    requirements: tuple[str, ...]
    distributions: Mapping[str, Path]
    indexes: Indexes = field(default_factory=Indexes)
    overlaps: tuple[Overlap, ...] = ()


@dataclass(frozen=True, slots=True)
class Locked:
    """One wheel of a resolution. `path` is None for a wheel of the previous release, whose blob is in the store."""

    wheel: Wheel
    path: Path | None
