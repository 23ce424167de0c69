"""The cluster on this machine."""

from collections.abc import Iterable

from msgspec import Struct

from da_agent.views.outputs import Output


class DevNodeView(Struct, frozen=True, kw_only=True):
    """`release` is the one that the node serves."""

    node: str
    running: bool
    url: str
    release: int | None


class DevClusterView(Output, frozen=True, kw_only=True):
    store: str
    nodes: tuple[DevNodeView, ...]


def of(store: str, nodes: Iterable[DevNodeView]) -> DevClusterView:
    return DevClusterView(store=store, nodes=tuple(nodes))


def lines(shape: DevClusterView) -> list[str]:
    return [f"The store is {shape.store}", *map(_line, shape.nodes)]


def _line(shape: DevNodeView) -> str:
    state = "running" if shape.running else "stopped"
    return f"{shape.node:<8} {state:<8} {shape.url}  release {shape.release or 'none'}"
