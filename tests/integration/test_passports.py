"""Which real stores are fit for a cluster."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from da_agent.adapters.directory_store import DirectoryStore
from da_agent.adapters.passports import PassportFolder
from da_agent.adapters.races import Threads
from da_agent.adapters.s3_store import S3Store
from da_agent.domain.passports import Check, Passport
from da_agent.errors import Forbidden, NodeBroken, StoreUnfit, Unreachable
from da_agent.workflows.passports import examine, require_fit
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
    passport = examine(store, Threads(), "nonce")
    assert [check for check in passport.tried if not check.ok] == []
    assert passport.fit
    assert list(store.scan("")) == []


def test_a_directory_is_fit(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    passport = examine(store, Threads(), "nonce")
    assert [check for check in passport.tried if not check.ok] == []
    assert passport.fit
    assert [path for path in tmp_path.rglob("*") if "passport" in path.parts and path.is_file()] == []


def test_a_server_that_ignores_conditions_is_refused_in_one_sentence(rclone: S3Server, tmp_path: Path) -> None:
    store = S3Store(rclone.bucket(), rclone.credentials)
    with pytest.raises(StoreUnfit) as unfit:
        require_fit(store, Threads(), PassportFolder(tmp_path), "nonce")
    assert str(unfit.value).startswith(
        f"The store {store.identity} is not fit for a cluster: it lets two create the same object (and "
    )
    kept = PassportFolder(tmp_path).load(store.identity)
    assert kept is not None
    assert "an object is not replaced with an old tag" in [check.name for check in kept.tried if not check.ok]


def test_a_store_found_fit_is_not_examined_by_the_next_process(ministack: S3Server, tmp_path: Path) -> None:
    location = ministack.bucket()
    require_fit(S3Store(location, ministack.credentials), Threads(), PassportFolder(tmp_path), "nonce")
    # The reader could not write: it is admitted because it need not.
    require_fit(S3Store(location, ministack.reader), Threads(), PassportFolder(tmp_path), "nonce")
    # A passport is for the bucket, not for one of its prefixes.
    other = S3Store(replace(location, prefix="other"), ministack.reader)
    require_fit(other, Threads(), PassportFolder(tmp_path), "nonce")
    with pytest.raises(Forbidden):
        require_fit(S3Store(ministack.bucket(), ministack.reader), Threads(), PassportFolder(tmp_path), "nonce")


def test_no_verdict_is_kept_about_a_store_that_cannot_be_examined(ministack: S3Server, tmp_path: Path) -> None:
    location = ministack.bucket()
    forbidden = S3Store(location, (ministack.credentials[0], "wrong"))
    with pytest.raises(Forbidden):
        require_fit(forbidden, Threads(), PassportFolder(tmp_path), "nonce")
    missing = S3Store(replace(location, bucket="no-such-bucket"), ministack.credentials)
    with pytest.raises(Unreachable):
        require_fit(missing, Threads(), PassportFolder(tmp_path), "nonce")
    assert list(tmp_path.iterdir()) == []


# ---- where passports are kept

PASSPORT = Passport("https://minio:9000/shop", (Check("a", True, ""), Check("b", False, "it forgets")))


def test_a_passport_is_kept_for_its_store_alone(tmp_path: Path) -> None:
    PassportFolder(tmp_path / "new").save(PASSPORT)
    assert PassportFolder(tmp_path / "new").load(PASSPORT.store) == PASSPORT
    assert PassportFolder(tmp_path / "new").load("https://minio:9000/shop2") is None
    PassportFolder(tmp_path / "new").save(replace(PASSPORT, tried=PASSPORT.tried[:1]))
    assert PassportFolder(tmp_path / "new").load(PASSPORT.store) == replace(PASSPORT, tried=PASSPORT.tried[:1])


@pytest.mark.parametrize("damage", [b"", b"\0" * 99, b"{}", b'{"store": "https://minio:9000/shop", "tried": 1}'])
def test_a_damaged_passport_is_none(tmp_path: Path, damage: bytes) -> None:
    PassportFolder(tmp_path).save(PASSPORT)
    (path,) = tmp_path.iterdir()
    path.write_bytes(damage)
    assert PassportFolder(tmp_path).load(PASSPORT.store) is None


def test_a_passport_of_another_kind_or_store_is_none(tmp_path: Path) -> None:
    PassportFolder(tmp_path).save(PASSPORT)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"format": 1', b'"format": 2'))
    assert PassportFolder(tmp_path).load(PASSPORT.store) is None
    path.write_bytes(whole.replace(b"minio", b"other"))
    assert PassportFolder(tmp_path).load(PASSPORT.store) is None


def test_a_folder_that_cannot_be_written_is_the_nodes_fault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NodeBroken, match="cannot write the passport"):
        PassportFolder(tmp_path / "file").save(PASSPORT)
