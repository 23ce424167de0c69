"""Which settings are never secret, decided by their place in config.yml. Every other setting might be."""

from collections.abc import Iterator

from da_agent.domain.config.docassemble_keys import KEYS, Schema, ValueKind, canonical
from da_agent.domain.config.redaction import names_secret
from da_agent.domain.config.sections import NAMES, OUR_SECTION

Place = tuple[object, ...]
"""The keys from the top. The items of a list have the place of the list."""

_COMMANDS = frozenset({(OUR_SECTION, "release command"), (OUR_SECTION, "health command")})
_ADDRESSES = (
    ("pip index url",),
    ("pip extra index urls",),
    ("ec2 ip url",),
    ("s3", "endpoint url"),
    ("url root",),
)
"""Public although their names look secret: `redaction.masked` hides the secret parts of these URLs."""
_COMMON = (
    *("root", "exitpage", "default interview", "dispatch", "default title", "default short title", "appname"),
    *("brandname", "title", "locale", "os locale", "other os locales", "language", "timezone", "country", "currency"),
    *("currency symbol", "debug", "maximum content length", "celery processes", "bootstrap theme", "log level"),
)
"""Settings that docassemble shows on its public pages, or that only tune how it runs."""


def is_command(place: Place) -> bool:
    """Whether the setting holds command lines, which often contain passwords."""
    return _spelt(place) in _COMMANDS


def is_public(place: Place) -> bool:
    """Whether the setting is public; its keys may be in either spelling. Its text may still contain a secret."""
    if len(place) > 1 and place[0] == "dispatch":
        return not names_secret(str(place[-1]))
    return _spelt(place) in _PUBLIC


def _spelt(place: Place) -> Place:
    return tuple(canonical(key) for key in place)


def _known(schema: Schema, above: Place = ()) -> Iterator[Place]:
    for name, rule in schema.items():
        if not isinstance(rule, ValueKind):
            yield from _known(rule, (*above, name))
        elif not names_secret(name):
            yield (*above, name)


_PUBLIC = frozenset(
    {
        *_known(KEYS),
        *_ADDRESSES,
        *((name,) for name in _COMMON),
        *((OUR_SECTION, name) for name in NAMES),
    }
    - _COMMANDS
)
