"""One value of each kind of record that is stored, with something in every field."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from da_agent.domain import records
from da_agent.domain.config.strategies import Share, Strategy
from da_agent.domain.node.inbox_leader import Unable
from da_agent.domain.node.node_states import NodeState, Probation, Rejection
from da_agent.domain.node.notifications import Contact
from da_agent.domain.node.reports import Phase, Report
from da_agent.domain.node.used_stores import Used
from da_agent.domain.packages.wheels import Target, Wheel
from da_agent.domain.release.releases import Contents, Release
from da_agent.domain.rollout.rollouts import NodeFailure, Note, Past, ReleaseCommandRun, Rollout, Slot, State
from da_agent.domain.store.blobs import Blob, File
from da_agent.domain.store.conformance import Conformance, StoreCheck
from da_agent.domain.store.inboxes import Seen, Verdict
from da_agent.domain.store.leases import Lease

FOLDER = Path(__file__).parent / "unit" / "golden" / "records"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(seconds=300, microseconds=250_000)


def _blob(letter: str, size: int) -> Blob:
    return Blob(letter * 64, size)


CONTENTS = Contents(
    config=_blob("a", 120),
    certificates=(File("docassemble.crt", _blob("b", 1500)),),
    sources=(File("requirements.txt", _blob("c", 30)),),
    target=Target(python="3.11", platform="linux_x86_64"),
    wheels=(
        Wheel(
            name="shop",
            version="1.2",
            filename="shop-1.2-py3-none-any.whl",
            blob=_blob("d", 9000),
            source="e" * 64,
            original="f" * 64,
        ),
    ),
)
RELEASE = Release(
    number=7,
    nonce="9f2c",
    published_at=NOON,
    publisher="web-1",
    reason="the inbox has changed",
    contents=CONTENTS,
    rollback_of=5,
    restart=True,
    restarted=3,
)
ROLLOUT = Rollout(
    release=7,
    strategy=Strategy(
        max_unavailable=Share(25, percent=True),
        canary=2,
        max_failures=3,
        slot_timeout=timedelta(seconds=240),
        release_command=("python -m shop.tables",),
    ),
    opened_at=NOON,
    changed_at=LATER,
    state=State.STABLE,
    closed=True,
    skip_canary=True,
    slots=(Slot("web-1", 7, "update", NOON, LATER, begun=True, joining=True),),
    updated=("web-2",),
    failures=(NodeFailure("web-3", "GET /health timed out after 30 s", NOON, ("a line", "another"), lost=True),),
    unhealthy=(Note("web-4", NOON, "the disk is full"),),
    release_command=ReleaseCommandRun("web-1", LATER, done=True, output=("created",)),
    paused=Note("ann", NOON, "maintenance"),
    resumed=Note("bob", LATER, "done"),
    verdict=Note("the cluster", LATER, "2 nodes serve it"),
    retries=(Note("ann", NOON, "the database is back"),),
    past=Past(stable=3, served=5, fit=4, bad=(5, 6)),
    generation=12,
    nonce="77aa",
)
FAILURE = Rejection(6, "cannot be loaded", NOON, lasting=False, retries=1, log=("a line",))
REPORT = Report(
    node="web-1",
    host="web-1.example.org",
    address="10.0.0.7",
    release=5,
    target=7,
    phase=Phase.PROBATION,
    problem="the disk is nearly full",
    agent="0.1.0",
    python="Python 3.11 on linux_x86_64",
    started_at=NOON,
    rejected=(FAILURE,),
    waiting="updating: web-2",
    activity="building wheels",
    contact=Contact("10.0.0.7:9001", "c0de"),
    unable=Unable("0" * 64, NOON, "no index answers"),
    identity="5e1f",
)
VERDICT = Verdict(
    fingerprint="0" * 64,
    release=7,
    mistakes=("config.yml: line 3: unknown setting",),
    seen=(Seen("config.yml", '"1a2b"', _blob("a", 120)),),
    by="web-1",
    at=NOON,
)
LEASE = Lease("web-1", NOON, LATER, "5e5e")
NODE_STATE = NodeState(
    live=5, probation=Probation(7, 5, LATER, attempt=2, retries=1), rejected=(FAILURE,), interrupted=7
)
USED = Used("file:///srv/store", "/srv/store on file system 1f", 7)
CONFORMANCE = Conformance(
    "https://minio:9000/shop", (StoreCheck("create only", True, ""), StoreCheck("list", False, "it forgets"))
)


@dataclass(frozen=True)
class Example:
    """A value, the committed bytes that are its record, and what messages call such a record."""

    name: str
    value: object
    called: str
    sealed: bool = False

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.name}.json"

    @property
    def data(self) -> bytes:
        return self.path.read_bytes()

    def encode(self, value: object) -> bytes:
        return records.seal(value) if self.sealed else records.encode(value)

    def decode(self, data: bytes) -> object:
        return (records.unseal if self.sealed else records.decode)(type(self.value), data, self.path.name)


EXAMPLES = (
    Example("release", RELEASE, "release", sealed=True),
    Example("rollout", ROLLOUT, "rollout", sealed=True),
    Example("used_store", USED, "used store"),
    Example("report", REPORT, "report", sealed=True),
    Example("verdict", VERDICT, "verdict", sealed=True),
    Example("lease", LEASE, "lease"),
    Example("node_state", NODE_STATE, "node state"),
    Example("conformance", CONFORMANCE, "store conformance"),
)
