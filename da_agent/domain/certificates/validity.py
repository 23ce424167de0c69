"""Whether the files in certs/ can be served: keys match certificates, chains are complete, nothing has expired."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from da_agent.domain.certificates import chains, file_names, pems
from da_agent.domain.certificates.pems import Pem
from da_agent.domain.store import keys
from da_agent.errors import Invalid

_WARNING_DAYS = 30
_AUTHORITIES = ("ca.pem", "_ca.crt", "-ca.crt", ".ca.crt")
"""Name endings of authorities' certificates, whose keys are kept elsewhere. The name `ca.crt` means the same."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A valid server certificate. `name` is its file below certs/.

    `subjects` are the names that it is valid for. `days_left` is the number of whole days until `not_after`.
    """

    name: str
    subjects: tuple[str, ...]
    not_after: datetime
    days_left: int
    issuer: str

    def __str__(self) -> str:
        return f"{self.name}: {', '.join(self.subjects)}, {self.days_left} days left"

    @property
    def warning(self) -> str | None:
        """A warning about the coming expiry; None while it is at least 30 days away."""
        if self.days_left >= _WARNING_DAYS:
            return None
        return f"{keys.CERTIFICATES}{self.name} expires in {self.days_left} days, on {self.not_after:%Y-%m-%d}"


def check(files: Mapping[str, bytes], *, now: datetime, trusted: Collection[bytes]) -> tuple[Certificate, ...]:
    """The server certificates among `files` (names relative to certs/), sorted by name.

    `trusted` are the subjects (DER) of the authorities that clients know. A chain must end below one of them, or below
    a root in certs/.
    Raises Invalid with every mistake at once; no sentence contains any part of a private key.
    """
    mistakes = [*file_names.impossible(files), *file_names.mistakes(files)]
    read: dict[str, Pem] = {}
    for name in sorted(files):
        if name.endswith(file_names.PEM):
            try:
                read[name] = pems.parse(files[name], keys.CERTIFICATES + name)
            except Invalid as refused:
                mistakes += refused.mistakes
    for name, pem in read.items():
        mistakes += [f"{keys.CERTIFICATES}{name}: {mistake}" for mistake in _contents(name, pem)]
    servers = [name for name, pem in read.items() if pem.certificates and _needs_key(name, pem, files)]
    anchors = {*trusted, *_roots(read)}
    for name in servers:
        found = _server(name, read, files, now=now, anchors=anchors)
        mistakes += [f"{keys.CERTIFICATES}{name}: {mistake}" for mistake in found]
    if mistakes:
        raise Invalid(mistakes)
    return tuple(_describe(name, read[name].certificates[0], now) for name in servers)


def _contents(name: str, pem: Pem) -> Iterator[str]:
    if name.endswith(".key") and len(pem.keys) != 1:
        yield f"holds {len(pem.keys) or 'no'} private keys: it must hold the one of its certificate"
    if name.endswith(".crt") and not pem.certificates:
        yield "holds no certificate"
    if pem.certificates and pem.keys and not name.endswith(".key"):
        key = keys.CERTIFICATES + _stem(name) + ".key"
        yield f"holds a private key beside certificates: move it (openssl pkey -in {name} -out {key}), delete it here"


def _needs_key(name: str, pem: Pem, files: Mapping[str, bytes]) -> bool:
    """Whether the certificate needs a key. Server certificates do; authorities, found by name or CA flag, do not."""
    if name.endswith(".key") or name.rsplit("/", 1)[-1] == "ca.crt" or name.endswith(_AUTHORITIES):
        return False
    if name.endswith(".crt") or not _can_sign(pem.certificates[0]):
        return True
    return f"{_stem(name)}.key" in files and f"{_stem(name)}.crt" not in files


def _server(
    name: str, read: Mapping[str, Pem], files: Mapping[str, bytes], *, now: datetime, anchors: Collection[bytes]
) -> Iterator[str]:
    """Every mistake in one server certificate, its key and its chain."""
    stem = _stem(name)
    key_name, others = f"{stem}.key", (f"{stem}.ca.pem", f"{stem}_ca.crt")
    chain = list(read[name].certificates)
    for other in others:
        chain += read[other].certificates if other in read else ()
    chain = list(dict.fromkeys(chain))  # both files often have the full chain, which Apache accepts
    leaf = chain[0]
    if key_name not in files:
        yield (
            f"a certificate without its key is not allowed: put {keys.CERTIFICATES}{key_name} there too; "
            f"if this is an authority's certificate, name it {stem}.ca.pem"
        )
    elif key_name in read and len(read[key_name].keys) == 1:
        # The certificate that matches the key is the server's, wherever it is in the chain.
        owner = next((each for each in chain if pems.public_half(each.public_key()) == read[key_name].keys[0]), None)
        leaf = owner or leaf
        if owner is None:
            called = chains.title(leaf)
            yield f'the key in {keys.CERTIFICATES}{key_name} does not belong to the certificate of "{called}"'
    if any(other in files and other not in read for other in others):
        return  # reported already; without that file the chain would seem incomplete
    yield from chains.mistakes(leaf, chain, f"{keys.CERTIFICATES}{others[0]}", now=now, anchors=anchors)


def _stem(name: str) -> str:
    return name.rsplit(".", 1)[0]


def _can_sign(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _roots(read: Mapping[str, Pem]) -> Iterator[bytes]:
    """The subjects (DER) of the roots in certs/. They are trusted: clients of a private authority have its root."""
    for pem in read.values():
        for certificate in pem.certificates:
            if _can_sign(certificate) and chains.issued(certificate, certificate):
                yield certificate.subject.public_bytes()


def _describe(name: str, certificate: x509.Certificate, now: datetime) -> Certificate:
    end = certificate.not_valid_after_utc
    return Certificate(name, tuple(_subjects(certificate)), end, (end - now).days, chains.issuer(certificate))


def _subjects(certificate: x509.Certificate) -> dict[str, None]:
    """The common name of the certificate, then its further alternative names, as ordered keys."""
    names = chains.common_names(certificate.subject)
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names += [*alternatives.get_values_for_type(x509.DNSName)]
        names += [str(address) for address in alternatives.get_values_for_type(x509.IPAddress)]
    except x509.ExtensionNotFound:
        pass
    return dict.fromkeys(names or [chains.title(certificate)])
