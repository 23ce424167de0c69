"""The certificate authorities that this machine trusts."""

from __future__ import annotations

import ssl
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


def trusted_roots() -> tuple[Certificate, ...]:
    """The system's root certificates; none where the machine has no bundle."""
    # Imported here: it takes 8 MB, and most nodes never read a certificate.
    from cryptography import x509

    path = Path(ssl.get_default_verify_paths().cafile or BUNDLE)
    bundle = path if path.exists() else BUNDLE
    try:
        with warnings.catch_warnings():
            # Some authorities' own certificates break the rules; users cannot repair that.
            warnings.simplefilter("ignore")
            return tuple(x509.load_pem_x509_certificates(bundle.read_bytes()))
    except (OSError, ValueError):
        return ()
