"""Which real stores are fit for a cluster."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from da_agent.adapters.conformance import ConformanceFolder
from da_agent.adapters.directory_store import DirectoryStore
from da_agent.adapters.races import run_together
from da_agent.adapters.s3_store import S3Store
from da_agent.domain.store.conformance import Conformance, StoreCheck
from da_agent.errors import Forbidden, NodeBroken, StoreUnfit, Unreachable
from da_agent.workflows.upkeep.conformance import examine, require_fit
from tests import servers
from tests.servers import S3Server


@pytest.fixture(scope="module")
def ministack() -> Iterator[S3Server]:
    with servers.ministack() as server:
        yield server


@pytest.fixture(scope="module")
def rclone() -> Iterator[S3Server]:
    with servers.rclone() as server:
        yield server


def test_a_server_that_keeps_its_promises_is_fit(ministack: S3Server) -> None:
    store = S3Store(ministack.bucket("clusters/one"), ministack.credentials)
    conformance = examine(store, run_together, "nonce")
    assert [check for check in conformance.tried if not check.ok] == []
    assert conformance.fit
    assert list(store.scan("")) == []


def test_a_directory_is_fit(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    conformance = examine(store, run_together, "nonce")
    assert [check for check in conformance.tried if not check.ok] == []
    assert conformance.fit
    assert [path for path in tmp_path.rglob("*") if "conformance" in path.parts and path.is_file()] == []


def test_a_server_that_ignores_conditions_is_refused_in_one_sentence(rclone: S3Server, tmp_path: Path) -> None:
    store = S3Store(rclone.bucket(), rclone.credentials)
    with pytest.raises(StoreUnfit) as unfit:
        require_fit(store, run_together, ConformanceFolder(tmp_path), "nonce")
    assert str(unfit.value).startswith(
        f"The store {store.identity} is not fit for a cluster: it lets two writers create the same object (and "
    )
    kept = ConformanceFolder(tmp_path).load(store.identity)
    assert kept is not None
    assert "an object is not replaced with an old tag" in [check.name for check in kept.tried if not check.ok]


def test_a_store_found_fit_is_not_examined_by_the_next_process(ministack: S3Server, tmp_path: Path) -> None:
    location = ministack.bucket()
    require_fit(S3Store(location, ministack.credentials), run_together, ConformanceFolder(tmp_path), "nonce")
    # The reader could not write: it is admitted because it need not.
    require_fit(S3Store(location, ministack.reader), run_together, ConformanceFolder(tmp_path), "nonce")
    # A conformance record is for the bucket, not for one of its prefixes.
    other = S3Store(replace(location, prefix="other"), ministack.reader)
    require_fit(other, run_together, ConformanceFolder(tmp_path), "nonce")
    with pytest.raises(Forbidden):
        require_fit(S3Store(ministack.bucket(), ministack.reader), run_together, ConformanceFolder(tmp_path), "nonce")


def test_no_verdict_is_kept_about_a_store_that_cannot_be_examined(ministack: S3Server, tmp_path: Path) -> None:
    location = ministack.bucket()
    forbidden = S3Store(location, (ministack.credentials[0], "wrong"))
    with pytest.raises(Forbidden):
        require_fit(forbidden, run_together, ConformanceFolder(tmp_path), "nonce")
    missing = S3Store(replace(location, bucket="no-such-bucket"), ministack.credentials)
    with pytest.raises(Unreachable):
        require_fit(missing, run_together, ConformanceFolder(tmp_path), "nonce")
    assert list(tmp_path.iterdir()) == []


# ---- where conformance records are kept

CONFORMANCE = Conformance("https://minio:9000/shop", (StoreCheck("a", True, ""), StoreCheck("b", False, "it forgets")))


def test_a_conformance_record_is_kept_for_its_store_alone(tmp_path: Path) -> None:
    ConformanceFolder(tmp_path / "new").save(CONFORMANCE)
    assert ConformanceFolder(tmp_path / "new").load(CONFORMANCE.store) == CONFORMANCE
    assert ConformanceFolder(tmp_path / "new").load("https://minio:9000/shop2") is None
    ConformanceFolder(tmp_path / "new").save(replace(CONFORMANCE, tried=CONFORMANCE.tried[:1]))
    assert ConformanceFolder(tmp_path / "new").load(CONFORMANCE.store) == replace(
        CONFORMANCE, tried=CONFORMANCE.tried[:1]
    )


@pytest.mark.parametrize(
    "damage", [b"", b"\0" * 99, b"{}", b'{"format": 1, "store": "https://minio:9000/shop", "checks": 1}']
)
def test_a_damaged_conformance_record_is_none(tmp_path: Path, damage: bytes) -> None:
    ConformanceFolder(tmp_path).save(CONFORMANCE)
    (path,) = tmp_path.iterdir()
    path.write_bytes(damage)
    assert ConformanceFolder(tmp_path).load(CONFORMANCE.store) is None


def test_a_conformance_record_of_another_kind_or_store_is_none(tmp_path: Path) -> None:
    ConformanceFolder(tmp_path).save(CONFORMANCE)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"format": 1', b'"format": 2'))
    assert ConformanceFolder(tmp_path).load(CONFORMANCE.store) is None
    path.write_bytes(whole.replace(b"minio", b"other"))
    assert ConformanceFolder(tmp_path).load(CONFORMANCE.store) is None


def test_a_folder_that_cannot_be_written_is_the_nodes_fault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NodeBroken, match="cannot write the conformance record"):
        ConformanceFolder(tmp_path / "file").save(CONFORMANCE)
