"""GET of an object without botocore's models of request and answer.

The models are two thirds of the cost of a small object, and a release has hundreds of them. botocore still signs and
sends the request.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError
from botocore.httpsession import URLLib3Session
from urllib3.exceptions import HTTPError

from da_agent.adapters.s3_store.bodies import STREAM

_EVENT = "before-sign.s3.GetObject"
_GOOD = (200, 206)


@dataclass(frozen=True, slots=True)
class _Way:
    """How to request objects of the bucket: `base` is the URL before the key; `signer` and `context` are botocore's."""

    base: str
    signer: Any
    context: Mapping[str, Any]


class StraightGets:
    """Learns from the client's own requests the URL of the bucket and how to sign.

    Any answer but 200 or 206 is left to the client, which handles errors, other regions and retries.
    """

    def __init__(self, client: Any, session: URLLib3Session) -> None:
        """`session` has the connections. `client` and `session` may be used by many threads."""
        self._session = session
        self._way: _Way | None = None
        client.meta.events.register(_EVENT, self._learn)

    def open(self, name: str, headers: Mapping[str, str]) -> dict[str, Any] | None:
        """The part of get_object's answer that a `Body` needs, and "Date"; None when the client must ask instead."""
        way = self._way
        if way is None:
            return None
        request = AWSRequest("GET", way.base + _quoted(name), headers=headers, stream_output=True)
        request.context.update(way.context, straight=True)
        try:
            way.signer.sign("GetObject", request)
            answer = self._session.send(request.prepare())
        except (BotoCoreError, HTTPError, OSError):
            return None
        if answer.status_code not in _GOOD:
            answer.raw.close()
            return None
        told = answer.headers
        return {
            STREAM: answer.raw,
            "Body": answer.raw,
            "ETag": told.get("ETag", ""),
            "ContentRange": told.get("Content-Range"),
            "ContentLength": int(length) if (length := told.get("Content-Length", "")).isdigit() else None,
            "Date": told.get("Date"),
        }

    def _learn(self, request: AWSRequest, request_signer: Any, **_: object) -> None:
        if request.context.get("straight"):
            return
        key = _quoted(request.context.get("input_params", {}).get("Key", ""))
        url = (request.url or "").split("?")[0]
        if key and url.endswith(f"/{key}"):
            self._way = _Way(url.removesuffix(key), request_signer, dict(request.context))


def _quoted(name: str) -> str:
    """`name` as botocore writes it in a URL."""
    return quote(name, safe="/~")
