"""PEM text in blocks, as OpenSSL reads it.

OpenSSL takes every line that is not exactly a marker for a comment, so that one character hides a certificate. Text
that looks like a marker and is none, and blocks that versions of OpenSSL read differently, are errors here.
"""

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from da_agent.errors import Invalid

CERTIFICATE = "CERTIFICATE"
_SYNONYMS = {"X509 CERTIFICATE": CERTIFICATE}
_PARAMETERS = ("DH PARAMETERS", "X9.42 DH PARAMETERS", "EC PARAMETERS")
_KEY = "PRIVATE KEY"

_MARKER = re.compile(rb"-----(BEGIN|END) ([A-Z0-9][A-Z0-9 .]*)-----")
_LIKE_MARKER = re.compile(
    rb"-----\s*(?:BEGIN|END)\b|[-\x80-\xff]\s*(?:BEGIN|END)\s[A-Z0-9 .]*(?:CERTIFICATE|KEY|PARAMETERS)", re.IGNORECASE
)
_DATA = re.compile(rb"[A-Za-z0-9+/]+={0,2}")
_HEADER = re.compile(rb"[A-Za-z-]+:")
_WIDTH = 64

_WITHOUT_SPACES = "delete them (sed -i 's/^[ \\t]*//' {0})"
_CONVERSIONS = {
    "TRUSTED CERTIFICATE": "openssl x509 -in {0} -out {0}",
    "PKCS7": "openssl pkcs7 -print_certs -in {0} -out {0}",
    "CMS": "openssl cms -cmsout -in {0}",
}


@dataclass(frozen=True, slots=True)
class Block:
    """One certificate, key or set of parameters: `data` is DER. `line` is that of its first marker."""

    label: str
    data: bytes = field(repr=False)  # may be a private key
    line: int

    @property
    def is_key(self) -> bool:
        return self.label.endswith(_KEY)


def read(data: bytes, name: str) -> tuple[Block, ...]:
    """Every block of the file `name`, which may have comments between them.

    Invalid, with `name` and the line but never the contents, for text that OpenSSL reads otherwise than it looks.
    """
    lines = iter(enumerate(_lines(data), 1))
    blocks = []
    for number, line in lines:
        marker = _marker(line, name, number)
        if marker is None:
            continue
        kind, label = marker
        if kind == b"END":
            raise Invalid(f"{name} line {number}: -----END {label}----- has no -----BEGIN {label}----- before it")
        _check_label(label, name, number)
        blocks.append(Block(_SYNONYMS.get(label, label), _body(lines, label, name, number), number))
    if not blocks:
        raise Invalid(f"{name}: {_foreign(data, name)}")
    return tuple(blocks)


def text(blocks: Iterable[Block]) -> bytes:
    """The blocks as every program reads them: lines of 64 characters, no comments."""
    return b"".join(line + b"\n" for block in blocks for line in _written(block))


def _written(block: Block) -> Iterator[bytes]:
    encoded, label = b64encode(block.data), block.label.encode()
    yield b"-----BEGIN %s-----" % label
    yield from (encoded[start : start + _WIDTH] for start in range(0, len(encoded), _WIDTH))
    yield b"-----END %s-----" % label


def _lines(data: bytes) -> list[bytes]:
    return [line.rstrip(b" \t\r\v\f") for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n")]


def _marker(line: bytes, name: str, number: int) -> tuple[bytes, str] | None:
    """BEGIN or END, and the label; None for any other line. Invalid for a line that only looks like a marker."""
    match = _MARKER.fullmatch(line)
    if match is not None:
        return match[1], match[2].decode()
    if not _LIKE_MARKER.search(line):
        return None
    if b"\r" in line:
        slip = "the lines end with CR alone, which OpenSSL does not read"
        remedy = f"convert them (tr '\\r' '\\n' < {name})"
    elif line[:1] in b" \t":
        slip = "spaces before a marker, which OpenSSL does not read"
        remedy = _WITHOUT_SPACES.format(name)
    else:
        slip = "a marker such as -----BEGIN CERTIFICATE----- must stand on a line of its own, exactly in this form"
        remedy = "begin a new line before it and after it"
    raise Invalid(f"{name} line {number}: {slip}: {remedy}")


def _check_label(label: str, name: str, number: int) -> None:
    if label == "ENCRYPTED PRIVATE KEY":
        raise Invalid(_encrypted(name))
    if label in (CERTIFICATE, *_SYNONYMS, *_PARAMETERS) or label.endswith(_KEY):
        return
    remedy = f"convert it ({_CONVERSIONS[label].format(name)})" if label in _CONVERSIONS else "delete it"
    raise Invalid(f"{name} line {number}: {label} is neither a certificate nor a private key: {remedy}")


def _body(lines: Iterator[tuple[int, bytes]], label: str, name: str, begun: int) -> bytes:
    """The bytes between the markers."""
    found: list[bytes] = []
    for number, line in lines:
        place = f"{name} line {number}"
        marker = _marker(line, name, number)
        if marker == (b"END", label):
            return _decoded(found, f"{name} line {begun}")
        if marker is not None:
            raise Invalid(f"{place}: -----BEGIN {label}----- in line {begun} has no -----END {label}----- before this")
        _check_data(line, label, place, found, name)
        found.append(line)
    raise Invalid(f"{name}: is cut off: -----BEGIN {label}----- in line {begun} has no -----END {label}-----")


def _check_data(line: bytes, label: str, place: str, before: list[bytes], name: str) -> None:
    if label.endswith(_KEY) and not before and line.startswith(b"Proc-Type:"):
        raise Invalid(_encrypted(name))
    if _HEADER.match(line):
        raise Invalid(f"{place}: a header is not allowed in a {label}: delete it, and the empty line after it")
    if not _DATA.fullmatch(line) or (before and before[-1].endswith(b"=")):
        raise Invalid(f"{place}: a line of the {label} {_slip(line, name)}")


def _slip(line: bytes, name: str) -> str:
    if not line:
        return "is empty: delete the line"
    if line[:1] in b" \t":
        return f"begins with spaces: {_WITHOUT_SPACES.format(name)}"
    return "has more in it than base64: export the file again"


def _encrypted(name: str) -> str:
    remedy = f"store it without (openssl pkey -in {name} -out {name})"
    return f"{name}: is protected by a passphrase, which cannot be typed when a node starts: {remedy}"


def _decoded(lines: list[bytes], place: str) -> bytes:
    try:
        data = b64decode(b"".join(lines), validate=True)
    except binascii.Error:
        data = b""
    if not data:
        raise Invalid(f"{place}: the block that begins here is damaged: export the file again")
    return data


def _foreign(data: bytes, name: str) -> str:
    if not data.strip():
        return "is empty"
    if data.startswith(b"\x30"):
        tool = "openssl pkey" if name.endswith(".key") else "openssl x509"
        return f"is in the binary format DER: make it PEM ({tool} -inform der -in {name} -out {name})"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return f"is UTF-16 text: convert it (iconv -f utf-16 -t ascii {name})"
    return "is not in the format PEM: it has no line such as -----BEGIN CERTIFICATE-----"
