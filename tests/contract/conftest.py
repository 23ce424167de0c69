"""Every store there is, new and empty for each test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from da_agent.adapters.directory_store import DirectoryStore
from da_agent.adapters.s3_store import S3Store
from da_agent.ports import Store
from tests import servers
from tests.fakes import MemoryStore
from tests.servers import S3Server

StoreMaker = Callable[[], Store]
"""Another view of the same store: what another node has."""


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    with servers.ministack() as server:
        yield server


@pytest.fixture(params=["s3", "s3-prefix", "directory", "memory"])
def node(request: pytest.FixtureRequest, tmp_path: Path) -> StoreMaker:
    """Connects one more node to the store of the test."""
    if request.param == "memory":
        store = MemoryStore()
        return lambda: store
    if request.param == "directory":
        (tmp_path / "store").mkdir()
        return lambda: DirectoryStore(tmp_path / "store")
    server: S3Server = request.getfixturevalue("s3_server")
    location = server.bucket(prefix="clusters/one" if request.param == "s3-prefix" else "")
    return lambda: S3Store(location, server.credentials)


@pytest.fixture
def store(node: StoreMaker) -> Store:
    return node()
