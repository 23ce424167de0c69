"""The certificate that the web server presents to a client."""

import ssl
import time
from pathlib import Path

from da_agent.errors import NodeBroken

PATIENCE = 10.0
"""Seconds in which a restarted Apache must read its files and present them."""
TIMEOUT = 2.0
PAUSE = 0.02


def wait_for(certificate: Path, host: str, port: int) -> None:
    """Return once `host`:`port` presents `certificate`; NodeBroken after PATIENCE. May raise OSError for the file."""
    wanted = _first(certificate.read_text(encoding="ascii", errors="replace"))
    ends = time.monotonic() + PATIENCE
    while _presented(host, port) != wanted:
        if time.monotonic() > ends:
            raise NodeBroken(f"port {port} does not present {certificate}: the log of the program tls may tell why")
        time.sleep(PAUSE)


def _presented(host: str, port: int) -> bytes | None:
    try:
        return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((host, port), timeout=TIMEOUT))
    except OSError:
        return None


def _first(text: str) -> bytes:
    begin, end = text.find(ssl.PEM_HEADER), text.find(ssl.PEM_FOOTER)
    return ssl.PEM_cert_to_DER_cert(text[begin : end + len(ssl.PEM_FOOTER)])
