"""The names in certificates, for messages."""

from cryptography.x509 import Certificate, Name
from cryptography.x509.oid import NameOID


def title(certificate: Certificate) -> str:
    return _called(certificate.subject)


def issuer(certificate: Certificate) -> str:
    return _called(certificate.issuer)


def common_names(name: Name) -> list[str]:
    return [_printable(str(attribute.value)) for attribute in name.get_attributes_for_oid(NameOID.COMMON_NAME)]


def _called(name: Name) -> str:
    """The common name, or else the whole distinguished name."""
    return next(iter(common_names(name)), "") or _printable(name.rfc4514_string()) or "(no name)"


def _printable(text: str) -> str:
    """`text` with a ? for each unprintable character.

    A certificate can have any name, and unprintable characters in it could control a terminal.
    """
    return "".join(each if each.isprintable() else "?" for each in text)
