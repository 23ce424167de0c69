"""What is resolved and what comes out of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from da_agent.domain.packages.wheels import Wheel


@dataclass(frozen=True, slots=True)
class Indexes:
    """Where distributions come from: docassemble's keys `pip index url`, `pip extra index urls`, `pip trusted host`.

    Empty for the machine's own defaults (pip's and uv's environment variables and files).
    """

    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    trusted_hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sources:
    """The packages part of an inbox: PEP 508 `requirements` and local `distributions` (file name -> where it lies)."""

    requirements: tuple[str, ...]
    distributions: Mapping[str, Path]
    indexes: Indexes = field(default_factory=Indexes)


@dataclass(frozen=True, slots=True)
class Locked:
    """One wheel of a resolution; `path` is None for a wheel of the previous release, whose blob the store has."""

    wheel: Wheel
    path: Path | None
