"""The authorities that clients trust."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509 import Certificate

from da_agent.domain.certificates.pems import public_half


def issued(certificate: Certificate, by: Certificate) -> bool:
    """Whether `by` signed `certificate`: the names match and the signature is valid."""
    try:
        certificate.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


@dataclass(frozen=True, slots=True)
class Anchors:
    """Trusted roots by subject (DER)."""

    roots: Mapping[bytes, tuple[Certificate, ...]]

    def twin(self, certificate: Certificate) -> Certificate | None:
        """The root with the subject and the key of `certificate`, which another authority may have signed."""
        key, roots = public_half(certificate.public_key()), self._named(certificate.subject.public_bytes())
        return next((root for root in roots if public_half(root.public_key()) == key), None)

    def issuer(self, certificate: Certificate) -> Certificate | None:
        """The root that signed `certificate`."""
        roots = self._named(certificate.issuer.public_bytes())
        return next((root for root in roots if issued(certificate, root)), None)

    def _named(self, subject: bytes) -> tuple[Certificate, ...]:
        return self.roots.get(subject, ())


def anchors(certificates: Iterable[Certificate], now: datetime) -> Anchors:
    """The anchors among `certificates`: those that are valid at `now`. A key that cannot be read makes no anchor."""
    roots: dict[bytes, tuple[Certificate, ...]] = {}
    for each in filter(lambda each: is_valid(each, now) and _is_readable(each), certificates):
        subject = each.subject.public_bytes()
        roots[subject] = (*roots.get(subject, ()), each)
    return Anchors(roots)


def is_valid(certificate: Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def _is_readable(certificate: Certificate) -> bool:
    try:
        certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return False
    return True
