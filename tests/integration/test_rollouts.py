"""What a rollout runs on the nodes: commands once in the cluster, and the checks of each release's health."""

import json
import os
import pwd
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from da_agent.adapters.dev_clusters import DevCluster
from da_agent.domain.rollout.rollouts import Rollout, State
from da_agent.wiring import NodeAgent
from tests.clusters_of_witnesses import agent, cluster, folder
from tests.supervisorctl import supervisorctl, wait_for

pytestmark = pytest.mark.xdist_group("one cluster for rollouts")

WAIT = 90.0
SETTINGS: dict[str, object] = {"poll interval": 1, "quiet period": 0, "start timeout": 20, "drain": 1}
SETTINGS |= {"min healthy": 1, "health timeout": 3}


class Place:
    """Three nodes, and a folder where their web user may write."""

    def __init__(self, made: DevCluster, desk: Path) -> None:
        self.cluster = made
        self.desk = desk
        place = {"DA_AGENT_STORE": made.store, "DA_AGENT_ROOT": str(made.directory / "onlooker")}
        self.rollouts = NodeAgent({**os.environ, **place}).rollouts

    def push(self, *lines: str, **settings: object) -> int:
        """Push a configuration, with more `lines`; the number of its release."""
        named = {name.replace("_", " "): value for name, value in settings.items()}
        section = "".join(f"  {name}: {json.dumps(value)}\n" for name, value in (SETTINGS | named).items())
        path = self.desk / "config.yml"
        top = "\n".join(("secretkey: abcdefghijklmnop", f"serial: {time.time_ns()}", *lines))
        path.write_text(f"{top}\nda agent:\n{section}")
        done = agent(self.cluster, "push", "config", str(path), "--no-wait")
        assert done.returncode == 0, done.stderr
        return int(done.stdout.strip().removesuffix(".").rsplit(" ", 1)[-1])

    def verdict(self, release: int) -> Rollout:
        def decided() -> bool:
            found = self.rollouts.read(release)
            return found is not None and found.state is not State.OPEN

        until(decided)
        found = self.rollouts.read(release)
        assert found is not None
        return found


def until(true: Callable[[], bool]) -> None:
    ends = time.monotonic() + WAIT
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.1)


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with folder() as desk, cluster(3, settings=SETTINGS) as made:
        made.wait()
        # On the machine of a test the web user is another one, who may write nowhere.
        (desk / "notes").mkdir()
        if os.geteuid() == 0:
            os.chown(desk / "notes", pwd.getpwnam("www-data").pw_uid, -1)
        yield Place(made, desk)


def test_commands_are_run_once_in_the_whole_cluster_in_the_environment_of_the_release(place: Place) -> None:
    note = place.desk / "notes" / "once"
    release = place.push(release_command=[f"echo $DA_AGENT_RELEASE $(id -un) $VIRTUAL_ENV >> {note}", "echo done"])
    verdict = place.verdict(release)
    assert verdict.state is State.STABLE
    user = "www-data" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    lines = note.read_text().splitlines()
    assert [line.split()[:2] for line in lines] == [[str(release), user]]
    assert f"releases/{release:010d}/local" in lines[0]
    assert verdict.release_command is not None
    assert verdict.release_command.output == ("done",)


def test_a_release_whose_command_fails_is_served_by_nobody_and_says_why(place: Place) -> None:
    release = place.push(release_command=["echo no database; exit 3"], max_failures=0)
    verdict = place.verdict(release)
    assert verdict.state is State.QUARANTINED
    assert "ended with exit code 3: no database" in verdict.failures[0].reason
    assert verdict.updated == ()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"health_path": "/", "health_text": "such a text is not there"}, "/ answers without the text"),
        ({"health_path": "/", "health_status": 418}, "/ answers 200 instead of 418"),
        ({"health_command": "echo too old; exit 1"}, "ended with exit code 1: too old"),
    ],
)
def test_a_release_that_is_not_well_is_quarantined_and_the_one_before_is_served(
    place: Place, settings: dict[str, object], reason: str
) -> None:
    release = place.push(max_failures=0, **settings)
    verdict = place.verdict(release)
    assert verdict.state is State.QUARANTINED
    assert reason in verdict.failures[0].reason
    good = place.push(health_path="/", health_text="release", health_command='test -n "$DA_AGENT_RELEASE"')
    assert place.verdict(good).state is State.STABLE
    place.cluster.wait(good, WAIT)


def test_a_release_that_makes_a_supervised_program_fail_is_quarantined_and_the_program_runs_again(place: Place) -> None:
    for node in place.cluster.nodes:
        # It lives as long as it likes what it reads, and supervisor does not insist.
        script = f"while ! grep -q 'spoils: true' {node.root}/config.yml; do sleep 0.2; done; exit 1"
        section = f'[program:reader]\ncommand=/bin/sh -c "{script}"\nstartretries=0\nstartsecs=1\n'
        folder = node.root / "agent" / "supervisor"
        folder.mkdir(exist_ok=True)
        (folder / "reader.conf").write_text(section)
        supervisorctl(node, "update")
        wait_for(node, "reader", "RUNNING")
    try:
        release = place.push("spoils: true", max_failures=0)
        verdict = place.verdict(release)
        assert (verdict.state, verdict.unhealthy) == (State.QUARANTINED, ())
        assert "supervisor cannot keep these programs running: reader" in verdict.failures[0].reason
        for node in place.cluster.nodes:
            wait_for(node, "reader", "RUNNING")
    finally:
        for node in place.cluster.nodes:
            (node.root / "agent" / "supervisor" / "reader.conf").unlink()
            supervisorctl(node, "update")
