"""What a push would change, and how its rollout would go."""

from msgspec import Struct

from da_agent.domain.rollout.plans import RolloutPlan
from da_agent.views import differences, notes
from da_agent.views.differences import ChangeView
from da_agent.views.notes import NoteView
from da_agent.views.outputs import Output
from da_agent.workflows.publish.plans import Plan


class RolloutPlanView(Struct, frozen=True, kw_only=True):
    """`capacity` is how many of the `live` nodes serve at any moment. `measured_by` is the release whose rollout gave
    the pace; None: the bounds come from the settings. `duration` says the same in words.
    """

    live: int
    canary: int
    at_a_time: int
    capacity: int
    shortest_seconds: float
    longest_seconds: float
    measured_by: int | None
    duration: str


class PlanView(Output, frozen=True, kw_only=True):
    """From release `before` to `release`, which is None when nothing would change."""

    before: int
    release: int | None
    configuration: tuple[ChangeView, ...]
    certificates: tuple[ChangeView, ...]
    packages: tuple[ChangeView, ...]
    needs: tuple[str, ...]
    release_command: tuple[str, ...]
    rollout: RolloutPlanView | None
    paused: NoteView | None
    quarantine: str | None
    why_no_https: str | None


def of(found: Plan) -> PlanView:
    return PlanView(
        before=found.before,
        release=found.release,
        configuration=differences.changes(found.configuration),
        certificates=differences.changes(found.certificates),
        packages=differences.changes(found.packages),
        needs=found.needs,
        release_command=found.release_command,
        rollout=None if found.rollout is None else _rollout(found.rollout),
        paused=notes.maybe(found.paused),
        quarantine=found.quarantine,
        why_no_https=found.why_no_https,
    )


def _rollout(plan: RolloutPlan) -> RolloutPlanView:
    return RolloutPlanView(
        live=plan.live,
        canary=plan.canary,
        at_a_time=plan.at_a_time,
        capacity=plan.capacity,
        shortest_seconds=plan.shortest.total_seconds(),
        longest_seconds=plan.longest.total_seconds(),
        measured_by=plan.measured,
        duration=plan.duration,
    )


def lines(shape: PlanView) -> list[str]:
    no_https = [] if shape.why_no_https is None else [f"{shape.why_no_https}."]
    if shape.release is None:
        return [_nothing(shape), *no_https]
    before = f"release {shape.before}" if shape.before else "nothing"
    found = [f"From {before} to release {shape.release}; this command changes nothing."]
    if shape.quarantine is not None:
        found.append(f"Compared with the release that is served: {shape.quarantine}")
    changes = (
        ("Configuration", shape.configuration, "setting", "settings"),
        ("Certificates", shape.certificates, "file", "files"),
        ("Packages", shape.packages, "package", "packages"),
    )
    for title, each, one, many in changes:
        found.append(f"{title}: {len(each)} {one if len(each) == 1 else many}" if each else f"{title}: the same")
        found += differences.change_lines(each)
    found.append(f"Each node: {'; '.join(shape.needs) or 'nothing, no process is touched'}")
    found += [f"Once in the cluster, before the first node updates: {command}" for command in shape.release_command]
    return found + _rollout_lines(shape) + no_https


def _nothing(shape: PlanView) -> str:
    same = f"Nothing would change: release {shape.before} has these contents already"
    if shape.quarantine is None:
        return f"{same}."
    return f"{same}. But {shape.quarantine}; da-agent retry {shape.before} --reason TEXT lets the nodes try it again."


def _rollout_lines(shape: PlanView) -> list[str]:
    rollout = shape.rollout
    if rollout is None or rollout.live == 0:
        return ["Nodes: none is alive; each would take it when it starts."]
    canary = f", canary nodes first: {rollout.canary}" if rollout.canary else ", without a canary"
    found = [
        f"Nodes: {rollout.live} alive, {rollout.at_a_time} at a time{canary}",
        f"Capacity: {rollout.capacity} of {rollout.live} nodes serve at any moment",
        f"Time: {rollout.duration}",
    ]
    if shape.paused is not None:
        found.append(f"Paused by {shape.paused.by}: {shape.paused.reason}; no node updates before da-agent resume")
    return found
