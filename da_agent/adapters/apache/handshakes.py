"""The certificates that the web server presents to a client."""

import time
from pathlib import Path

from da_agent import handshakes
from da_agent.domain.certificates import pem_blocks, server_chains, serving_pairs
from da_agent.domain.certificates.server_chains import ServerChain
from da_agent.domain.node.paths import Staged
from da_agent.errors import Invalid, NodeBroken, ReleaseBroken

PATIENCE = 10.0
"""Seconds in which a restarted Apache must read its files and present them."""
TIMEOUT = 2.0
PAUSE = 0.02


def chain(folder: Path) -> ServerChain | None:
    """What the release in `folder` presents, and its key; None without a certificate to present.

    ReleaseBroken when the files cannot be read as PEM. May raise OSError.
    """
    certificates = Staged(folder).certificates
    pair = serving_pairs.pair(path.name for path in certificates.iterdir()) if certificates.is_dir() else None
    if pair is None:
        return None
    try:
        certificate = (certificates / pair.certificate).read_bytes()
        above = (certificates / pair.chain).read_bytes() if pair.chain else None
        key = pem_blocks.read((certificates / pair.key).read_bytes(), pair.key)
        return ServerChain(server_chains.read(certificate, above, pair.certificate), pem_blocks.text(key))
    except Invalid as refused:
        raise ReleaseBroken(f"cannot present the certificates in {certificates}: {refused}") from refused


def wait_for(folder: Path, host: str, port: int) -> None:
    """Return once `host`:`port` presents the whole chain of the release in `folder`.

    NodeBroken when the release has none, or after PATIENCE. May raise OSError for the files.
    """
    wanted, place = chain(folder), Staged(folder).certificates
    if wanted is None:
        raise NodeBroken(f"cannot present the certificate in {place}: the file has disappeared")
    ends = time.monotonic() + PATIENCE
    while handshakes.presented(host, port, TIMEOUT) != wanted.certificates:
        if time.monotonic() > ends:
            raise NodeBroken(
                f"port {port} does not present the certificates in {place}: the log of the program tls may tell why"
            )
        time.sleep(PAUSE)
