"""Private keys without the certificate that belongs to them."""

from collections.abc import Collection, Iterator, Mapping

from da_agent.domain.certificates.pems import Pem, public_half
from da_agent.domain.certificates.serving_pairs import STEMS
from da_agent.domain.store import keys


def mistakes(read: Mapping[str, Pem], names: Collection[str]) -> Iterator[str]:
    """One sentence for each key that no program can use. `names` are all files, under their right names."""
    for name, pem in read.items():
        stem, here = name.rsplit(".", 1)[0], keys.CERTIFICATES + name
        certificate = keys.CERTIFICATES + stem + ".crt"
        if len(pem.keys) != 1 or f"{stem}.crt" in names or (f"{stem}.pem" in names and name != f"{stem}.pem"):
            continue
        if pem.certificates:
            # Other programs read a key and its certificate from one file.
            if stem in STEMS:
                remedy = f"copy it there (openssl x509 -in {here} -out {certificate})"
                yield f"{here}: the web server looks for the certificate in another file: {remedy}"
            continue
        other = _of(pem, read)
        if other is None:
            yield f"{here}: a key without its certificate: put {certificate} there too, or delete the key (rm {here})"
        elif f"{other.rsplit('.', 1)[0]}.key" in names:
            there = keys.CERTIFICATES + other
            yield f"{here}: a key whose certificate is in {there}: rename that file (mv {there} {certificate})"


def _of(pem: Pem, read: Mapping[str, Pem]) -> str | None:
    """The file that begins with the certificate of this key."""
    first = {name: each.certificates[0] for name, each in read.items() if each.certificates}
    return next((name for name, each in first.items() if public_half(each.public_key()) in pem.keys), None)
