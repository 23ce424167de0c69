from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from da_agent import handshakes
from da_agent.domain.certificates.validity import Certificate, check
from da_agent.errors import Invalid
from tests.certificates import Authority, Issued, authority, issue, rsa_key

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
START = NOW - timedelta(days=10)
SIGNED = Path(__file__).parent / "golden" / "certificates"

ROOT = authority("Root", start=START)
MIDDLE = authority("Middle", by=ROOT, start=START)
LOWER = authority("Lower", by=MIDDLE, start=START)
OTHER = authority("Other Root", start=START)


def server(by: Authority | None = ROOT, *, days: int = 90, start: datetime = START) -> Issued:
    return issue(by, ["example.org", "www.example.org"], days=days, start=start)


GOOD = server()
TRUSTED = (ROOT.certificate,)


def judge(files: Mapping[str, bytes], trusted: Collection[x509.Certificate] = TRUSTED) -> tuple[Certificate, ...]:
    return check(files, now=NOW, trusted=trusted, handshake=handshakes.rehearse)


def mistakes(files: Mapping[str, bytes], trusted: Collection[x509.Certificate] = TRUSTED) -> tuple[str, ...]:
    with pytest.raises(Invalid) as refused:
        judge(files, trusted)
    # Nothing of a private key may ever be shown.
    for data in files.values():
        for line in data.splitlines():
            assert len(line) < 20 or line.startswith(b"-") or line.decode("latin-1") not in str(refused.value)
    return refused.value.mistakes


def pair(issued: Issued, above: bytes = b"") -> dict[str, bytes]:
    files = {"docassemble.crt": issued.pem, "docassemble.key": issued.key}
    return files | ({"docassemble.ca.pem": above} if above else {})


def test_a_good_certificate_is_described_by_its_names_and_its_end() -> None:
    (found,) = judge(pair(GOOD))
    assert found == Certificate(
        name="docassemble.crt",
        subjects=("example.org", "www.example.org"),
        not_after=START + timedelta(days=90),
        days_left=80,
        issuer="Root",
    )
    assert found.warnings == ()


def test_a_certificate_that_ends_in_less_than_thirty_days_carries_a_warning() -> None:
    (enough,) = judge(pair(server(days=40)))
    (short,) = judge(pair(server(days=39)))
    assert enough.warnings == ()
    assert short.warnings == ("certs/docassemble.crt expires in 29 days, on 2026-12-23",)


LOWEST = server(LOWER)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"spare.key": GOOD.key + GOOD.pem},
        {"backup.p12": b"\x30\x82", "old/site.csr": b"hello"},
        {"company_ca.crt": ROOT.pem, "ca.crt": ROOT.pem, "company.ca.pem": MIDDLE.pem, "rootca.pem": ROOT.pem},
        {"authority.pem": MIDDLE.pem},
        {"dhparams.pem": b"-----BEGIN DH PARAMETERS-----\nAAAA\n-----END DH PARAMETERS-----\n"},
        pair(server(None)),
        pair(LOWEST, LOWER.pem + MIDDLE.pem),
        pair(LOWEST, LOWER.pem + MIDDLE.pem + ROOT.pem),
        {"old/site.pem": LOWEST.pem + LOWER.pem + MIDDLE.pem, "old/site.key": LOWEST.key},
        {"x.crt": LOWEST.pem + LOWER.pem, "x.ca.pem": LOWER.pem + MIDDLE.pem, "x.key": LOWEST.key},
        {
            "x.crt": LOWEST.pem.replace(b"\n", b"\r\n"),
            "x.ca.pem": LOWER.pem + b"text\n" + MIDDLE.pem,
            "x.key": LOWEST.key,
        },
    ],
    ids=lambda files: ",".join(sorted(files)),
)
def test_what_can_be_served_or_needs_no_key_is_accepted(files: dict[str, bytes]) -> None:
    judge(files)


def test_a_private_root_in_certs_is_as_good_as_one_that_the_machine_knows() -> None:
    redis = {"redis.crt": GOOD.pem, "redis.key": GOOD.key}
    (found,) = judge({**redis, "redis_ca.crt": ROOT.pem}, trusted=())
    assert found.name == "redis.crt"
    judge({**redis, "ca.crt": ROOT.pem}, trusted=())
    assert mistakes({**redis, "ca.crt": OTHER.pem}, trusted=())


def test_a_certificate_without_its_key_is_refused() -> None:
    (mistake,) = mistakes({"docassemble.crt": GOOD.pem})
    assert mistake.startswith("certs/docassemble.crt: a certificate without its key is not allowed: put certs/docass")
    (mistake,) = mistakes({"site.pem": GOOD.pem})
    assert mistake.startswith("certs/site.pem: a certificate without its key")


def test_a_key_of_another_certificate_is_refused() -> None:
    (mistake,) = mistakes({"docassemble.crt": GOOD.pem, "docassemble.key": server().key})
    assert mistake == (
        'certs/docassemble.crt: the key in certs/docassemble.key does not belong to the certificate of "example.org"'
    )


def test_an_authority_in_a_pem_file_is_judged_when_it_has_a_key_beside_it() -> None:
    assert "does not belong" in mistakes({"site.pem": ROOT.pem, "site.key": GOOD.key})[0]
    # Here it is the chain of site.crt under a name of its own.
    assert [found.name for found in judge({"site.pem": ROOT.pem, "site.key": GOOD.key, "site.crt": GOOD.pem})] == [
        "site.crt"
    ]


@pytest.mark.parametrize("kind", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_a_key_with_a_passphrase_is_refused_with_the_command_that_takes_it_off(kind: PrivateFormat) -> None:
    locked = GOOD.private.private_bytes(Encoding.PEM, kind, BestAvailableEncryption(b"secret"))
    (mistake,) = mistakes({"docassemble.crt": GOOD.pem, "docassemble.key": locked})
    assert "certs/docassemble.key: is protected by a passphrase" in mistake
    assert "openssl pkey -in certs/docassemble.key" in mistake


def test_the_older_format_of_keys_with_its_parameters_is_read() -> None:
    old = GOOD.private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    judge({"docassemble.crt": GOOD.pem, "docassemble.key": parameters + old})


DER = x509.load_pem_x509_certificate(GOOD.pem).public_bytes(Encoding.DER)
KEY_DER = GOOD.private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"x.crt": DER, "x.key": GOOD.key}, "certs/x.crt: is in the binary format DER: make it PEM (openssl x509 "),
        ({"x.crt": GOOD.pem, "x.key": KEY_DER}, "certs/x.key: is in the binary format DER: make it PEM (openssl pkey "),
        ({"x.crt": b"hello", "x.key": GOOD.key}, "certs/x.crt: is not in the format PEM"),
        ({"x.crt": b" \n", "x.key": GOOD.key}, "certs/x.crt: is empty"),
        ({"x.crt": GOOD.pem[:200], "x.key": GOOD.key}, "certs/x.crt: is cut off"),
        (
            {"x.crt": GOOD.pem.replace(b"MII", b"AII"), "x.key": GOOD.key},
            "certs/x.crt line 1: this certificate cannot be read",
        ),
        (
            {"x.crt": GOOD.pem, "x.key": GOOD.key.replace(b"MIG", b"AIG")},
            "certs/x.key: holds a private key that cannot",
        ),
        ({"x.crt": GOOD.key, "x.key": GOOD.key}, "certs/x.crt: holds no certificate"),
        ({"x.key": GOOD.pem}, "certs/x.key: holds no private keys"),
        ({"x.key": GOOD.key + server().key}, "certs/x.key: holds 2 private keys"),
        (
            {"x.key": GOOD.key.replace(b"PRIVATE", b"OPENSSH PRIVATE")},
            "certs/x.key: is a key of another kind (OPENSSH ",
        ),
        ({"x.crt": GOOD.pem + GOOD.key, "x.key": GOOD.key}, "certs/x.crt: holds a private key beside certificates"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_that_a_server_could_not_read_is_refused(files: dict[str, bytes], expected: str) -> None:
    (mistake,) = mistakes(files)
    assert mistake.startswith(expected)


def test_a_chain_with_a_gap_is_refused_with_the_name_of_what_is_missing() -> None:
    (mistake,) = mistakes(pair(LOWEST, LOWER.pem))
    assert mistake == (
        'certs/docassemble.crt: the chain is incomplete: "Lower" was issued by "Middle", whose certificate is neither '
        "here nor known to this machine: append it to certs/docassemble.ca.pem"
    )


def test_a_chain_that_cannot_be_read_is_not_called_incomplete_as_well() -> None:
    (mistake,) = mistakes(pair(LOWEST, b"hello"))
    assert mistake.startswith("certs/docassemble.ca.pem: is not in the format PEM")


def test_a_chain_that_ends_at_an_unknown_authority_is_refused() -> None:
    (mistake,) = mistakes(pair(GOOD), trusted=(OTHER.certificate,))
    assert '"example.org" was issued by "Root"' in mistake


def test_an_authority_of_the_right_name_with_the_wrong_key_is_not_the_issuer() -> None:
    impostor = authority("Middle", by=ROOT, start=START)
    (mistake,) = mistakes(pair(server(MIDDLE), impostor.pem))
    assert 'was issued by "Middle", whose certificate is neither here ("Middle" did not sign it) nor known' in mistake


@pytest.mark.parametrize(
    "files",
    [
        pair(LOWEST, MIDDLE.pem + LOWER.pem),
        pair(LOWEST, ROOT.pem + MIDDLE.pem + LOWER.pem),
        {"docassemble.crt": LOWER.pem + LOWEST.pem + MIDDLE.pem, "docassemble.key": LOWEST.key},
    ],
    ids=["swapped", "reversed", "server not first"],
)
def test_a_chain_out_of_order_is_refused_with_the_right_order(files: dict[str, bytes]) -> None:
    (mistake,) = mistakes(files)
    assert 'out of order: the right order is "example.org", "Lower", "Middle"' in mistake


MIDDLES_TWIN = authority("Middle", by=OTHER, start=START, private=MIDDLE.private)
EXPIRED_TWIN = authority("Middle", by=ROOT, start=START, days=5, private=MIDDLE.private)
ROOTS_TWIN = authority("Root", by=OTHER, start=START, private=ROOT.private)
EXPIRED = authority("Old Root", start=START, days=5)
EXPIRED_ROOTS_TWIN = authority("Root", by=EXPIRED, start=START, days=5, private=ROOT.private)
NOT_NEEDED, TWICE = "is not needed", "is there twice"


@pytest.mark.parametrize(
    ("above", "expected"),
    [
        ([LOWER, MIDDLE], []),
        ([LOWER, MIDDLE, ROOT], []),
        ([LOWER, MIDDLE, ROOTS_TWIN], []),
        ([LOWER, MIDDLE, ROOTS_TWIN, OTHER], [("Other Root", NOT_NEEDED)]),
        ([LOWER, MIDDLE, ROOTS_TWIN, ROOT], [("Root", NOT_NEEDED)]),
        ([LOWER, MIDDLE, ROOT, ROOTS_TWIN], [("Root", NOT_NEEDED)]),
        ([LOWER, MIDDLE, EXPIRED_ROOTS_TWIN], [("Root", "expired on 2026-11-19 12:00 UTC: delete it")]),
        ([LOWER, MIDDLE, EXPIRED], [("Old Root", "expired on 2026-11-19 12:00 UTC: delete it")]),
        ([LOWER, MIDDLE, OTHER], [("Other Root", NOT_NEEDED)]),
        ([LOWER, LOWER, MIDDLE], [("Lower", TWICE)]),
        ([LOWER, MIDDLE, MIDDLE, ROOT, ROOT], [("Middle", TWICE), ("Root", TWICE)]),
        ([LOWER, EXPIRED_TWIN, MIDDLE], [("Middle", "expired on 2026-11-19 12:00 UTC: delete it")]),
        ([LOWER, MIDDLE, EXPIRED_TWIN], [("Middle", "expired on 2026-11-19 12:00 UTC: delete it")]),
    ],
    ids=lambda value: "",
)
def test_what_clients_do_not_need_is_a_warning(above: list[Authority], expected: list[tuple[str, str]]) -> None:
    (found,) = judge(pair(LOWEST, b"".join(each.pem for each in above)))
    assert len(found.warnings) == len(expected), found.warnings
    for warning, (name, what) in zip(found.warnings, expected, strict=True):
        assert warning.startswith(f'certs/docassemble.crt: "{name}"')
        assert what in warning


REFUSED = "certs/docassemble.crt: TLS clients refuse the chain"
CHECK = "check it with openssl verify -show_chain, and get the right intermediate certificates from the authority"


def test_what_leads_clients_astray_is_refused_with_the_certificate_to_delete() -> None:
    """OpenSSL takes the first issuer that it finds among the presented certificates, and does not come back."""
    assert mistakes(pair(LOWEST, LOWER.pem + MIDDLES_TWIN.pem + MIDDLE.pem)) == (
        f"{REFUSED}: unable to get local issuer certificate: {CHECK}",
        'certs/docassemble.crt: "Middle", issued by "Other Root", is not needed: delete it',
    )


def test_an_intermediate_that_may_not_sign_is_refused() -> None:
    """Its signature is right; only clients see that it is no authority."""
    middle = issue(ROOT, ["middle.example.org"], start=START)
    fake = Authority(x509.load_pem_x509_certificate(middle.pem), middle.private)
    (mistake,) = mistakes(pair(server(fake), middle.pem))
    assert mistake.startswith("certs/docassemble.crt: TLS clients refuse the chain: invalid CA certificate")


def test_a_chain_that_apache_would_not_present_whole_is_refused() -> None:
    """Apache presents one certificate of the certificate file when there is a chain file."""
    files = {**pair(LOWEST), "docassemble.crt": LOWEST.pem + LOWER.pem, "docassemble.ca.pem": MIDDLE.pem}
    (mistake,) = mistakes(files)
    assert mistake.endswith("append it to certs/docassemble.ca.pem")
    judge({name.replace("docassemble", "redis"): data for name, data in files.items()})


def test_a_root_with_the_subject_of_a_trusted_one_and_another_key_ends_no_path() -> None:
    impostor = authority("Root", start=START)
    forged = authority("Middle", by=impostor, start=START)
    (mistake,) = mistakes(pair(server(forged), forged.pem))
    assert 'the chain is incomplete: "Middle" was issued by "Root"' in mistake


def test_twins_by_the_dozen_take_no_time() -> None:
    """Each of 2^14 paths through pairs of twins would be tried."""
    below, twins = ROOT, []
    roots = authority("Unknown", start=START)
    below = authority("0", by=roots, start=START)
    for number in range(1, 14):
        one = authority(f"{number}", by=below, start=START)
        twins += [authority(f"{number}", by=below, start=START, private=one.private), one]
        below = one
    leaf = server(below)
    (mistake,) = mistakes(pair(leaf, b"".join(each.pem for each in reversed(twins))))
    assert "incomplete" in mistake


def test_a_chain_longer_than_clients_accept_is_refused() -> None:
    many = b"".join(authority(f"{number}", by=ROOT, start=START).pem for number in range(32))
    (mistake,) = mistakes(pair(LOWEST, many))
    assert "there are 33 certificates; clients accept 32 at most" in mistake


def test_dates_are_checked_at_every_place_of_the_chain() -> None:
    old_root = authority("Old Root", start=START, days=5)
    young_middle = authority("Young Middle", by=old_root, start=NOW + timedelta(days=2))
    leaf = server(young_middle, days=9)
    assert mistakes(pair(leaf, young_middle.pem + old_root.pem)) == (
        'certs/docassemble.crt: "example.org" expired on 2026-11-23 12:00 UTC: renew it',
        'certs/docassemble.crt: "Young Middle" is not valid before 2026-11-26 12:00 UTC',
        'certs/docassemble.crt: "Old Root" expired on 2026-11-19 12:00 UTC: renew it',
    )


def test_a_server_on_an_old_elliptic_curve_is_refused() -> None:
    weak = issue(ROOT, ["example.org"], start=START, private=ec.generate_private_key(ec.SECP192R1()))
    (mistake,) = mistakes(pair(weak))
    assert '"example.org" has a key on an elliptic curve of 192 bits, which OpenSSL refuses' in mistake


@pytest.mark.parametrize("name", ["zz.pth", "README.txt", "authorized_keys", "mail/exim", "crt", "x.crt.bak"])
def test_a_file_that_is_no_certificate_by_its_name_is_refused(name: str) -> None:
    (mistake,) = mistakes({**pair(GOOD), name: GOOD.pem})
    assert mistake.startswith(f"certs/{name}: is neither a certificate nor a key")


def test_all_mistakes_of_all_files_come_at_once() -> None:
    found = mistakes({"a.crt": DER, "b.crt": GOOD.pem, "c.crt": server(days=1).pem, "c.key": GOOD.key})
    assert [mistake.split(":")[0] for mistake in found] == ["certs/a.crt", "certs/b.crt", "certs/c.crt", "certs/c.crt"]


def test_names_with_control_characters_are_shown_harmlessly() -> None:
    (mistake,) = mistakes({"x.crt": issue(ROOT, ["a\x1b[31m"], start=START).pem, "x.key": GOOD.key})
    assert '"a?[31m"' in mistake


# ---- what OpenSSL refuses as too weak


def test_a_servers_certificate_with_a_short_rsa_key_is_refused() -> None:
    weak = issue(ROOT, ["example.org"], start=START, private=rsa_key(1024))
    (mistake,) = mistakes(pair(weak))
    assert mistake == (
        'certs/docassemble.crt: "example.org" has an RSA key of 1024 bits, which OpenSSL refuses: '
        "get a certificate with at least 2048 bits"
    )


def test_an_intermediate_authority_with_a_short_rsa_key_is_refused() -> None:
    middle = authority("Weak", by=ROOT, start=START, private=rsa_key(1024))
    (mistake,) = mistakes(pair(server(middle), middle.pem))
    assert mistake == (
        'certs/docassemble.crt: "Weak" has an RSA key of 1024 bits, which OpenSSL refuses: '
        "get a certificate with at least 2048 bits"
    )


@pytest.mark.parametrize(("name", "called"), [("sha1", "SHA-1"), ("md5", "MD5")])
def test_a_signature_with_a_broken_hash_is_refused_and_is_no_gap_in_the_chain(name: str, called: str) -> None:
    """The files are committed, because no library makes such signatures any more."""
    files = {
        "docassemble.crt": (SIGNED / f"{name}.crt").read_bytes(),
        "docassemble.key": (SIGNED / "leaf.key").read_bytes(),
    }
    with pytest.raises(Invalid) as caught:
        check(files, now=datetime(2030, 1, 1, tzinfo=UTC), trusted=(), handshake=handshakes.rehearse)
    (mistake,) = caught.value.mistakes
    assert mistake == (
        f'certs/docassemble.crt: "a.example.org" is signed with {called}, which OpenSSL refuses: '
        "get a certificate that is signed with SHA-256"
    )


def test_an_rsa_key_of_2048_bits_is_good() -> None:
    middle = authority("Middle", by=ROOT, start=START, private=rsa_key(2048))
    good = issue(middle, ["example.org"], start=START, private=rsa_key(2048))
    assert judge(pair(good, middle.pem))
