"""File names that neither the web server nor other programs look for, and the command that renames each file."""

from collections.abc import Collection, Iterator, Mapping

from da_agent.domain.certificates import file_names
from da_agent.domain.certificates.serving_pairs import STEMS
from da_agent.domain.store import keys

_ENDINGS = {".cer": ".crt", ".cert": ".crt"}
"""Other endings of certificates, in lower case."""

_MAIN = STEMS[0]
_CERTBOTS = {
    "privkey.pem": f"{_MAIN}.key",
    "fullchain.pem": f"{_MAIN}.crt",
    "cert.pem": f"{_MAIN}.crt",
    "chain.pem": f"{_MAIN}.ca.pem",
}
"""The files of certbot, and the names under which the web server looks for their contents."""


def right_names(names: Collection[str]) -> dict[str, str | None]:
    """The name that each misnamed file should have; None for a file that is not needed beside the others."""
    found: dict[str, str | None] = {name: _CERTBOTS[name] for name in _CERTBOTS if name in names}
    if "fullchain.pem" in found:
        # It has the contents of the other two.
        found |= {name: None for name in ("cert.pem", "chain.pem") if name in found}
    for name in names:
        right = _right_case(name)
        if name not in found and right != name:
            found[name] = right
    for stem in STEMS:
        # The web server reads a certificate from .crt alone.
        if f"{stem}.pem" in names and f"{stem}.key" in names and f"{stem}.crt" not in names:
            found[f"{stem}.pem"] = f"{stem}.crt"
    return {name: None if right in names else right for name, right in sorted(found.items())}


def mistakes(files: Mapping[str, bytes]) -> Iterator[str]:
    """One sentence for each misnamed file."""
    for name, right in right_names(files).items():
        here = keys.CERTIFICATES + name
        if right is None:
            yield f"{here}: is not needed, or is there under the right name: delete it (rm {here})"
        else:
            command = _command(files[name], here, right)
            yield f"{here}: programs look for {keys.CERTIFICATES}{right}: rename it ({command})"


def _right_case(name: str) -> str:
    """The name with a known ending in lower case, and with the web server's stem in lower case."""
    folder, slash, last = name.rpartition("/")
    stem, dot, ending = last.rpartition(".")
    lower = f".{ending.lower()}"
    right = _ENDINGS.get(lower, lower)
    if not dot or right not in (*file_names.PEM, *file_names.UNREAD):
        return name
    whole = f"{stem}{right}".lower()
    if whole.split(".")[0] not in STEMS:
        return f"{folder}{slash}{stem}{right}"
    return f"{folder}{slash}{whole if right == f'.{ending}' else _chain(whole)}"


def _chain(name: str) -> str:
    """The web server reads the certificates above its own from .ca.pem alone."""
    return name.removesuffix(".ca.crt") + ".ca.pem" if name.endswith(".ca.crt") else name


def _command(data: bytes, here: str, right: str) -> str:
    if data.startswith(b"\x30") and right.endswith(".crt"):
        return f"openssl x509 -inform der -in {here} -out {keys.CERTIFICATES}{right}"
    return f"mv {here} {keys.CERTIFICATES}{right}"
