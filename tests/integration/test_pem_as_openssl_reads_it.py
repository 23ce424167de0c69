"""What is read from a PEM file must be what OpenSSL reads from it, or the file is refused."""

import base64

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from da_agent.domain.certificates import pem_blocks
from da_agent.errors import Invalid
from tests import openssl

LABELS = ("CERTIFICATE", "X509 CERTIFICATE", "PRIVATE KEY", "RSA PRIVATE KEY", "EC PARAMETERS", "TRUSTED CERTIFICATE")
COMMENTS = (
    b"", b" ", b"subject=CN = a", b"Bag Attributes", b"    friendlyName: -----x-----", b"QUJD", b"\xc3\xa4", b"\0",
    b"-----", b"----BEGIN CERTIFICATE-----", b"-----BEGIN CERTIFICATE----", b"-----begin certificate-----", b"x" * 300,
    b"x" * 254 + b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----", b"\xe2\x80\x94BEGIN CERTIFICATE-----",
    b"Proc-Type: 4,ENCRYPTED", b"a: b", b"-----BEGIN PKCS7-----", b"==", b"QQ==",
)  # fmt: skip
ENDS = (b"\n", b"\r\n", b" \n", b"\t\r\n", b"\r", b"", b"\x0b\n", b"\x00\n", b"\x80\n")
STARTS = (b"", b" ", b"\t", b"\xef\xbb\xbf", b"#", b"\xc2\xa0")
WIDTHS = (1, 4, 63, 64, 76, 253, 254, 255, 508, 4000)

often = st.integers(0, 9)


@st.composite
def blocks(draw: st.DrawFn) -> list[bytes]:
    """The lines of one block; some slips."""
    encoded = base64.b64encode(draw(st.binary(min_size=0, max_size=400)))
    width, label = draw(st.sampled_from(WIDTHS)), draw(st.sampled_from(LABELS)).encode()
    lines = [encoded[start : start + width] for start in range(0, len(encoded), width)]
    end = label if draw(often) else draw(st.sampled_from(LABELS)).encode()
    lines = [b"-----BEGIN %s-----" % label, *lines, b"-----END %s-----" % end]
    if not draw(often):
        lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from(COMMENTS)))
    if not draw(often):
        del lines[draw(st.integers(0, len(lines) - 1))]
    return lines


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """A file with comments and blocks; in some, ends and starts of lines are others than usual."""
    parts = draw(
        st.lists(st.one_of(blocks(), blocks(), st.sampled_from(COMMENTS).map(lambda each: [each])), max_size=5)
    )
    lines = [line for part in parts for line in part]
    end = draw(st.sampled_from(ENDS[:2]))
    ends = [draw(st.sampled_from(ENDS)) if not draw(often) else end for _ in lines]
    starts = [draw(st.sampled_from(STARTS)) if not draw(st.integers(0, 29)) else b"" for _ in lines]
    return b"".join(start + line + end for start, line, end in zip(starts, lines, ends, strict=True))


def read(data: bytes) -> list[tuple[str, bytes]] | None:
    try:
        return [(block.label, block.data) for block in pem_blocks.read(data, "x.pem")]
    except Invalid:
        return None


ONE = b"-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----"


@settings(max_examples=500, deadline=None)
@given(files())
@example(ONE)
@example(ONE + ONE)
@example(ONE.replace(b"\n", b"\r"))
@example(ONE.replace(b"\n", b"\n "))
@example(b"\xef\xbb\xbf" + ONE)
@example(ONE.replace(b"QUJD", b"QQ==\nQQ=="))
@example(ONE.replace(b"QUJD", b"QR=="))
@example(ONE.replace(b"QUJD", b"\nQUJD"))
@example(ONE.replace(b"QUJD", b"QUJD\n"))
@example(ONE.replace(b"QUJD", b"QUJD-"))
def test_what_is_accepted_is_what_openssl_reads(data: bytes) -> None:
    found = read(data)
    if found is None:
        return
    as_openssl = openssl.pem_blocks(data)
    assert as_openssl is not None
    assert [(label.removeprefix("X509 "), body) for label, body in as_openssl] == found
    plain = pem_blocks.text(pem_blocks.read(data, "x.pem"))
    assert openssl.pem_blocks(plain) == found
    assert pem_blocks.text(pem_blocks.read(plain, "x.pem")) == plain


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=4), st.sampled_from((b"\n", b"\r\n")))
def test_usual_files_are_accepted(bodies: list[bytes], end: bytes) -> None:
    blocks = [pem_blocks.Block("CERTIFICATE", body, 0) for body in bodies]
    written = b"subject=CN = a\n\n".join(pem_blocks.text([block]) for block in blocks).replace(b"\n", end)
    assert read(written) == [("CERTIFICATE", body) for body in bodies]


@pytest.mark.parametrize("data", [ONE + ONE, ONE.replace(b"\n", b"\n "), ONE.replace(b"\n", b"\r"), b" " + ONE])
def test_these_are_files_that_openssl_does_not_read_as_they_look(data: bytes) -> None:
    """If this fails, OpenSSL has changed, and the reader may accept more."""
    assert openssl.pem_blocks(data) != [("CERTIFICATE", b"ABC")] * data.count(b"BEGIN")
    assert read(data) is None
