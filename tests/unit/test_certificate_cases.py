"""Files as admins have uploaded them: each is refused with a remedy that can be pasted, or it can be served."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from da_agent import handshakes
from da_agent.domain.certificates import placed_files
from da_agent.domain.certificates.validity import check
from da_agent.errors import Invalid

CASES = Path(__file__).parent / "golden" / "certificates"
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


def case(name: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (CASES / name).iterdir()}


SPACES = "spaces before a marker, which OpenSSL does not read: delete them (sed -i 's/^[ \\t]*//' certs/{})"
OWN_LINE = (
    "a marker such as -----BEGIN CERTIFICATE----- must stand on a line of its own, exactly in this form: begin a new"
    " line before it and after it"
)
WEAK = '"{}" has an RSA key of 1024 bits, which OpenSSL refuses: get a certificate with at least 2048 bits'


@pytest.mark.parametrize(
    ("name", "mistake"),
    [
        ("weak-intermediate", f"certs/docassemble.crt: {WEAK.format('Inter W')}"),
        ("rsa1024", f"certs/docassemble.crt: {WEAK.format('a.example.org')}"),
        (
            "cr-only",
            (
                "certs/docassemble.crt line 1: the lines end with CR alone, which OpenSSL does not read: convert them"
                " (tr '\\r' '\\n' < certs/docassemble.crt)"
            ),
        ),
        ("indented", f"certs/docassemble.crt line 1: {SPACES.format('docassemble.crt')}"),
        ("indented-chain", f"certs/docassemble.ca.pem line 1: {SPACES.format('docassemble.ca.pem')}"),
        (
            "key-with-cer",
            (
                "certs/docassemble.cer: programs look for certs/docassemble.crt: rename it"
                " (mv certs/docassemble.cer certs/docassemble.crt)"
            ),
        ),
        ("joined", f"certs/docassemble.crt line 19: {OWN_LINE}"),
    ],
)
def test_what_no_web_server_can_present_is_refused_with_a_remedy(name: str, mistake: str) -> None:
    with pytest.raises(Invalid) as refused:
        check(case(name), now=NOW, trusted=(), handshake=handshakes.rehearse)
    assert refused.value.mistakes == (mistake,)


def test_a_good_chain_is_accepted() -> None:
    (found,) = check(case("good"), now=NOW, trusted=(), handshake=handshakes.rehearse)
    assert (found.subjects, found.warnings) == (("a.example.org",), ())


@pytest.mark.parametrize(
    ("name", "warnings"),
    [
        ("cross-signed-root-only", ()),
        ("cross-and-self-signed", ('"Root X", issued by "Root X", is not needed: delete it',)),
        (
            "expired-above-trusted-root",
            (
                '"Root X", issued by "Old Root", is not needed, and it expired on 2026-08-20 12:00 UTC: delete it',
                '"Old Root", issued by "Old Root", is not needed, and it expired on 2026-08-20 12:00 UTC: delete it',
            ),
        ),
    ],
)
def test_what_is_above_a_trusted_root_is_a_warning_at_most(name: str, warnings: tuple[str, ...]) -> None:
    (found,) = check(case(name), now=NOW, trusted=(), handshake=handshakes.rehearse)
    assert found.warnings == tuple(f"certs/docassemble.crt: {warning}" for warning in warnings)


def test_a_node_writes_pem_in_its_plainest_form_and_nothing_else() -> None:
    good = case("good")
    chain = b"\xef\xbb\xbfsubject=CN = a\r\n\r\n" + good["docassemble.crt"].replace(b"\n", b" \r\n")
    synonym = good["docassemble.crt"].replace(b" CERT", b" X509 CERT")
    others = {"zz.pth": b"import os", "README": b"x", "mail/exim.p12": b"\x30"}
    written = placed_files.placed({"a.crt": chain, "b.pem": synonym, **others, "a.key": good["docassemble.key"]})
    assert written == {
        "a.crt": good["docassemble.crt"],
        "b.pem": good["docassemble.crt"],
        "mail/exim.p12": b"\x30",
        "a.key": good["docassemble.key"],
    }


@pytest.mark.parametrize("name", ["indented", "joined", "cr-only", "indented-chain"])
def test_a_node_writes_no_file_that_programs_would_read_differently(name: str) -> None:
    with pytest.raises(Invalid):
        placed_files.placed(case(name))
