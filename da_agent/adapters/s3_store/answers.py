"""Errors of S3 and of the network, translated into the agent's errors.

Statuses and codes: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from da_agent.adapters.s3_store import credentials
from da_agent.errors import AgentError, Conflict, Forbidden, Invalid, NotFound, OutcomeUnknown, StoreUnfit, Unreachable

_WITHOUT_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError)
_NEVER_SENT = (EndpointConnectionError, ConnectTimeoutError)


class ConcurrentWrite(Exception):
    """409: the store was busy with another write to the same object; this write may or may not have happened."""


class Beyond(Exception):
    """416: the requested range starts after the end of the object."""


_Kind = type[AgentError] | type[ConcurrentWrite] | type[Beyond]

_REMEDIES: dict[object, str] = {
    "NoSuchBucket": "; create it, or correct the name of the store",
    "RequestTimeTooSkewed": "; set this machine's clock",
    Conflict: ": another process was first",
    StoreUnfit: "; use a store with conditional writes",
    Forbidden: "; check the credentials and their rights (s3:GetObject, s3:PutObject, s3:DeleteObject, s3:ListBucket)",
}


@contextmanager
def translated(act: str, store: str, *, conditional: bool = False) -> Iterator[None]:
    """Translate the exceptions of boto3 into the agent's errors. `act` is such as "read config.yml", `store` a URL.

    With `conditional`, a request without a clear answer is OutcomeUnknown, and 409 is ConcurrentWrite.
    """
    task = f"cannot {act} in the store {store}"
    unclear = OutcomeUnknown if conditional else Unreachable
    try:
        yield
    except ClientError as error:
        raise _judged(error, act, task, store, conditional=conditional) from error
    except _WITHOUT_CREDENTIALS as error:
        raise Forbidden(f"{task}: {_sentence(error)}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") from error
    except ParamValidationError as error:
        raise Invalid(f"{task}: {_sentence(error)}") from error
    except _NEVER_SENT as error:
        raise Unreachable(f"{task}: {_sentence(error)}") from error
    except (BotoCoreError, HTTPError, ResponseParserError, OSError) as error:
        raise unclear(f"{task}: {_sentence(error)}") from error


def _judged(error: ClientError, act: str, task: str, store: str, *, conditional: bool) -> Exception:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    said = error.response.get("Error", {})
    code, message = said.get("Code", ""), said.get("Message", "")
    if status == 404 and code == "NoSuchKey":
        return NotFound(f"cannot {act}: there is no such object in the store {store}")
    answer = f"{task}: it answers {status} {code}".rstrip() + (f" ({message.rstrip('.')})" if message else "")
    kind = _kind(status, code, conditional=conditional)
    return kind(answer + _REMEDIES.get(code, _REMEDIES.get(kind, "")))


def _kind(status: int, code: str, *, conditional: bool) -> _Kind:
    """The error for an answer. The status decides first, because other S3 servers have codes of their own.

    NotFound is not decided here: only the code NoSuchKey means a missing object.
    """
    kind: _Kind = Unreachable
    if status == 412:
        kind = Conflict
    elif status == 416:
        kind = Beyond
    elif status == 409 and conditional:
        kind = ConcurrentWrite
    elif status == 501 or code == "NotImplemented":
        kind = StoreUnfit
    elif status in (401, 403) or code in credentials.BAD:
        kind = Forbidden
    elif code == "KeyTooLongError":
        kind = Invalid
    elif conditional and not 300 <= status < 500:
        # A status from 300 to 499 says that the store has not written.
        kind = OutcomeUnknown
    return kind


def _sentence(error: Exception) -> str:
    """The message of `error` as one line in lower case; a message of botocore may go on with a list of parameters."""
    text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return text[:1].lower() + text[1:]
