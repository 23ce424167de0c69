"""The JSON of a command."""

from typing import Literal

import msgspec
from msgspec import Struct


class Output(Struct, frozen=True, kw_only=True):
    """What one command prints with `--json`. Its fields are the keys, which docs/json.md describes."""

    format: Literal[1] = 1


def json(output: Output) -> str:
    return msgspec.json.format(msgspec.json.encode(output)).decode()
