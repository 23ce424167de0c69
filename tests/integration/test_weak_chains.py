"""A release whose chain of certificates Apache cannot use, on a node that served HTTPS before."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from da_agent.domain.rollout.rollouts import State
from da_agent.errors import NodeBroken
from da_agent.workflows.node.rollout_client import RolloutClient
from tests import built, members
from tests.certificates import authority, issue, rsa_key
from tests.fake_nodes import CutNodeStates, FakeInstallation, FakePrograms, put_configuration, release
from tests.fakes import FakeClock, MemoryBlobs, MemoryStore, MemoryTransfers, NoDeadline
from tests.integration.apaches import Web, hello, presented, web


@pytest.fixture
def node() -> Iterator[Web]:
    with web() as made:
        yield made


@dataclass
class Disk(FakeInstallation):
    """Switches what the web server serves."""

    switched: list[int] = field(default_factory=list)
    web: Web | None = None

    def switch(self, number: int) -> None:
        assert self.web is not None
        super().switch(number)
        self.switched.append(number)
        self.web.switch(number)


def chain(bits: int) -> dict[str, bytes]:
    """A server's certificate, issued by an intermediate authority whose key has so many bits."""
    root = authority("Root")
    middle = authority("Middle", by=root, private=rsa_key(bits))
    server = issue(middle, ["a.example.org"])
    return {
        "docassemble.crt": server.pem,
        "docassemble.key": server.key,
        "docassemble.ca.pem": middle.pem + root.pem,
    }


def test_a_release_with_a_weak_intermediate_is_rejected_before_it_ends_https(node: Web) -> None:
    good, weak = chain(2048), chain(1024)
    node.stage(1, hello("one"), good, config="a: 1\n")
    node.stage(2, hello("one"), weak, config="a: 1\n")
    store, clock, disk, node_states = (
        MemoryStore(),
        FakeClock(),
        Disk(web=node),
        CutNodeStates(FakeInstallation().power),
    )
    disk.disk = {1: release(1), 2: release(2)}
    records = built.rollouts(store, iter("abcdefghijklmnopqrstuvwxyz").__next__)
    rollout_client = RolloutClient(store, records, clock, "a", deadline=NoDeadline())
    agent = members.node(
        installation=disk,
        node_states=node_states,
        transfers=MemoryTransfers(store, MemoryBlobs()),
        web=node.apache,
        rollout_client=rollout_client,
        clock=clock,
        programs=FakePrograms(),
        settings=members.SETTINGS,
    )
    for newest in (1, 2):
        offered = [release(number) for number in range(newest, 0, -1)]
        put_configuration(store, offered[0])
        rollout_client.look(newest, offered[0], woken=True)
        agent.offer(*offered)
        for _ in range(4):
            with suppress(NodeBroken):
                agent.converge()
            clock.time += timedelta(seconds=20)
    record = records.read(2)
    assert record is not None
    assert (disk.switched, record.state, record.unhealthy) == ([1], State.QUARANTINED, ())
    assert "OpenSSL cannot serve it: ca key too small" in record.failures[0].reason
    assert presented(node) == good["docassemble.crt"].decode()
