"""What a push would do, before anything is pushed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from da_agent import ports
from da_agent.domain.config import configurations, redaction
from da_agent.domain.display import rollout_text
from da_agent.domain.release.differences import Change
from da_agent.domain.release.releases import Contents, Disturbance, Release, release_commands
from da_agent.domain.rollout import plans
from da_agent.domain.rollout.plans import RolloutPlan
from da_agent.domain.rollout.rollouts import Note, Rollout, State
from da_agent.domain.store.blobs import Blob
from da_agent.domain.store.inboxes import Inbox, Verdict
from da_agent.errors import Invalid
from da_agent.workflows.publish.drafts import Draft, Drafts, Prepared, overlaid
from da_agent.workflows.publish.pushes import InboxWrites
from da_agent.workflows.records import inspections
from da_agent.workflows.records.inboxes import Inboxes
from da_agent.workflows.records.ledgers import Ledger, Top
from da_agent.workflows.records.rollouts import Rollouts


@dataclass(frozen=True, slots=True)
class Plan:
    """From the newest release to the next one; `release` is None when there would be none.

    While the newest one is quarantined, `before` is the release that the nodes serve or go back to, and `quarantine`
    says so. `why_no_https` is about the contents after the push. `needs` describes what each node would do.
    `release_command` holds the commands that run in the cluster before the first node updates. Commands from the
    configuration are shown without their arguments.
    """

    before: int
    release: int | None
    configuration: tuple[Change, ...] = ()
    certificates: tuple[Change, ...] = ()
    packages: tuple[Change, ...] = ()
    needs: tuple[str, ...] = ()
    release_command: tuple[str, ...] = ()
    rollout: RolloutPlan | None = None
    paused: Note | None = None
    quarantine: str | None = None
    why_no_https: str | None = None


class Plans:
    """Validates exactly as a push does, and writes nothing."""

    def __init__(
        self, store: ports.Store, ledger: Ledger, inboxes: Inboxes, drafts: Drafts, rollouts: Rollouts
    ) -> None:
        self._store = store
        self._drafts = drafts
        self._rollouts = rollouts
        self._inboxes = inboxes
        self._ledger = ledger

    def push(self, change: Callable[[Inbox], InboxWrites]) -> Plan:
        """What pushing `change` would do. Raises Invalid, NotHere and others as the push would."""
        inbox = self._inboxes.list()
        made = change(inbox)
        return self._plan(overlaid(inbox, made.puts, made.deletes), made.puts, self._inboxes.verdict())

    def publish(self) -> Plan:
        """What publishing the inbox as it is would do. Invalid when its verdict is already that it is not valid."""
        inbox, verdict = self._inboxes.list(), self._inboxes.verdict()
        if verdict is not None and verdict.fingerprint == inbox.fingerprint:
            if verdict.release is None:
                raise Invalid(verdict.mistakes)
            return self._nothing(self._ledger.top())
        return self._plan(inbox, {}, verdict)

    def _plan(self, inbox: Inbox, overlay: Mapping[str, bytes | Path], verdict: Verdict | None) -> Plan:
        top = self._ledger.top()
        draft = Draft(inbox, overlay, verdict.known if verdict is not None else {})
        with self._drafts.prepare(draft, top.contents) as prepared:
            if top.release is not None and (top.release.number, top.contents) == (top.number, prepared.contents):
                return self._nothing(top)
            return self._compared(top, prepared)

    def _nothing(self, top: Top) -> Plan:
        head = self._rollouts.readable(top.number) if top.number else None
        why_no_https = None if top.release is None else top.release.contents.why_no_https
        return Plan(top.number, None, quarantine=self._quarantine(head), why_no_https=why_no_https)

    def _compared(self, top: Top, prepared: Prepared) -> Plan:
        contents, live = prepared.contents, self._rollouts.live()
        head = self._rollouts.readable(top.number) if top.number else None
        served = self._served(top, head)

        def read(blob: Blob) -> bytes:
            body = prepared.bodies.get(blob)
            return body if isinstance(body, bytes) else self._ledger.reader.blob(blob, served)

        config = read(contents.config)
        settings = configurations.parse(config).settings
        strategy = settings.strategy(release_commands(settings.release_command, contents))
        found = inspections.compare(None if served is None else served.contents, contents, read, self._store.clock())
        needs = self._needs(served, contents, config)
        return Plan(
            self._number(top, served),
            top.number + 1,
            *found,
            needs=tuple(plans.NEEDS[need] for need in Disturbance if need in needs),
            # docassemble's own command has no secret in it, and users look for it, so it is shown in full.
            release_command=strategy.release_command
            if settings.release_command is None
            else tuple(map(redaction.command, settings.release_command)),
            rollout=plans.rollout_plan(strategy, settings, live, needs, self._last_stable(top.number)),
            paused=head.paused if head is not None else None,
            quarantine=self._quarantine(head),
            why_no_https=contents.why_no_https,
        )

    def _served(self, top: Top, head: Rollout | None) -> Release | None:
        """The release that the nodes serve or move to: no node keeps a quarantined release."""
        if head is None or head.state is not State.QUARANTINED:
            return top.release
        back = self._rollouts.way_back(head)
        return None if back is None else self._ledger.read(back)

    def _number(self, top: Top, served: Release | None) -> int:
        """The number of the release that is compared with. A damaged newest manifest still counts by its number."""
        return top.number if served is top.release else 0 if served is None else served.number

    def _quarantine(self, head: Rollout | None) -> str | None:
        if head is None or head.state is not State.QUARANTINED:
            return None
        back = self._rollouts.way_back(head)
        where = (
            "there is no older release to go back to"
            if back is None
            else f"the nodes serve release {back} or revert to it"
        )
        return f"{rollout_text.quarantine(head)}; {where}"

    def _needs(self, before: Release | None, contents: Contents, config: bytes) -> frozenset[Disturbance]:
        if before is None:
            return frozenset({Disturbance.RELOAD})
        old = before.contents
        return plans.disturbances((old, self._ledger.reader.blob(old.config, before)), (contents, config))

    def _last_stable(self, newest: int) -> Rollout | None:
        for number in (newest, self._rollouts.fallback(newest)):
            record = self._rollouts.readable(number) if number else None
            if record is not None and record.state is State.STABLE:
                return record
        return None
