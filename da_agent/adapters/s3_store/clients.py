"""Connections to S3."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.httpsession import URLLib3Session
from botocore.loaders import Loader
from botocore.session import Session
from botocore.utils import get_environ_proxies

from da_agent.adapters.s3_store.credentials import Rereadable
from da_agent.adapters.s3_store.patience import Patience
from da_agent.adapters.s3_store.straight_gets import StraightGets
from da_agent.domain.store.locations import S3Location
from da_agent.errors import Invalid

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_CONNECTIONS = 32
_SERVICES = frozenset({"s3", "sts", "oidc", "portal.sso"})
"""S3 itself, and the services from which boto3 may get credentials."""


@dataclass(frozen=True, slots=True)
class Clients:
    """`patient` repeats failed requests. `single_try` does not: a repeated conditional write would fail on itself.

    `straight` gets the bytes of many objects at little cost.
    """

    patient: "S3Client"
    single_try: "S3Client"
    straight: StraightGets


def connect(location: S3Location, credentials: tuple[str, str] | None, patience: Patience) -> Clients:
    """Clients for the store at `location`. `credentials` are access key and secret.

    Without `credentials`, boto3 finds them (environment, files, the machine's role), and again when the store refuses
    them. Sends no request to the store. Invalid when boto3 cannot make a client for the location.
    """
    key, secret = credentials or (None, None)
    try:
        core = _core()
        found = Rereadable(lambda: _core().get_credentials())
        core.register_component("credential_provider", found)
        session = boto3.Session(
            aws_access_key_id=key, aws_secret_access_key=secret, region_name=location.region, botocore_session=core
        )
        region = session.region_name or "us-east-1"

        def client(attempts: int) -> "S3Client":
            return session.client(
                "s3",
                endpoint_url=location.endpoint_url,
                region_name=region,
                config=_config(location, attempts, patience),
            )

        patient, single_try = client(patience.attempts), client(1)
        if not credentials:
            found.watch(patient)
            found.watch(single_try)
        straight = StraightGets(patient, _connections(core, patient.meta.endpoint_url, patience))
        return Clients(patient=patient, single_try=single_try, straight=straight)
    except (BotoCoreError, ValueError) as error:
        raise Invalid(f"cannot use the store {location}: {error}") from error


def _connections(core: Session, endpoint_url: str, patience: Patience) -> URLLib3Session:
    """A session with the time-outs, proxies and certificates of the clients."""
    known: dict[str, Any] = {
        "verify": core.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE") or True,
        "proxies": get_environ_proxies(endpoint_url),
        "timeout": (patience.connect, patience.read),
    }
    return URLLib3Session(max_pool_connections=_CONNECTIONS, **known)


class _Frugal(Loader):
    """Keeps only the endpoints of the services in use: those of all others take 7 MB of memory."""

    def load_data_with_path(self, name: str) -> Any:
        if name != "endpoints":
            return super().load_data_with_path(name)
        # A loader caches everything it has read, so a temporary one reads the file.
        data, path = Loader(self.search_paths).load_data_with_path(name)
        kept = [{**each, "services": _ours(each["services"])} for each in data["partitions"]]
        return {**data, "partitions": kept}, path


def _ours(services: dict[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in services.items() if name in _SERVICES}


def _core() -> Session:
    core = Session()
    given = core.get_config_variable("data_path") or ""
    folders = [os.path.expanduser(folder) for folder in given.split(os.pathsep) if folder]  # noqa: PTH111
    core.register_component("data_loader", _Frugal(folders))
    return core


def _config(location: S3Location, attempts: int, patience: Patience) -> Config:
    # Not every bucket name fits into Amazon's host names; "auto" knows which do.
    style: Literal["path", "virtual", "auto"] = (
        "path" if location.path_style else "virtual" if location.endpoint_url else "auto"
    )
    return Config(
        connect_timeout=patience.connect,
        read_timeout=patience.read,
        max_pool_connections=_CONNECTIONS,
        retries={"mode": "standard", "total_max_attempts": attempts},
        s3={"addressing_style": style},
        # Some stores save the checksums that newer clients append as part of the object.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
