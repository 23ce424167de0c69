"""The JSON of a command."""

import re
from json import dumps
from typing import Literal

import msgspec
from msgspec import Struct


class Output(Struct, frozen=True, kw_only=True):
    """What one command prints with `--json`. Its fields are the keys, which docs/json.md describes."""

    format: Literal[1] = 1


def json(output: Output) -> str:
    """Indented JSON. What a terminal would obey, or not show, is escaped as JSON does it."""
    return _UNSEEN.sub(_escaped, msgspec.json.format(msgspec.json.encode(output)).decode())


_UNSEEN = re.compile(r"[^\n -~]")


def _escaped(found: re.Match[str]) -> str:
    return found[0] if found[0].isprintable() else dumps(found[0])[1:-1]
