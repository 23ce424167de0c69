"""Where a node's certificates come from when the release has none: the rule of docs/decisions/0008."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from da_agent.domain.config import docassemble_keys
from da_agent.domain.config.documents import Section
from da_agent.domain.store import keys
from da_agent.domain.store.locations import (
    DirectoryLocation,
    Location,
    S3Location,
    credentials_of,
    location_of,
    location_of_environment,
)
from da_agent.domain.store.names import is_absolute
from da_agent.errors import Invalid

SETTING = "certs"
_VARIABLES = {
    "S3ENABLE": "enable",
    "S3BUCKET": "bucket",
    "S3REGION": "region",
    "S3ENDPOINTURL": "endpoint url",
    "S3ACCESSKEY": "access key id",
    "S3SECRETACCESSKEY": "secret access key",
}
"""docassemble's variables, and their names in the section `s3`."""


def home(root: Section, variables: Mapping[str, str]) -> Location | None:
    """The location of the store: from the environment, else the bucket of the section `s3`; None without either."""
    return location_of_environment(variables) or _section_store(root)


def credentials(root: Section, variables: Mapping[str, str]) -> tuple[str, str] | None:
    """The credentials from the environment, else from the section `s3`; None leaves them to the machine's role and
    boto3."""
    return credentials_of(variables) or credentials_of(_as_variables(root))


def elsewhere(root: Section, store: Location | None) -> Location | None:
    """The place that the setting `certs` names; None for the store's own folder certs/, which needs no setting.

    Raises Invalid when the setting is neither an absolute path nor s3://bucket/prefix.
    """
    entry = docassemble_keys.find(root, SETTING)
    text = entry.value.plain if entry else None
    if not isinstance(text, str) or not text:
        return None
    if text.startswith("s3://"):
        place: Location = _bucket(text, store)
    elif is_absolute(text):
        place = DirectoryLocation(Path(text))
    else:
        raise Invalid(
            f'"{SETTING}" in {keys.CONFIG} must be an absolute path or s3://bucket/prefix: certificates from anywhere'
            " else are put there with other tools"
        )
    return None if store is not None and place == certificates_of(store) else place


def certificates_of(store: Location) -> Location:
    """The folder certs/ of a store."""
    name = keys.CERTIFICATES.strip("/")
    if isinstance(store, DirectoryLocation):
        return DirectoryLocation(store.path / name)
    return replace(store, prefix=f"{store.prefix}/{name}".strip("/"))


def mistakes(root: Section, store: Location | None, found: bool) -> tuple[str, ...]:
    """What is wrong with the setting when the store has certificates, too (`found`), or nothing."""
    try:
        place = elsewhere(root, store)
    except Invalid as refused:
        return refused.mistakes
    return (contradiction(place),) if place is not None and found else ()


def contradiction(place: Location) -> str:
    """Why there must be one place only."""
    return (
        f'the store\'s {keys.CERTIFICATES} has certificates, and "{SETTING}" in {keys.CONFIG} says that they are in'
        f" {place}: delete the setting, or what is in {keys.CERTIFICATES}"
    )


def _bucket(text: str, store: Location | None) -> S3Location:
    try:
        place = location_of(text)
    except Invalid as refused:
        raise Invalid([f'"{SETTING}" in {keys.CONFIG}: {mistake}' for mistake in refused.mistakes]) from refused
    assert isinstance(place, S3Location)
    if not place.prefix:
        raise Invalid(f'"{SETTING}" in {keys.CONFIG} must have a prefix, as in s3://{place.bucket}/certs')
    if "?" in text or not isinstance(store, S3Location):
        return place
    # A bucket without an endpoint is at the endpoint of the store.
    return replace(store, bucket=place.bucket, prefix=place.prefix)


def _section_store(root: Section) -> Location | None:
    return location_of_environment(_as_variables(root))


def _as_variables(root: Section) -> dict[str, str]:
    section = docassemble_keys.find(root, "s3")
    if section is None or not isinstance(section.value, Section):
        return {}
    found = {name: docassemble_keys.find(section.value, key) for name, key in _VARIABLES.items()}
    return {name: str(entry.value.plain) for name, entry in found.items() if entry and entry.value.plain is not None}
