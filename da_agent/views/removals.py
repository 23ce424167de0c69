"""What gc has removed, or would remove."""

from msgspec import Struct

from da_agent.views.outputs import Output
from da_agent.workflows.upkeep.garbage import Collected, Freed


class StoreRemovalView(Struct, frozen=True, kw_only=True):
    """From the store: releases by number, blobs by key, their size in bytes, and the nodes whose reports are gone.
    `problems` has a sentence for each record that cannot be read, and for what stays because of it."""

    releases: tuple[int, ...]
    blobs: tuple[str, ...]
    size: int
    nodes: tuple[str, ...]
    problems: tuple[str, ...]


class NodeRemovalView(Struct, frozen=True, kw_only=True):
    """From the disk of this node: releases by number, blobs by hash."""

    releases: tuple[int, ...]
    blobs: tuple[str, ...]


class RemovalView(Output, frozen=True, kw_only=True):
    """`dry_run`: nothing was removed. `this_node` is None on other machines, and after an error in the store."""

    dry_run: bool
    store: StoreRemovalView
    this_node: NodeRemovalView | None


def of(found: Collected, here: Freed | None, *, dry_run: bool) -> RemovalView:
    return RemovalView(dry_run=dry_run, store=store(found), this_node=None if here is None else this_node(here))


def store(found: Collected) -> StoreRemovalView:
    return StoreRemovalView(
        releases=found.releases, blobs=found.blobs, size=found.size, nodes=found.nodes, problems=found.problems
    )


def this_node(found: Freed) -> NodeRemovalView:
    return NodeRemovalView(releases=found.releases, blobs=found.blobs)


def store_lines(shape: StoreRemovalView, *, dry_run: bool) -> list[str]:
    return [
        f"Store: {_count(shape.releases, shape.blobs, dry_run)}, {shape.size} bytes",
        *_releases(shape.releases),
        *(f"  the report of {node}, silent for a month" for node in shape.nodes),
    ]


def this_node_lines(shape: NodeRemovalView, *, dry_run: bool) -> list[str]:
    return [f"This node: {_count(shape.releases, shape.blobs, dry_run)}", *_releases(shape.releases)]


def _count(releases: tuple[int, ...], blobs: tuple[str, ...], dry_run: bool) -> str:
    verb = "would be removed" if dry_run else "removed"
    return f"{len(releases)} releases and {len(blobs)} blobs {verb}"


def _releases(numbers: tuple[int, ...]) -> list[str]:
    return [f"  release {number}" for number in numbers]
