"""Which values of a configuration nobody may read, told by what they are called or by what they look like."""

import re
from collections.abc import Iterable

MASK = "********"
_SECRET = re.compile(
    r"(secret|passw|passphrase|\bpass\b|pwd|token|credential|private|salt|authorization|cookie|signature|webhook"
    r"|\bpin\b|pincode|\botp\b"
    r"|(api|access|account|client|encryption|server|session) ?-?(key|id)|\bkey\b|keys?$|connection[ -]?string|dsn"
    r"|\b(url|uri)s?$)",
    re.IGNORECASE,
)
"""Parts of keys whose values are masked. Rather one too many: a key named `url` may have a password in it."""
_SHOWN = re.compile(r"^(pip index url|pip extra index urls|endpoint url|url root|external hostname)$", re.IGNORECASE)
_NOTHING = ("null", "[]", "{}", "True", "False")
_PASSWORD_IN_URL = re.compile(r"(?<=://)\S*@")
"""Up to the last @: passwords have slashes in them."""
_PARAMETER = re.compile(r"(?<=[?&])([^=&\s]+)=([^&\s]+)")
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_WORD = re.compile(r"[A-Za-z0-9+_-]{20,}={0,2}")


def names_secret(names: Iterable[str]) -> bool:
    """Whether a value is secret that lies below keys of these names, in either spelling."""
    spelt = [name.replace("_", " ") for name in names]
    return any(_SECRET.search(name) and not _SHOWN.match(name) for name in spelt)


def masked(text: str, *, secret: bool) -> str:
    """What may be shown of a value; `secret` says that its name gives it away."""
    if text in _NOTHING:
        return text
    if secret or _PRIVATE_KEY.search(text):
        return MASK
    text = _PASSWORD_IN_URL.sub(f"{MASK}@", text)
    text = _PARAMETER.sub(lambda found: f"{found[1]}={MASK if names_secret([found[1]]) else found[2]}", text)
    return _WORD.sub(lambda found: MASK if _is_random(found[0]) else found[0], text)


def _is_random(word: str) -> bool:
    """Keys and tokens have letters and digits without order; names that people give have hyphens or one case."""
    kinds = [re.search(kind, word) is not None for kind in ("[a-z]", "[A-Z]", "[0-9]")]
    return kinds[2] and (all(kinds) or (any(kinds[:2]) and not re.search("[-_]", word)))
