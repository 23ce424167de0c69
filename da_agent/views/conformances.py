"""Whether a store is fit for a cluster."""

from msgspec import Struct

from da_agent.domain.store.conformance import Conformance
from da_agent.views.outputs import Output


class CheckView(Struct, frozen=True, kw_only=True):
    """`detail` is empty, or a sentence about what happened instead."""

    name: str
    ok: bool
    detail: str


class ConformanceView(Output, frozen=True, kw_only=True):
    store: str
    fit: bool
    verdict: str
    checks: tuple[CheckView, ...]


def of(result: Conformance) -> ConformanceView:
    checks = tuple(CheckView(name=each.name, ok=each.ok, detail=each.detail) for each in result.tried)
    return ConformanceView(store=result.store, fit=result.fit, verdict=result.verdict, checks=checks)


def lines(shape: ConformanceView) -> list[str]:
    checks = (
        f"{'ok ' if each.ok else 'BAD'}  {each.name}{'' if each.ok else ': ' + each.detail}" for each in shape.checks
    )
    return [*checks, shape.verdict]
