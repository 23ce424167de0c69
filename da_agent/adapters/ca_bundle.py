"""The certificate authorities that this machine trusts."""

import ssl
import warnings
from pathlib import Path

BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


def trusted_subjects() -> frozenset[bytes]:
    """The subjects (DER) of the system's root certificates; empty where the machine has none."""
    # Imported here: it takes 8 MB, and most nodes never read a certificate.
    from cryptography import x509

    path = Path(ssl.get_default_verify_paths().cafile or BUNDLE)
    bundle = path if path.exists() else BUNDLE
    try:
        with warnings.catch_warnings():
            # Some authorities' own certificates break the rules; users cannot repair that.
            warnings.simplefilter("ignore")
            certificates = x509.load_pem_x509_certificates(bundle.read_bytes())
            return frozenset(each.subject.public_bytes() for each in certificates)
    except (OSError, ValueError):
        return frozenset()
