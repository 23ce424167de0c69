"""Two distributions that own one file: an error, unless the configuration says whose file counts.

An installer unpacks wheels in any order, so it would depend on chance which of the two files is there, and the bytecode
of one could lie beside the source of the other. Equal files are no overlap: whichever is there, the result is the same.
The common case is the empty `__init__.py`, or the declaration of a namespace, that several distributions bring.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import combinations

from da_agent.domain.packages.listings import Listing, Member
from da_agent.domain.packages.wheels import Wheel

SITE = "site-packages/"
_SCRIPT = -1
"""The size of a program that the installer makes: its content differs between distributions."""


@dataclass(frozen=True, slots=True, order=True)
class Overlap:
    """The files that `winner` and `loser` both own are those of `winner`. Both are normalised names."""

    winner: str
    loser: str

    def __str__(self) -> str:
        return f"{self.winner} over {self.loser}"


def installed(path: str) -> str | None:
    """Where a member of a wheel is installed, relative to the environment; None for what belongs to one wheel alone."""
    top, _, below = path.partition("/")
    if top.endswith(".dist-info"):
        return None
    if not top.endswith(".data") or not below:
        return SITE + path
    kind, _, rest = below.partition("/")
    if kind in ("purelib", "platlib"):
        return SITE + rest
    return f"bin/{rest}" if kind == "scripts" else f"{kind}/{rest}"


def files(listing: Listing) -> dict[str, Member]:
    """The installed files by path, without the bytecode that belongs to a source of the same wheel."""
    sources = {member.path for member in listing.members}
    found = {
        place: member
        for member in listing.members
        if _source(member.path) not in sources and (place := installed(member.path)) is not None
    }
    return found | {f"bin/{script}": Member(script, _SCRIPT, 0) for script in listing.scripts}


def bytecode_of(name: str) -> str | None:
    """The beginning of the name of the bytecode of the module in the file `name`; None when it is no module."""
    return f"{name.removesuffix('.py')}." if name.endswith(".py") else None


def _source(path: str) -> str | None:
    """The source of the bytecode at `path`; None for any other file."""
    folder, _, name = path.rpartition("/")
    if not path.endswith(".pyc") or not folder.endswith("__pycache__"):
        return None
    return f"{folder.removesuffix('__pycache__')}{name.split('.', 1)[0]}.py"


def mistakes(listings: Mapping[str, Listing], allowed: Collection[Overlap]) -> Iterator[str]:
    """A sentence for each two distributions that own one file and are not `allowed` to. `listings` are by name."""
    pairs = {frozenset((each.winner, each.loser)) for each in allowed}
    owned = {name: files(listing) for name, listing in listings.items()}
    for (one, other), paths in sorted(_different(owned).items()):
        if frozenset((one, other)) not in pairs:
            first, more = min(paths), len(paths) - 1
            rest = f" and {more} more" if more else ""
            yield (
                f"{one} and {other} both have the file {_shown(first)}{rest}: remove one of the two, or put"
                f' `overlapping packages: ["{one} over {other}"]` into the section "da agent" of config.yml'
            )
    yield from _folders(owned)


def _different(owned: Mapping[str, Mapping[str, Member]]) -> dict[tuple[str, str], list[str]]:
    """The paths that two distributions own with other bytes (size and CRC-32), by the two names."""
    owners: dict[str, list[str]] = defaultdict(list)
    for name in sorted(owned):
        for path in owned[name]:
            owners[path].append(name)
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path, names in owners.items():
        for one, other in combinations(names, 2):
            if not _equal(owned[one][path], owned[other][path]):
                found[one, other].append(path)
    return found


def _equal(one: Member, other: Member) -> bool:
    return one.size != _SCRIPT and (one.size, one.crc) == (other.size, other.crc)


def _folders(owned: Mapping[str, Mapping[str, Member]]) -> Iterator[str]:
    """A path that is a file of one distribution and a folder of another one: no order makes both work."""
    owner = {path: name for name in sorted(owned) for path in owned[name]}
    told = set()
    for name in sorted(owned):
        for path in owned[name]:
            for folder in _above(path):
                if folder in owner and (name, folder) not in told:
                    told.add((name, folder))
                    yield f"{_shown(folder)} is a file of {owner[folder]} and a folder of {name}: remove one of the two"


def _above(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _shown(path: str) -> str:
    return ascii(path.removeprefix(SITE))[1:-1][:120]


def order(wheels: Sequence[Wheel], overlaps: Collection[Overlap]) -> tuple[list[Wheel], list[Wheel]]:
    """The wheels to install first, together, and then those to install one by one, each over what is there.

    `overlaps` has no cycle.
    """
    names = {wheel.name for wheel in wheels}
    real = [each for each in overlaps if each.winner in names and each.loser in names]
    winners = {each.winner for each in real}
    rank = {name: place for place, name in enumerate(_graph(sorted(real)).static_order())}
    later = sorted((wheel for wheel in wheels if wheel.name in winners), key=lambda wheel: rank[wheel.name])
    return [wheel for wheel in wheels if wheel.name not in winners], later


def contradiction(overlaps: Iterable[Overlap]) -> bool:
    """Whether a distribution would have to be installed over itself, directly or through others."""
    try:
        _graph(overlaps).prepare()
    except CycleError:
        return True
    return False


def _graph(overlaps: Iterable[Overlap]) -> TopologicalSorter[str]:
    graph: TopologicalSorter[str] = TopologicalSorter()
    for each in overlaps:
        graph.add(each.winner, each.loser)
    return graph
