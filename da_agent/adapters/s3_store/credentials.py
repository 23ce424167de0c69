"""Credentials that are read again from their source when the store refuses them."""

import threading
import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError

AGAIN = 1.0
"""Seconds between two reads of the source: many requests that are refused together read it once."""

BAD = frozenset(
    {"AuthorizationHeaderMalformed", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "TokenRefreshRequired"}
)
"""Error codes that mean bad credentials, whatever the status is."""

_USED, _REPEATED = "da_agent_credentials", "da_agent_repeated"


class Rereadable:
    """Takes the place of botocore's credentials and of their provider. May be used by many threads."""

    def __init__(self, read: Callable[[], Any]) -> None:
        """`read` asks every source again (environment, files, programs, the machine's role); None when none has any."""
        self._read = read
        self._lock = threading.Lock()
        self._current: Any = None
        self._read_at: float | None = None

    def load_credentials(self) -> "Rereadable | None":
        """The method that botocore calls on a provider; None when there are no credentials."""
        self._current = self._read()
        return None if self._current is None else self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._current, name)

    def watch(self, client: Any) -> None:
        """Repeat each refused request of `client` once, if the source has other credentials by then."""
        client.meta.events.register_first("before-sign.s3", self._remember)
        client.meta.events.register("needs-retry.s3", self._repeat)

    def _remember(self, request: Any, **_: object) -> None:
        if self._current is not None:
            request.context[_USED] = self._current.get_frozen_credentials()

    def _repeat(self, response: Any, request_dict: dict[str, Any], **_: object) -> float | None:
        """Seconds until the request is repeated; None for no repetition. Repeating is safe: a refusal had no effect."""
        context = request_dict["context"]
        if response is None or not _refused(response) or _REPEATED in context or _USED not in context:
            return None
        context[_REPEATED] = True
        return 0.0 if self._differ(context[_USED]) else None

    def _differ(self, used: Any) -> bool:
        try:
            with self._lock:
                if self._current.get_frozen_credentials() == used:
                    self._renew()
                return bool(self._current.get_frozen_credentials() != used)
        except (BotoCoreError, OSError):
            # The source cannot be read at the moment, so the refusal of the store is the error to report.
            return False

    def _renew(self) -> None:
        now = time.monotonic()
        if self._read_at is not None and now - self._read_at < AGAIN:
            return
        self._read_at = now
        found = self._read()
        if found is not None:
            self._current = found


def _refused(response: tuple[Any, dict[str, Any]]) -> bool:
    http, parsed = response
    return http.status_code in (401, 403) or parsed.get("Error", {}).get("Code") in BAD
