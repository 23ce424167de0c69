"""Names under which a certificate or a key would not be found: each is refused with the command that renames it."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from da_agent import handshakes
from da_agent.domain.certificates.serving_pairs import why_no_https
from da_agent.domain.certificates.validity import check
from da_agent.errors import Invalid
from tests.certificates import authority, issue

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
START = NOW - timedelta(days=1)
ROOT = authority("Root", start=START)
MIDDLE = authority("Middle", by=ROOT, start=START)
LEAF = issue(MIDDLE, ["a.example.org"], start=START)
CHAIN = LEAF.pem + MIDDLE.pem
DER = x509.load_pem_x509_certificate(LEAF.pem).public_bytes(Encoding.DER)


def mistakes(files: Mapping[str, bytes]) -> list[str]:
    """What is refused, without `certs/`."""
    try:
        check(files, now=NOW, trusted=(ROOT.certificate,), handshake=handshakes.rehearse)
    except Invalid as refused:
        return [mistake.replace("certs/", "") for mistake in refused.mistakes]
    return []


@pytest.mark.parametrize(
    ("files", "commands"),
    [
        ({"docassemble.cer": CHAIN, "docassemble.key": LEAF.key}, ["mv docassemble.cer docassemble.crt"]),
        ({"docassemble.CRT": CHAIN, "docassemble.key": LEAF.key}, ["mv docassemble.CRT docassemble.crt"]),
        ({"docassemble.cert": CHAIN, "docassemble.key": LEAF.key}, ["mv docassemble.cert docassemble.crt"]),
        ({"docassemble.pem": CHAIN, "docassemble.key": LEAF.key}, ["mv docassemble.pem docassemble.crt"]),
        (
            {"Docassemble.crt": CHAIN, "DOCASSEMBLE.KEY": LEAF.key},
            ["mv DOCASSEMBLE.KEY docassemble.key", "mv Docassemble.crt docassemble.crt"],
        ),
        (
            {"docassemble.cer": DER, "docassemble.key": LEAF.key},
            ["openssl x509 -inform der -in docassemble.cer -out docassemble.crt"],
        ),
        (
            {"docassemble.crt": LEAF.pem, "docassemble.key": LEAF.key, "docassemble.ca.cer": MIDDLE.pem},
            ["mv docassemble.ca.cer docassemble.ca.pem"],
        ),
        ({"redis.CER": CHAIN, "redis.key": LEAF.key}, ["mv redis.CER redis.crt"]),
        ({"mail/exim.CRT": CHAIN, "mail/exim.key": LEAF.key}, ["mv mail/exim.CRT mail/exim.crt"]),
        ({"docassemble.crt": CHAIN, "docassemble.KEY": LEAF.key}, ["mv docassemble.KEY docassemble.key"]),
        ({"docassemble.crt": CHAIN, "other.key": LEAF.key}, ["mv other.key docassemble.key"]),
        ({"docassemble.crt": CHAIN, "docassemble.key.pem": LEAF.key}, ["mv docassemble.key.pem docassemble.key"]),
        ({"docassemble.key": LEAF.key + CHAIN}, ["openssl x509 -in docassemble.key -out docassemble.crt"]),
        ({"spare.key": LEAF.key}, ["rm spare.key"]),
        ({"key.pem": LEAF.key}, ["rm key.pem"]),
        (
            {"fullchain.pem": CHAIN, "privkey.pem": LEAF.key, "cert.pem": LEAF.pem, "chain.pem": MIDDLE.pem},
            ["rm cert.pem", "rm chain.pem", "mv fullchain.pem docassemble.crt", "mv privkey.pem docassemble.key"],
        ),
        (
            {"privkey.pem": LEAF.key, "cert.pem": LEAF.pem, "chain.pem": MIDDLE.pem},
            ["mv cert.pem docassemble.crt", "mv chain.pem docassemble.ca.pem", "mv privkey.pem docassemble.key"],
        ),
        (
            {"docassemble.crt": CHAIN, "docassemble.key": LEAF.key, "privkey.pem": LEAF.key, "fullchain.pem": CHAIN},
            ["rm fullchain.pem", "rm privkey.pem"],
        ),
        ({"docassemble.crt": CHAIN, "docassemble.key": LEAF.key, "docassemble.cer": DER}, ["rm docassemble.cer"]),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else "",
)
def test_a_name_that_nothing_looks_for_is_refused_with_the_command(
    files: dict[str, bytes], commands: list[str]
) -> None:
    found = mistakes(files)
    assert len(found) == len(commands), found
    for mistake, command in zip(found, commands, strict=True):
        assert command in mistake


@pytest.mark.parametrize(
    "files",
    [
        {"docassemble.crt": CHAIN, "docassemble.key": LEAF.key},
        {"tls.crt": CHAIN, "tls.key": LEAF.key},
        {"haproxy.key": LEAF.key + CHAIN},
        {"mail/exim.pem": CHAIN, "mail/exim.key": LEAF.key},
        {"docassemble.crt": CHAIN, "docassemble.key": LEAF.key, "docassemble.pem": ROOT.pem},
    ],
    ids="+".join,
)
def test_other_programs_have_names_of_their_own(files: dict[str, bytes]) -> None:
    assert mistakes(files) == []


@pytest.mark.parametrize(
    ("names", "key"),
    [
        ((), None),
        (("ca.crt",), None),
        (("docassemble.crt", "docassemble.key"), None),
        (("nginx.crt", "nginx.key", "redis.crt", "redis.key"), None),
        (("tls.crt", "tls.key"), "tls.key"),
        (("docassemble.cer", "docassemble.key"), "docassemble.key"),
        (("docassemble.crt", "docassemble.KEY"), "docassemble.KEY"),
        (("fullchain.pem", "privkey.pem"), "privkey.pem"),
        (("live/docassemble.crt", "live/docassemble.key"), "live/docassemble.key"),
    ],
)
def test_a_cluster_with_a_key_that_serves_no_https_says_so(names: tuple[str, ...], key: str | None) -> None:
    said = why_no_https(names)
    if key is None:
        assert said is None
    else:
        assert said is not None
        assert said.startswith(f"HTTPS is not served: certs/ has the key {key}, but the web server uses only")
