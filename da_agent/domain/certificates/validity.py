"""Whether the files in certs/ can be served: keys match certificates, chains are complete, nothing has expired."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from da_agent.domain.certificates import (
    chains,
    file_names,
    lone_keys,
    misnamed,
    pem_blocks,
    pems,
    server_chains,
    serving_pairs,
)
from da_agent.domain.certificates.anchors import Anchors, issued
from da_agent.domain.certificates.anchors import anchors as anchors_of
from da_agent.domain.certificates.chains import Findings
from da_agent.domain.certificates.names import common_names, issuer, title
from da_agent.domain.certificates.pems import Pem
from da_agent.domain.certificates.server_chains import ServerChain
from da_agent.domain.store import keys
from da_agent.errors import Invalid

_WARNING_DAYS = 30
_AUTHORITIES = ("ca.pem", "_ca.crt", "-ca.crt", ".ca.crt")
"""Name endings of authorities' certificates, whose keys are kept elsewhere. The name `ca.crt` means the same."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A valid server certificate. `name` is its file below certs/.

    `subjects` are the names that it is valid for. `days_left` is the number of whole days until `not_after`.
    `remarks` are sentences about its chain that need no action now.
    """

    name: str
    subjects: tuple[str, ...]
    not_after: datetime
    days_left: int
    issuer: str
    remarks: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}: {', '.join(self.subjects)}, {self.days_left} days left"

    @property
    def warnings(self) -> tuple[str, ...]:
        """Each begins with the name of the file. The coming expiry counts while it is less than 30 days away."""
        called = f"{keys.CERTIFICATES}{self.name}"
        found = [f"{called}: {remark}" for remark in self.remarks]
        if self.days_left < _WARNING_DAYS:
            found.append(f"{called} expires in {self.days_left} days, on {self.not_after:%Y-%m-%d}")
        return tuple(found)

    @property
    def told(self) -> tuple[str, ...]:
        """What an admin is told: the warnings, or else what the certificate is for."""
        return self.warnings or (f"{keys.CERTIFICATES}{self}",)


Handshake = Callable[[ServerChain], str | None]
"""Why a handshake with a chain fails, as one sentence; None when it succeeds."""


def check(
    files: Mapping[str, bytes], *, now: datetime, trusted: Iterable[x509.Certificate], handshake: Handshake
) -> tuple[Certificate, ...]:
    """The server certificates among `files` (names relative to certs/), sorted by name.

    `trusted` are the roots that clients know. A chain must end below one of them, or below a root in certs/.
    The web server's own certificate is tried in a `handshake`.
    Raises Invalid with every mistake at once; no sentence contains any part of a private key.
    """
    renames = misnamed.right_names(files)
    mistakes = [*file_names.impossible(files), *file_names.mistakes(files, renames), *misnamed.mistakes(files)]
    read = _read({name: data for name, data in files.items() if name not in renames}, mistakes)
    # A misnamed file is judged once it has its right name, and until then it is missing nowhere.
    names = {*files, *filter(None, renames.values())}
    mistakes += lone_keys.mistakes(read, names)
    anchors = anchors_of((*trusted, *_roots(read)), now)
    found = []
    for name, pem in read.items():
        if pem.certificates and _needs_key(name, pem, names):
            findings = _server(name, read, names, now=now, anchors=anchors)
            if name == _served(names) and not mistakes and not findings.mistakes:
                findings = _tried(findings, read, name, files[f"{_stem(name)}.key"], handshake)
            mistakes += [f"{keys.CERTIFICATES}{name}: {mistake}" for mistake in findings.mistakes]
            found.append(_describe(name, pem.certificates[0], now, findings.warnings))
    if mistakes:
        raise Invalid(mistakes)
    return tuple(found)


def _read(files: Mapping[str, bytes], mistakes: list[str]) -> dict[str, Pem]:
    """The PEM files that can be read, sorted by name; appends what is wrong with each one alone to `mistakes`."""
    read: dict[str, Pem] = {}
    for name in sorted(files):
        if name.endswith(file_names.PEM):
            try:
                read[name] = pems.parse(files[name], keys.CERTIFICATES + name)
            except Invalid as refused:
                mistakes += refused.mistakes
    for name, pem in read.items():
        mistakes += [f"{keys.CERTIFICATES}{name}: {mistake}" for mistake in _contents(name, pem)]
    return read


def _contents(name: str, pem: Pem) -> Iterator[str]:
    if name.endswith(".key") and len(pem.keys) != 1:
        yield f"holds {len(pem.keys) or 'no'} private keys: it must hold the one of its certificate"
    if name.endswith(".crt") and not pem.certificates:
        yield "holds no certificate"
    if pem.certificates and pem.keys and not name.endswith(".key"):
        key = keys.CERTIFICATES + _stem(name) + ".key"
        yield f"holds a private key beside certificates: move it (openssl pkey -in {name} -out {key}), delete it here"


def _needs_key(name: str, pem: Pem, names: Collection[str]) -> bool:
    """Whether the certificate needs a key. Server certificates do; authorities, found by name or CA flag, do not."""
    if name.endswith(".key") or name.rsplit("/", 1)[-1] == "ca.crt" or name.endswith(_AUTHORITIES):
        return False
    if name.endswith(".crt") or not _can_sign(pem.certificates[0]):
        return True
    return f"{_stem(name)}.key" in names and f"{_stem(name)}.crt" not in names


def _server(name: str, read: Mapping[str, Pem], names: Collection[str], *, now: datetime, anchors: Anchors) -> Findings:
    """What is wrong with one server certificate, its key and its chain."""
    stem, is_served = _stem(name), name == _served(names)
    others = _above(stem)
    chain = _chain(name, read, is_served=is_served)
    leaf, mistakes = _leaf(stem, chain, read, names)
    if any(other in names and other not in read for other in others):
        return Findings(mistakes)  # reported already; without that file the chain would seem incomplete
    to_mend = name if is_served and others[0] not in names and len(read[name].certificates) > 1 else others[0]
    findings = chains.examine(leaf, chain, f"{keys.CERTIFICATES}{to_mend}", now=now, anchors=anchors)
    return replace(findings, mistakes=(*mistakes, *findings.mistakes))


def _tried(findings: Findings, read: Mapping[str, Pem], name: str, key: bytes, handshake: Handshake) -> Findings:
    """The findings after a handshake with the web server's certificates."""
    assert findings.root is not None, "a chain without mistakes ends at a root"
    presented = tuple(each.public_bytes(Encoding.DER) for each in _chain(name, read, is_served=True))
    only_key = pem_blocks.text(block for block in pem_blocks.read(key, name) if block.is_key)
    refused = handshake(ServerChain(presented, only_key, findings.root.public_bytes(Encoding.DER)))
    # What is not needed may be what leads clients astray.
    return findings if refused is None else replace(findings, mistakes=(refused, *findings.warnings))


def _served(names: Iterable[str]) -> str | None:
    """The file whose certificate the web server presents."""
    pair = serving_pairs.pair(names)
    return None if pair is None else pair.certificate


def _chain(name: str, read: Mapping[str, Pem], *, is_served: bool) -> tuple[x509.Certificate, ...]:
    """The certificates that belong together: those that the web server presents, or for other programs all."""
    own = read[name].certificates
    above = [each for other in _above(_stem(name)) if other in read for each in read[other].certificates]
    if is_served:
        main = read.get(_above(_stem(name))[0])
        return server_chains.presented(own, main.certificates if main else None)
    return (*own, *(each for each in above if each not in own))


def _above(stem: str) -> tuple[str, str]:
    """The files with the certificates above a server's."""
    return f"{stem}.ca.pem", f"{stem}_ca.crt"


def _leaf(
    stem: str, chain: Sequence[x509.Certificate], read: Mapping[str, Pem], names: Collection[str]
) -> tuple[x509.Certificate, tuple[str, ...]]:
    """The server's certificate, and the mistakes in its key. It is the one that matches the key, wherever it is."""
    key_name = f"{stem}.key"
    if key_name not in names:
        return chain[0], (_without_key(stem, _place_of_key(chain[0], read)),)
    if key_name not in read or len(read[key_name].keys) != 1:
        return chain[0], ()
    owner = next((each for each in chain if pems.public_half(each.public_key()) == read[key_name].keys[0]), None)
    if owner is not None:
        return owner, ()
    called = title(chain[0])
    wrong = f'the key in {keys.CERTIFICATES}{key_name} does not belong to the certificate of "{called}"'
    return chain[0], (wrong,)


def _place_of_key(certificate: x509.Certificate, read: Mapping[str, Pem]) -> str | None:
    """The file with nothing but the key of a certificate."""
    key = pems.public_half(certificate.public_key())
    return next((name for name, pem in read.items() if pem.keys == (key,) and not pem.certificates), None)


def _without_key(stem: str, there: str | None) -> str:
    """The mistake of a certificate without its key, which is in the file `there`, if anywhere."""
    key = f"{keys.CERTIFICATES}{stem}.key"
    if there is not None:
        here = keys.CERTIFICATES + there
        return f"its key is in {here}, where no program looks for it: rename that file (mv {here} {key})"
    return (
        f"a certificate without its key is not allowed: put {key} there too; "
        f"if this is an authority's certificate, name it {stem}.ca.pem"
    )


def _stem(name: str) -> str:
    return name.rsplit(".", 1)[0]


def _can_sign(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _roots(read: Mapping[str, Pem]) -> Iterator[x509.Certificate]:
    """The roots in certs/. They are trusted: clients of a private authority have its root."""
    for pem in read.values():
        for certificate in pem.certificates:
            if _can_sign(certificate) and issued(certificate, certificate):
                yield certificate


def _describe(name: str, certificate: x509.Certificate, now: datetime, remarks: tuple[str, ...]) -> Certificate:
    end = certificate.not_valid_after_utc
    return Certificate(name, tuple(_subjects(certificate)), end, (end - now).days, issuer(certificate), remarks)


def _subjects(certificate: x509.Certificate) -> dict[str, None]:
    """The common name of the certificate, then its further alternative names, as ordered keys."""
    found = common_names(certificate.subject)
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found += [*alternatives.get_values_for_type(x509.DNSName)]
        found += [str(address) for address in alternatives.get_values_for_type(x509.IPAddress)]
    except x509.ExtensionNotFound:
        pass
    return dict.fromkeys(found or [title(certificate)])
