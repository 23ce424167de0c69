"""What a release goes through on this node before any process serves it: staged, rehearsed, the release command."""

from collections.abc import Callable
from datetime import timedelta
from typing import assert_never

from da_agent import ports
from da_agent.domain import texts
from da_agent.domain.config import redaction
from da_agent.domain.config.settings import Settings
from da_agent.domain.node import actions
from da_agent.domain.node.actions import Prepare
from da_agent.domain.node.observations import Observation
from da_agent.domain.node.preparations import Preparations
from da_agent.domain.release.releases import Release
from da_agent.domain.rollout.slots import SLACK
from da_agent.errors import Corrupt, NotFound, ReleaseBroken, StoreDamaged
from da_agent.workflows.node.rollout_client import RolloutClient


class Preparer:
    """Prepares releases, and rejects those that show that they are bad. The node then keeps the live one."""

    def __init__(
        self,
        *,
        installation: ports.Installation,
        node_states: ports.NodeStates,
        transfers: ports.Transfers,
        web: ports.WebService,
        commands: ports.Commands,
        rollout_client: RolloutClient,
        clock: ports.Clock,
        progress: ports.Progress,
        settings: Callable[[Release], Settings],
    ) -> None:
        self._installation = installation
        self._node_states = node_states
        self._transfers = transfers
        self._web = web
        self._commands = commands
        self._rollout_client = rollout_client
        self._clock = clock
        self._progress = progress
        self._settings = settings
        self._offered: dict[int, Release] = {}
        self.preparations = Preparations()

    def offer(self, *releases: Release) -> None:
        """Set the releases of the ledger that may be taken, as the store has just returned them."""
        self._offered = {release.number: release for release in releases}

    @property
    def offered(self) -> tuple[int, ...]:
        """The numbers of the offered releases, the newest first."""
        return tuple(sorted(self._offered, reverse=True))

    def inspect(self, number: int) -> str | None:
        """What is wrong with release `number` on disk, or None. A damaged release that is not being served is staged
        again.
        """
        try:
            self._installation.verify(number)
        except (Corrupt, NotFound) as damage:
            # Never replaced under processes that serve it: a damaged release is better than half of one.
            if not self._web.running():
                self.preparations = self.preparations.spoilt(number)
            return str(damage)
        return None

    def prepare(self, action: Prepare, seen: Observation) -> None:
        """Do `action`. A release that fails is rejected, with the end of the output; other errors are raised."""
        number = action.release
        release = self._offered.get(number) or self._installation.load(number)
        try:
            self._work(action, release)
        except (ReleaseBroken, StoreDamaged) as fault:
            lasting, log = isinstance(fault, ReleaseBroken), fault.log if isinstance(fault, ReleaseBroken) else ()
            rejection = seen.rejection(number, str(fault), at=self._clock.now(), lasting=lasting, log=log)
            self._progress.say(str(rejection))
            self._node_states.save(seen.node_state.reject(rejection))

    def _work(self, action: Prepare, release: Release) -> None:
        match action:
            case actions.Stage():
                self._stage(release)
            case actions.Rehearse():
                self._rehearse(release)
            case actions.RunReleaseCommand():
                self._run_release_command(release)
            case _:
                assert_never(action)

    def _stage(self, release: Release) -> None:
        self._installation.require_room(release)
        with self._progress.step(f"Staging release {release.number}"):
            self._transfers.fetch(release.contents.blobs())
            try:
                self._installation.stage(release, self._settings(release))
            except Corrupt as damage:
                # The node's local copies were corrupt. They have been dropped, and are fetched again.
                self._progress.say(str(damage))
                self._transfers.fetch(release.contents.blobs())
                self._installation.stage(release, self._settings(release))
        self.preparations = self.preparations.staged(release.number)

    def _rehearse(self, release: Release) -> None:
        with self._progress.step(f"Rehearsing release {release.number}"):
            self._web.rehearse(release.number)
        self.preparations = self.preparations.passed(release.number)

    def _run_release_command(self, release: Release) -> None:
        """Run the release commands, unless another node does. ReleaseBroken, with the command and the end of its
        output, when one fails: no node should serve that release.
        """
        cluster = self._rollout_client.cluster
        if cluster is None or not self._rollout_client.take_release_command():
            return
        output: list[str] = []
        ends = self._clock.now() + cluster.rollout.strategy.slot_timeout - SLACK
        for command in cluster.rollout.strategy.release_command:
            self._progress.say(f"Running the release command of release {release.number}: {redaction.command(command)}")
            ended = self._commands.run(release.number, command, max(ends - self._clock.now(), timedelta(seconds=1)))
            output += texts.log(ended.lines)
            if ended.failure is not None:
                raise ReleaseBroken(f"{redaction.command(command)} {ended.failure}", texts.log(output))
        self._rollout_client.finish_release_command(tuple(output))
