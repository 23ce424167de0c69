"""TLS handshakes: with a running server, and in this process, to try a chain before a server has it."""

import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from da_agent.domain.certificates import pem_blocks
from da_agent.domain.certificates.pem_blocks import CERTIFICATE, Block
from da_agent.domain.certificates.server_chains import ServerChain

CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
"""The ciphers with which Apache serves TLS 1.2."""

_SECURITY_LEVEL = ":@SECLEVEL=2"
"""The one that OpenSSL has on Debian and Ubuntu."""

_NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME: dates are compared with the store's clock, not with that of this machine."""

_ROUNDS = 10
"""More messages than any handshake has."""

_WEAK = "get certificates with RSA keys of at least 2048 bits, or with the curve P-256, signed with SHA-256"
_REMEDIES = {
    "EE_KEY_TOO_SMALL": _WEAK,
    "CA_KEY_TOO_SMALL": _WEAK,
    "CA_MD_TOO_WEAK": _WEAK,
    "KEY_VALUES_MISMATCH": "put the key there that belongs to the certificate",
}


def rehearse(chain: ServerChain) -> str | None:
    """Why a handshake with `chain` fails, as one sentence; None when it succeeds."""
    try:
        context = _server(chain)
    except (ssl.SSLError, ValueError) as error:
        return f"OpenSSL cannot serve it: {_reason(error)}"
    try:
        _shake(context, _client(chain.root))
    except ssl.SSLCertVerificationError as error:
        return (
            f"TLS clients refuse the chain: {error.verify_message}: check it with openssl verify -show_chain, and get"
            " the right intermediate certificates from the authority"
        )
    except ssl.SSLError as error:
        return f"the TLS handshake fails: {_reason(error)}"
    return None


def presented(host: str, port: int, seconds: float) -> tuple[bytes, ...] | None:
    """The certificates (DER) that the server presents, its own first; None when there is no handshake in time."""
    try:
        with socket.create_connection((host, port), seconds) as plain, _client(None).wrap_socket(plain) as secured:
            return _chain(secured)
    except OSError:
        return None


def _server(chain: ServerChain) -> ssl.SSLContext:
    """A server that is set up as Apache is. ssl.SSLError or ValueError when it cannot use the chain."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS + _SECURITY_LEVEL)
    blocks = [Block(CERTIFICATE, each, 0) for each in chain.certificates]
    with _file(pem_blocks.text(blocks) + chain.key) as path:
        # Without this function OpenSSL would prompt for the password of an encrypted key at the terminal.
        context.load_cert_chain(path, password=lambda: "")
    return context


def _client(root: bytes | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if root is None:
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(cadata=root)
        context.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME)
    return context


@contextmanager
def _file(data: bytes) -> Iterator[str]:
    """A file in memory, because OpenSSL reads only files: no key gets onto a disk."""
    descriptor = os.memfd_create("chain")
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        yield f"/proc/self/fd/{descriptor}"


def _shake(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = (
        client.wrap_bio(to_client, to_server),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for _ in range(_ROUNDS):
        done = [_advance(side) for side in sides]
        if all(done):
            return
    raise ssl.SSLError("the handshake does not end")


def _advance(side: ssl.SSLObject) -> bool:
    """Whether the handshake is done on this side."""
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def _chain(secured: ssl.SSLSocket) -> tuple[bytes, ...]:
    # Python has the method in public since 3.13, with bytes instead of objects.
    public: Any = getattr(secured, "get_unverified_chain", None)
    if public is not None:
        return tuple(public())
    inner: Any = secured._sslobj  # type: ignore[attr-defined]
    return tuple(ssl.PEM_cert_to_DER_cert(each.public_bytes()) for each in inner.get_unverified_chain())


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    text = str(reason or error).lower().replace("_", " ")
    return f"{text}: {_REMEDIES.get(str(reason), 'export the files again')}"
