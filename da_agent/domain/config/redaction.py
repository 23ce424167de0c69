"""Masks the secret parts of a text, found by their names and by their form.

This module never decides that a whole value is public: `public_settings` does. Other values are shown by name only.
"""

import re
import shlex

from da_agent.domain import limits

MASK = "********"
_SECRET = re.compile(
    r"secret|passw|passphrase|passcode|pass\b|pwd|pw\b|\bpw|token|credential|priv|salt|(?<!o)auth(?!ors?\b)|cookie"
    r"|signature|webhook|bearer|psk|jwt|hmac|seed|phrase|nonce|\bsig\b|\bpin\b|pincode|otp\b|\bcode\b"
    r"|(api|access|account|client|encryption|server|session) ?(key|id)|\bkey\b|keys?\b|connection ?string|dsn"
    r"|\b(url|uri)s?\b",
    re.IGNORECASE,
)
"""Parts of names that indicate a secret. The list errs on the safe side: a `url` may contain a password."""
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")

_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_WORDS = re.compile(r"(?<!\S)\S*@\S*")
_USER = re.compile(r"[^:@/]+:(?!//)")
_SCHEME = re.compile(r"\b(Bearer|Basic|Digest|Token|ApiKey)\s+\S+", re.IGNORECASE)
_VALUE = re.compile(r"""\\?"[^"]*"|'[^']*'|[^\s&]+""")
_OPTION = re.compile(r"(?<!\S)(--?[\w-]+)(?:\s+|=)(?=\S)")
_SHORT_OPTION = re.compile(r"(?<!\S)-([pu])\s*\S+")
"""Short options of psql, mysql, curl and others: a password, or a user with one."""
_ASSIGNMENT = re.compile(r"""(?<![\w.-])([\w.-]+)(?:\\?["'])?\s*(?:==(?!\s*\d)|=>|:=|=(?!=)|:)\s*(?=\S)""")
_KEY_FILE = re.compile(r"\S+\.(?:key|pem)\Z")
_PROSE = re.compile(r"[A-Za-z]+ (?=\S)")
_PARAMETER = re.compile(r"(?<=[?&])([^=&?\s]+)=([^&\s]+)")
_URL = re.compile(r"(?<=://)\S+")
_UUID = re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE)
_NO_BLOB = r"(?<!sha256/[0-9a-f]{2}/)(?<!blob )(?<![A-Za-z0-9+_-])"
_WORD, _WORD_OF_URL = (re.compile(rf"{_NO_BLOB}[A-Za-z0-9+_-]{{{shortest},}}={{0,2}}") for shortest in (20, 12))
"""A blob of the store is no secret: its name is shown."""
_KNOWN = re.compile(
    r"\b(?:(?:AKIA|ASIA)[A-Z0-9]{12,}|(?:gh[opsu]|ghr|hf|npm|[rs]k_(?:live|test))_\w{8,}|github_pat_\w{8,}"
    r"|AIza[\w-]{20,}"
    r"|(?:glpat|xox[a-z]|sk|pypi|dop_v1|shpat)[-_][\w-]{16,}|(?:eyJ|SG\.|ya29\.)[\w-]{8,}[\w.-]*)"
)
"""Tokens of AWS, GitHub, Hugging Face, npm, Stripe, Google, GitLab, Slack, OpenAI, PyPI, DigitalOcean, Shopify and
SendGrid, and JSON web tokens."""

_PLAIN_WORDS = frozenset(
    {
        *("true", "false", "yes", "no", "on", "off", "none", "null", "auto", "default", "never", "always", "initial"),
        *("debug", "info", "warning", "error", "critical"),
        *("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    }
)
_LARGEST = 99_999
"""The largest public number: a port, seconds, a size. Longer ones may be an account, a telephone or a card."""


def names_secret(name: str) -> bool:
    """Whether a value with this name must be kept secret, in any spelling."""
    return _SECRET.search(re.sub(r"[^A-Za-z0-9]+", " ", _HUMP.sub(" ", name))) is not None


def is_plain(value: object) -> bool:
    """Whether a value is too common to be a secret. A name that indicates a secret overrides this."""
    if isinstance(value, str):
        return value.lower() in _PLAIN_WORDS
    return value is None or isinstance(value, bool) or (isinstance(value, int | float) and abs(value) <= _LARGEST)


def masked(text: str) -> str:
    """`text`, which its place makes public, with the secrets in it masked."""
    if _PRIVATE_KEY.search(text):
        return MASK
    text = _WORDS.sub(_without_user, text)
    text = _SCHEME.sub(rf"\1 {MASK}", text)
    text = _SHORT_OPTION.sub(rf"-\1 {MASK}", text)
    text = _KNOWN.sub(MASK, text)
    for named in (_OPTION, _ASSIGNMENT):
        text = _without_values(named, text)
    text = _PARAMETER.sub(lambda found: found[0] if _is_short_number(found[2]) else f"{found[1]}={MASK}", text)
    text = _UUID.sub(MASK, text)
    text = _URL.sub(lambda url: _WORD_OF_URL.sub(_without_order, url[0]), text)
    return _WORD.sub(_without_order, text)


def is_token(name: str) -> bool:
    """Whether the name of a setting is itself a secret token, as in a mapping of tokens to users."""
    return _WORD.sub(_without_order, _UUID.sub(MASK, name)) != name


def command(line: str) -> str:
    """The program that a command line runs. The other words are hidden: passwords can be before or after the name."""
    # shlex takes the square of the time for longer words.
    if len(line) > limits.LOOKED_AT:
        return MASK
    try:
        words = shlex.split(line)
    except ValueError:
        return MASK
    while words and re.match(r"[A-Za-z_]\w*=[^$`]*\Z", words[0]):
        del words[0]
    if not words or not re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]*|/[A-Za-z0-9._/-]+", words[0]):
        return MASK
    return masked(words[0]) if words == [line] else f"{masked(words[0])} …"


def _without_values(named: re.Pattern[str], text: str) -> str:
    """Masks each value that follows a match of `named`, where the name in the match says that it is secret.

    The value of another name is looked through itself, as in `Server=db;Pwd=…`.
    """
    parts, end = [], 0
    for found in named.finditer(text):
        if found.start() < end or not names_secret(found[1]) or _is_file(found, text):
            continue
        value = _VALUE.match(text, found.end())
        if value is not None:
            parts += [text[end : found.end()], MASK]
            end = value.end()
    return "".join([*parts, text[end:]])


def _is_file(found: re.Match[str], text: str) -> bool:
    """Whether this is a sentence about the file of a key, as in `docassemble.key: it is encrypted`."""
    return _KEY_FILE.match(found[1]) is not None and _PROSE.match(text, found.end()) is not None


def _without_user(found: re.Match[str]) -> str:
    """Masks up to the last @, because passwords can contain slashes."""
    word = found[0]
    at, scheme = word.rfind("@"), word.find("://")
    if 0 <= scheme < at:
        return f"{word[: scheme + 3]}{MASK}{word[at:]}"
    user = _USER.match(word)
    return word if user is None or not user.end() < at < len(word) - 1 else f"{MASK}{word[at:]}"


def _is_short_number(text: str) -> bool:
    return text.isdecimal() and len(text) <= len(str(_LARGEST)) and int(text) <= _LARGEST


def _without_order(found: re.Match[str]) -> str:
    """Masks a word that looks random. Keys and tokens mix letters and digits; given names have hyphens or one case."""
    word = found[0]
    kinds = [re.search(kind, word) is not None for kind in ("[a-z]", "[A-Z]", "[0-9]")]
    is_random = kinds[2] and (all(kinds) or (any(kinds[:2]) and not re.search("[-_]", word)))
    return MASK if is_random else word
