"""Which settings hold nothing secret, told by their place: every other one might."""

from collections.abc import Iterator

from da_agent.domain.config.docassemble_keys import KEYS, Kind, Schema, canonical
from da_agent.domain.config.redaction import names_secret
from da_agent.domain.config.sections import NAMES, OUR_SECTION

Place = tuple[object, ...]
"""The keys from the top. A list's items are where the list is."""

_COMMANDS = frozenset({(OUR_SECTION, "release command"), (OUR_SECTION, "health command")})
_ADDRESSES = (
    ("pip index url",),
    ("pip extra index urls",),
    ("ec2 ip url",),
    ("s3", "endpoint url"),
    ("url root",),
)
"""Their names would give them away; what is secret in them is masked."""
_COMMON = (
    *("root", "exitpage", "default interview", "dispatch", "default title", "default short title", "appname"),
    *("brandname", "title", "locale", "os locale", "other os locales", "language", "timezone", "country", "currency"),
    *("currency symbol", "debug", "maximum content length", "celery processes", "bootstrap theme", "log level"),
)
"""What docassemble shows to whoever opens its pages, or what is only about how it runs."""


def is_command(place: Place) -> bool:
    """Whether command lines stand there, in which passwords are often given."""
    return _spelt(place) in _COMMANDS


def is_public(place: Place) -> bool:
    """Keys may be in either spelling. In a text that stands there, something may be secret all the same."""
    if len(place) > 1 and place[0] == "dispatch":
        return not names_secret(str(place[-1]))
    return _spelt(place) in _PUBLIC


def _spelt(place: Place) -> Place:
    return tuple(canonical(key) for key in place)


def _known(schema: Schema, above: Place = ()) -> Iterator[Place]:
    for name, rule in schema.items():
        if not isinstance(rule, Kind):
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
