"""The location of the store, from a URL or docassemble's own variables."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from da_agent.domain.store.names import is_absolute, is_relative
from da_agent.errors import Invalid

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_NAME_OF_BUCKET = "2 to 255 letters, digits and ._-, of which the first is a letter or a digit"
_REGION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_ENDPOINT = re.compile(r"https?://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?(?:/[^\s?#@\\]*)?")
_PARAMETERS = ("endpoint_url", "region", "path_style")
_FLAGS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_UNSET = ("", "null", "Null", "None")
_ALGORITHMS = ("AES256", "aws:kms", "aws:kms:dsse")
_NO_CREDENTIALS = (
    "the store's URL must not have credentials in it; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
    "(or S3ACCESSKEY and S3SECRETACCESSKEY) in the environment"
)


@dataclass(frozen=True, slots=True)
class S3Location:
    """A bucket, or the part of it below `prefix` (no slash at either end; empty for the whole bucket).

    endpoint_url   None for Amazon's own endpoint
    path_style     whether the bucket's name is in the path of a request, not in the host name
    server_side_encryption, kms_key_id   the encryption of each object; None for the bucket's default
    """

    bucket: str
    prefix: str
    endpoint_url: str | None
    region: str | None
    path_style: bool
    server_side_encryption: str | None = None
    kms_key_id: str | None = None

    @property
    def url(self) -> str:
        """The URL that `location_of` parses back to this location, without the encryption, which no URL can express."""
        style = None if self.path_style == (self.endpoint_url is not None) else str(self.path_style).lower()
        values = zip(_PARAMETERS, (self.endpoint_url, self.region, style), strict=True)
        query = "&".join(f"{name}={_quoted(value)}" for name, value in values if value is not None)
        folder = f"/{_quoted(self.prefix)}" if self.prefix else ""
        return f"s3://{self.bucket}{folder}{query and '?' + query}"

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True)
class DirectoryLocation:
    """A directory that all nodes share. `path` is absolute."""

    path: Path

    @property
    def url(self) -> str:
        return f"file://{_quoted(self.path.as_posix())}"

    def __str__(self) -> str:
        return self.url


Location = S3Location | DirectoryLocation


def location_of(url: str) -> Location:
    """The location in `url`. Raises Invalid with every mistake at once; no mistake repeats a secret."""
    mistakes: list[str] = []
    scheme, _, rest = url.partition("://")
    if "#" in url:
        mistakes.append("the store's URL must not have a # in it; write %23")
    address, question, query = rest.partition("?")
    if scheme == "file":
        if question:
            mistakes.append("a store in a directory has no parameters: its URL must not have a ? in it; write %3F")
        location: Location = DirectoryLocation(_directory(address, mistakes))
    elif scheme == "s3":
        location = _s3_location(address, query, mistakes)
    else:
        mistakes.append("the store's URL must begin with file:/// or s3://")
    if mistakes:
        raise Invalid(mistakes)
    return location


def location_of_environment(variables: Mapping[str, str]) -> Location | None:
    """The location in DA_AGENT_STORE, or else in S3ENABLE, S3BUCKET, S3REGION and S3ENDPOINTURL; None without a store.

    The S3_SSE_ variables set the encryption in both cases. An empty variable counts as unset.
    Raises Invalid with every mistake at once.
    """
    mistakes: list[str] = []
    location: Location | None = None
    with _collected(mistakes):
        url = _text(variables, "DA_AGENT_STORE")
        location = location_of(url) if url else _location_of_bucket(variables)
    if isinstance(location, S3Location) or mistakes:
        algorithm, kms_key_id = _encryption(variables, mistakes)
        if isinstance(location, S3Location):
            location = replace(location, server_side_encryption=algorithm, kms_key_id=kms_key_id)
    if mistakes:
        raise Invalid(mistakes)
    return location


def credentials_of(variables: Mapping[str, str]) -> tuple[str, str] | None:
    """S3ACCESSKEY and S3SECRETACCESSKEY; None when unset: then the AWS variables or the machine's role apply.

    Invalid when only one of them is set.
    """
    key, secret = _text(variables, "S3ACCESSKEY"), _text(variables, "S3SECRETACCESSKEY")
    if key and secret:
        return key, secret
    if key or secret:
        missing = "S3SECRETACCESSKEY" if key else "S3ACCESSKEY"
        raise Invalid(f"S3ACCESSKEY and S3SECRETACCESSKEY belong together: {missing} is missing")
    return None


# ---- URLs -----------------------------------------------------------------------------------------------------


def _directory(address: str, mistakes: list[str]) -> Path:
    host, _, _ = address.partition("/")
    with _collected(mistakes):
        path = _unquoted(address.removeprefix(host), "path")
        if host not in ("", "localhost") or not is_absolute(path):
            mistakes.append("the store's URL must name an absolute path without .., as in file:///srv/cluster")
        elif not path.strip("/"):
            mistakes.append("the store must be a directory of its own, as in file:///srv/cluster, not the root")
        return Path(path)
    return Path("/")


def _s3_location(address: str, query: str, mistakes: list[str]) -> S3Location:
    bucket, _, folder = address.partition("/")
    prefix = ""
    if "@" in bucket:
        mistakes.append(_NO_CREDENTIALS)
    elif not bucket:
        mistakes.append("the store's URL names no bucket; write s3://bucket or s3://bucket/prefix")
    elif not _BUCKET.fullmatch(bucket):
        # The message does not repeat the text: it may be a key, a colon and a secret.
        mistakes.append(f"what follows s3:// in the store's URL must be the name of a bucket: {_NAME_OF_BUCKET}")
    with _collected(mistakes):
        prefix = _unquoted(folder, "prefix").strip("/")
    if prefix and not is_relative(prefix):
        mistakes.append("the prefix in the store's URL must not have empty parts, . or .. in it")
    given = _parameters(query, mistakes)
    endpoint_url = given.get("endpoint_url")
    return S3Location(
        bucket=bucket,
        prefix=prefix,
        endpoint_url=_endpoint(endpoint_url, "endpoint_url", mistakes),
        region=_region(given.get("region"), "region", mistakes),
        path_style=_flag(given.get("path_style"), "path_style", endpoint_url is not None, mistakes),
    )


def _parameters(query: str, mistakes: list[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for part in query.split("&") if query else ():
        name, equals, value = part.partition("=")
        if not equals and part not in _PARAMETERS:
            # The message does not repeat the text: it may be a secret.
            mistakes.append("a parameter in the store's URL has no name; write name=value")
        elif name not in _PARAMETERS:
            mistakes.append(f"unknown parameter {name!r} in the store's URL; known are {', '.join(_PARAMETERS)}")
            if re.search("key|secret|token|password|credential", name.lower()):
                mistakes.append(_NO_CREDENTIALS)
        elif name in given:
            mistakes.append(f"the parameter {name} is in the store's URL twice")
        elif not value:
            mistakes.append(f"the parameter {name} in the store's URL has no value")
        else:
            with _collected(mistakes):
                given[name] = _unquoted(value, name)
    return given


def _unquoted(text: str, what: str) -> str:
    try:
        octets = re.sub(rb"%([0-9A-Fa-f]{2})", lambda match: bytes.fromhex(match[1].decode()), text.encode())
        decoded = octets.decode()
    except UnicodeError as error:
        raise Invalid(f"the {what} in the store's URL is not UTF-8 text") from error
    if not decoded.isprintable():
        raise Invalid(f"the {what} in the store's URL has characters in it that cannot be printed")
    return decoded


def _quoted(text: str) -> str:
    octets = text.encode(errors="surrogateescape")
    return re.sub(rb"[^A-Za-z0-9._~/:-]", lambda match: b"%%%02X" % match[0][0], octets).decode()


@contextmanager
def _collected(mistakes: list[str]) -> Iterator[None]:
    try:
        yield
    except Invalid as error:
        mistakes.extend(error.mistakes)


# ---- variables ------------------------------------------------------------------------------------------------


def _location_of_bucket(variables: Mapping[str, str]) -> S3Location | None:
    mistakes: list[str] = []
    bucket = _text(variables, "S3BUCKET")
    enabled = _flag(_text(variables, "S3ENABLE"), "S3ENABLE", bucket is not None, mistakes)
    if not enabled and not mistakes:
        return None
    if bucket is None:
        mistakes.append("S3ENABLE is set, but S3BUCKET does not name a bucket")
    elif not _BUCKET.fullmatch(bucket):
        mistakes.append(f"S3BUCKET is not the name of a bucket: {_NAME_OF_BUCKET}")
    endpoint_url = _endpoint(_text(variables, "S3ENDPOINTURL"), "S3ENDPOINTURL", mistakes)
    region = _region(_text(variables, "S3REGION"), "S3REGION", mistakes)
    if mistakes:
        raise Invalid(mistakes)
    return S3Location(bucket or "", "", endpoint_url, region, path_style=endpoint_url is not None)


def _encryption(variables: Mapping[str, str], mistakes: list[str]) -> tuple[str | None, str | None]:
    kms_key_id = _text(variables, "S3_SSE_KMS_KEY_ID")
    algorithm = _text(variables, "S3_SSE_ALGORITHM") or ("aws:kms" if kms_key_id else None)
    if algorithm and algorithm not in _ALGORITHMS:
        mistakes.append(f"S3_SSE_ALGORITHM must be one of {', '.join(_ALGORITHMS)}")
    if algorithm == "AES256" and kms_key_id:
        mistakes.append("S3_SSE_KMS_KEY_ID needs S3_SSE_ALGORITHM=aws:kms, not AES256")
    # Files uploaded with plain tools would not be encrypted with the customer's key, and the nodes could not read them.
    mistakes.extend(
        f"{name} cannot be used for the store of a cluster; use S3_SSE_ALGORITHM=aws:kms"
        for name in ("S3_SSE_CUSTOMER_ALGORITHM", "S3_SSE_CUSTOMER_KEY")
        if _text(variables, name)
    )
    return algorithm, kms_key_id


def _text(variables: Mapping[str, str], name: str) -> str | None:
    value = variables.get(name, "")
    return None if value in _UNSET else value


def _endpoint(text: str | None, name: str, mistakes: list[str]) -> str | None:
    if text is None:
        return None
    match = _ENDPOINT.fullmatch(text)
    if "@" in text:
        mistakes.append(f"{name} must not have credentials in it")
    elif not match or int(match["port"] or 1) not in range(1, 65536):
        mistakes.append(f"{name} must be an address such as https://minio.example.com:9000")
    return text.rstrip("/")


def _region(text: str | None, name: str, mistakes: list[str]) -> str | None:
    if text is not None and not _REGION.fullmatch(text):
        mistakes.append(f"{name} must be the name of a region, such as eu-central-1")
    return text


def _flag(text: str | None, name: str, default: bool, mistakes: list[str]) -> bool:
    if text is None:
        return default
    if text.lower() not in _FLAGS:
        mistakes.append(f"{name} must be true or false")
    return _FLAGS.get(text.lower(), default)
