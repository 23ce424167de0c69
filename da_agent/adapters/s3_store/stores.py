"""Reading and writing a bucket: one request each, whole objects only, and conditions that only the store checks."""

import hashlib
import itertools
import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from da_agent import files
from da_agent.adapters.s3_store.answers import Beyond, ConcurrentWrite, translated
from da_agent.adapters.s3_store.bodies import STREAM, Body
from da_agent.adapters.s3_store.clients import connect
from da_agent.adapters.s3_store.clocks import StoreClock
from da_agent.adapters.s3_store.patience import USUAL, Patience
from da_agent.adapters.s3_store.tag_forms import TagForm
from da_agent.domain.store import bodies, keys
from da_agent.domain.store.inboxes import Entry
from da_agent.domain.store.locations import S3Location
from da_agent.domain.store.names import is_relative
from da_agent.errors import AgentError, Conflict, Invalid, NotFound, OutcomeUnknown, StoreUnfit, Unreachable
from da_agent.ports import Always, Condition, IfAbsent, IfTag, Sink, Stored

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, ListObjectsV2OutputTypeDef

_PAGE = 1000
_WORTH_GOING_ON = 64 * 1024
"""Bytes. A connection that is cut after fewer bytes is not resumed at once."""

_CONFLICTS = 5
_CLOCK_PATIENCE = 60.0


class S3Store:
    """The bucket at `location`, or the part of it below the prefix. May be used by many threads at once."""

    def __init__(
        self, location: S3Location, credentials: tuple[str, str] | None = None, patience: Patience = USUAL
    ) -> None:
        """`credentials` are access key and secret; without them boto3 looks for some. Sends no request yet."""
        self._location = location
        self._folder = f"{location.prefix}/" if location.prefix else ""
        self._clients = connect(location, credentials, patience)
        self._patience = patience
        self._cleared = False
        self._crowded: set[tuple[str, ...]] = set()
        self._clock = StoreClock()
        self._tag_form = TagForm(self._put_if, self.delete)
        for client in (self._clients.patient, self._clients.single_try):
            client.meta.events.register("after-call.s3", self._hear)
        encryption = {"ServerSideEncryption": location.server_side_encryption, "SSEKMSKeyId": location.kms_key_id}
        self._encryption: dict[str, Any] = {name: value for name, value in encryption.items() if value}

    @property
    def name(self) -> str:
        return self._location.url

    @property
    def identity(self) -> str:
        return f"{self._clients.patient.meta.endpoint_url.rstrip('/')}/{self._location.bucket}"

    def obstacle(self) -> str | None:
        return None

    def clock(self) -> datetime:
        now = self._clock.now(_CLOCK_PATIENCE)
        if now is None:
            # A listing, not HEAD: its answer has the reason when the bucket is missing or forbidden. Of a part that
            # every key for this store may list.
            self._list("ask for the time", keys.OURS, "", 1)
            now = self._clock.now(_CLOCK_PATIENCE)
        if now is None:
            raise Unreachable(f"cannot ask for the time in the store {self.name}: its answer has no header Date")
        return now

    def _hear(self, http_response: Any, parsed: dict[str, Any], **_: object) -> None:
        self._clock.hear(http_response.headers.get("Date"))
        parsed[STREAM] = http_response.raw

    # ---- reading ----------------------------------------------------------------------------------------------

    def read(self, key: str) -> Stored:
        with self._opened(key, {}) as body:
            return Stored(bodies.joined(body.chunks, key, self.name), body.tag, body.modified_at)

    def fetch(self, key: str, sink: Sink, start: int = 0) -> None:
        given, tag = start, ""
        while True:
            begun = given
            try:
                with self._streamed(key, given, tag) as body:
                    tag = body.tag
                    for chunk in body.rest(given):
                        sink(chunk)
                        given += len(chunk)
                return
            except Beyond:
                return
            except Conflict as lost:
                raise Conflict(f"{key} in the store {self.name} was replaced while it was read") from lost
            except Unreachable:
                # The caller retries, with pauses and a limit; retrying here could go on for ever.
                if given - begun < _WORTH_GOING_ON:
                    raise

    @contextmanager
    def _streamed(self, key: str, start: int, tag: str) -> Iterator[Body]:
        """The body of `key` from byte `start` on; with a `tag`, only of the object that has this tag."""
        first = f"bytes={start}-"
        headers = ({"Range": first} if start else {}) | ({"If-Match": tag} if tag else {})
        answer = self._clients.straight.open(self._key(key), headers)
        if answer is None:
            with self._opened(key, ({"Range": first} if start else {}) | ({"IfMatch": tag} if tag else {})) as body:
                yield body
            return
        self._clock.hear(answer["Date"])
        with closing(answer["Body"]):
            yield Body(answer, f"read {key}", self.name, self._patience.pace)

    @contextmanager
    def _opened(self, key: str, wish: Mapping[str, Any]) -> Iterator[Body]:
        name, act = self._key(key), f"read {key}"
        with translated(act, self.name):
            answer: Any = self._clients.patient.get_object(Bucket=self._location.bucket, Key=name, **wish)
        with closing(answer["Body"]):
            yield Body(answer, act, self.name, self._patience.pace)

    def scan(self, prefix: str, after: str = "") -> Iterator[Entry]:
        last = self._folder + after if after else ""
        while True:
            page = self._list(f"list {prefix or 'everything'}", prefix, last, _PAGE)
            for each in page.get("Contents", []):
                if each["Key"] <= last:
                    raise StoreUnfit(f"cannot use the store {self.name}: it does not list objects in order")
                last = each["Key"]
                key = last.removeprefix(self._folder)
                # Folder markers of S3 consoles ("certs/") have no name that could be read.
                if is_relative(key):
                    yield Entry(key, each["Size"], each["ETag"], each["LastModified"].astimezone(UTC))
            if not page.get("IsTruncated"):
                return
            if not page.get("Contents"):
                raise Unreachable(f"cannot list {prefix} in the store {self.name}: its answer is incomplete")

    def survey(self, prefixes: Sequence[str]) -> Iterator[Entry]:
        for _, near in itertools.groupby(sorted(prefixes), key=lambda prefix: prefix[:1]):
            yield from self._together(tuple(near))

    def _together(self, near: tuple[str, ...]) -> Iterator[Entry]:
        """The entries below the prefixes `near`, by one listing that covers all of them if one page suffices.

        When too many other objects lie in between, each prefix gets a listing of its own, also from then on.
        """
        if len(near) > 1 and near not in self._crowded:
            after = near[0] if near[0].endswith("/") else ""
            page = list(itertools.islice(self.scan(near[0][:1], after), _PAGE - 1))
            if len(page) < _PAGE - 1 or (page[-1].key > near[-1] and not page[-1].key.startswith(near[-1])):
                yield from (entry for entry in page if entry.key.startswith(near))
                return
            self._crowded.add(near)
        for prefix in near:
            yield from self.scan(prefix)

    def _list(self, act: str, prefix: str, after: str, limit: int) -> "ListObjectsV2OutputTypeDef":
        start: Any = {"StartAfter": after} if after else {}
        with translated(act, self.name):
            return self._clients.patient.list_objects_v2(
                Bucket=self._location.bucket, Prefix=self._folder + prefix, MaxKeys=limit, **start
            )

    # ---- writing ----------------------------------------------------------------------------------------------

    def write(self, key: str, body: bytes | Path, when: Condition) -> str:
        name = self._key(key)
        if not isinstance(when, Always):
            return self._write_if(key, body, when)
        if isinstance(body, Path):
            with files.on_this_node(f"read {body}"):
                big = body.stat().st_size > self._patience.whole
            if big:
                tag = self._write_in_parts(key, body)
                self._clear()
                return tag
        with _content(body) as content, translated(f"write {key}", self.name):
            return self._put(self._clients.patient, name, content)

    def _write_if(self, key: str, body: bytes | Path, when: Condition) -> str:
        doubt: ConcurrentWrite | None = None
        for attempt in range(_CONFLICTS):
            if doubt:
                time.sleep(random.uniform(0.02, 0.1) * 2**attempt)  # noqa: S311
                self._look_after_conflict(key, body, when)
            sent = self._tag_form.of(when.tag) if isinstance(when, IfTag) else None
            try:
                return self._put_if(key, body, sent)
            except ConcurrentWrite as conflict:
                doubt = conflict
            except Conflict:
                # After a 409, the object in the way may be this method's own earlier attempt.
                if doubt:
                    self._look_after_conflict(key, body, when)
                if sent is None or not self._tag_form.was_wrong(sent):
                    raise
        raise OutcomeUnknown(f"{doubt}, {_CONFLICTS} times") from doubt

    def _put_if(self, key: str, body: bytes | Path, tag: str | None) -> str:
        """Write over the object with the tag, in the form that the store wants; None: only if there is none."""
        condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
        with _content(body) as content, translated(f"write {key}", self.name, conditional=True):
            written = self._put(self._clients.single_try, self._key(key), content, **condition)
        if tag is not None:
            self._tag_form.worked(tag)
        return written

    def _look_after_conflict(self, key: str, body: bytes | Path, when: Condition) -> None:
        """Return when the condition still holds. OutcomeUnknown when the object already has the bytes to be written."""
        try:
            with self._opened(key, {}) as there:
                if isinstance(when, IfTag) and there.tag == when.tag:
                    return
                theirs = _sha256(there.chunks)
        except NotFound:
            if isinstance(when, IfAbsent):
                return
            raise
        except Unreachable as error:
            raise OutcomeUnknown(f"cannot tell whether {key} was written to the store {self.name}: {error}") from error
        ours = _sha256([body] if isinstance(body, bytes) else (part for _, part in _parts(body, self._patience.part)))
        if ours == theirs:
            raise OutcomeUnknown(
                f"cannot tell who wrote {key} to the store {self.name}: it has the bytes that this process wanted to"
                " write"
            )
        raise Conflict(f"{key} in the store {self.name} was written by another process")

    def _put(self, client: "S3Client", name: str, content: bytes | BinaryIO, **condition: Any) -> str:
        answer = client.put_object(
            Bucket=self._location.bucket, Key=name, Body=content, **self._encryption, **condition
        )
        if not answer.get("ETag"):
            raise StoreUnfit(f"cannot use the store {self.name}: it gives no ETag to what is written")
        return answer["ETag"]

    def _write_in_parts(self, key: str, body: Path) -> str:
        """The tag of `body`, uploaded in parts. Each part is retried alone; the last request creates the object."""
        client = self._clients.patient
        target: Any = {"Bucket": self._location.bucket, "Key": self._key(key)}
        with translated(f"write {key}", self.name):
            upload = client.create_multipart_upload(**target, **self._encryption)["UploadId"]
        try:
            parts = [self._send_part(key, upload, number, part) for number, part in _parts(body, self._patience.part)]
            with translated(f"write {key}", self.name):
                answer = client.complete_multipart_upload(**target, UploadId=upload, MultipartUpload={"Parts": parts})
                return answer["ETag"]
        except BaseException:
            # Parts of an unfinished upload are invisible, but the owner of the bucket would go on paying for them.
            with suppress(AgentError), translated(f"abort the upload of {key}", self.name):
                client.abort_multipart_upload(**target, UploadId=upload)
            raise

    def _clear(self) -> None:
        """Once per process, abort uploads below `.agent/` whose writers died. Uploads to the inbox are not touched."""
        if self._cleared:
            return
        self._cleared = True
        client, bucket = self._clients.patient, self._location.bucket
        with suppress(AgentError), translated("clear dead uploads", self.name):
            found = client.list_multipart_uploads(Bucket=bucket, Prefix=self._folder + keys.OURS)
            now = self.clock()
            for each in found.get("Uploads", []):
                if now - each["Initiated"] > self._patience.dead:
                    client.abort_multipart_upload(Bucket=bucket, Key=each["Key"], UploadId=each["UploadId"])

    def _send_part(self, key: str, upload: str, number: int, part: bytes) -> "CompletedPartTypeDef":
        with translated(f"write {key}", self.name):
            answer = self._clients.patient.upload_part(
                Bucket=self._location.bucket, Key=self._key(key), UploadId=upload, PartNumber=number, Body=part
            )
        return {"PartNumber": number, "ETag": answer["ETag"]}

    def delete(self, key: str) -> None:
        with suppress(NotFound), translated(f"delete {key}", self.name):
            self._clients.patient.delete_object(Bucket=self._location.bucket, Key=self._key(key))

    def _key(self, key: str) -> str:
        if not is_relative(key):
            raise Invalid(f"{key!r} is not a name for an object in the store {self.name}")
        return self._folder + key


@contextmanager
def _content(body: bytes | Path) -> Iterator[bytes | BinaryIO]:
    """`body` in the form that boto3 sends: a file is streamed from the disk, never held in memory.

    NodeBroken when the file cannot be opened.
    """
    if isinstance(body, bytes):
        yield body
        return
    with files.on_this_node(f"read {body}"):
        file = body.open("rb")
    with file:
        yield file


def _sha256(chunks: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def _parts(body: Path, size: int) -> Iterator[tuple[int, bytes]]:
    """The parts of a file, numbered from 1: each has `size` bytes, the last one perhaps fewer."""
    with _content(body) as file:
        assert not isinstance(file, bytes)
        for number in itertools.count(1):
            with files.on_this_node(f"read {body}"):
                part = file.read(size)
            if not part:
                return
            yield number, part
