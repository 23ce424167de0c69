"""OpenSSL's own reader of PEM, in this process: the library that Python's ssl module uses."""

import _ssl
import ctypes
from ctypes import POINTER, byref, c_char_p, c_int, c_long, c_ulong, c_void_p

_library = ctypes.CDLL(_ssl.__file__)
_library.BIO_new_mem_buf.restype = c_void_p
_library.BIO_new_mem_buf.argtypes = [c_char_p, c_int]
_library.BIO_free.argtypes = [c_void_p]
_library.PEM_read_bio.argtypes = [c_void_p, *[POINTER(c_void_p)] * 3, POINTER(c_long)]
_library.CRYPTO_free.argtypes = [c_void_p, c_char_p, c_int]
_library.ERR_peek_last_error.restype = c_ulong

_REASON = 0x7FFFFF
_NO_START_LINE = 108
"""The reason of the error at the end of a file: the rest of it has no marker."""


def pem_blocks(data: bytes) -> list[tuple[str, bytes]] | None:
    """Label and bytes of every block, as OpenSSL reads them; None when it stops at an error or sees a header."""
    bio, found = _library.BIO_new_mem_buf(data, len(data)), []
    try:
        while (block := _next(bio)) is not None:
            found.append(block)
        at_end = _library.ERR_peek_last_error() & _REASON == _NO_START_LINE
    finally:
        _library.BIO_free(bio)
    return [(label, body) for label, _, body in found] if at_end and not any(each[1] for each in found) else None


def _next(bio: int) -> tuple[str, bytes, bytes] | None:
    """Label, header and bytes of the next block."""
    label, header, body, size = c_void_p(), c_void_p(), c_void_p(), c_long()
    _library.ERR_clear_error()
    if _library.PEM_read_bio(bio, byref(label), byref(header), byref(body), byref(size)) != 1:
        return None
    found = (ctypes.string_at(label.value or 0), ctypes.string_at(header.value or 0))
    data = ctypes.string_at(body.value or 0, size.value)
    for each in (label, header, body):
        _library.CRYPTO_free(each, b"", 0)
    return found[0].decode("latin-1"), found[1], data
