"""Text from other programs and other machines, made fit to be stored and shown.

A reason is one line without secrets, of at most `limits.REASON` characters. So is each line of a log, of at most
`limits.LOG_LINE` characters.
"""

import re
from collections.abc import Iterable

from da_agent.domain import limits
from da_agent.domain.config import redaction

_CUT = " … "
_QUERY = re.compile(r"(?<=\S)\?[^\s\"')]*[^\s\"'):;,.]")
_HASH = re.compile(r"\b[0-9a-f]{64}\b")


def one_line(text: str) -> str:
    return " ".join(text.split())


def visible(line: str) -> str:
    """`line` with an escape, as in `\\x1b`, for each character that a terminal would obey or not show.

    Among them are control sequences, and those that change the direction of the text.
    """
    if line.isprintable():
        return line
    return "".join(character if character.isprintable() else _escape(character) for character in line)


def shown(text: str) -> str:
    """Lines for a terminal or a log, each `visible`."""
    return text if text.isprintable() else "\n".join(map(visible, text.split("\n")))


def reason(text: object) -> str:
    """Why something failed, or was done."""
    return _fit(str(text), limits.REASON)


def maybe_reason(text: object) -> str | None:
    """As `reason`; None for None."""
    return None if text is None else reason(text)


def mistake(text: str) -> str:
    """What is wrong with an inbox, or why a build failed."""
    return _fit(text, limits.MISTAKE)


def mistakes(found: Iterable[str]) -> tuple[str, ...]:
    """The first `limits.MISTAKES` sentences about an inbox, and how many more there are."""
    told = tuple(found)
    kept = tuple(map(mistake, told[: limits.MISTAKES]))
    return kept if len(told) == len(kept) else (*kept, f"… and {len(told) - len(kept)} more mistakes")


def log(lines: Iterable[str]) -> tuple[str, ...]:
    """The last `limits.LOG_LINES` lines of a log or an output."""
    return tuple(_fit(line, limits.LOG_LINE) for line in tuple(lines)[-limits.LOG_LINES :])


def shortened(text: str, most: int) -> str:
    """The beginning and the end of a text that has more than `most` characters: errors name their cause last."""
    if len(text) <= most:
        return text
    end = most // 3
    return f"{text[: most - end - len(_CUT)].rstrip()}{_CUT}{text[-end:].lstrip()}"


def _fit(text: str, most: int) -> str:
    # Masked before anything is cut off: half a secret does not look like one.
    words = _bounded(text).split()
    line = redaction.masked(" ".join(words))
    line = visible(" ".join(_short_word(word, most) for word in line.split(" ")))
    if len(line) > most:
        # A store has a long address; what is wrong in it matters more.
        line = _QUERY.sub("?…", line)
    for found in reversed(list(_HASH.finditer(line))):
        if len(line) > most:
            line = f"{line[: found.start() + 12]}…{line[found.end() :]}"
    return shortened(line, most)


def _bounded(text: str) -> str:
    """Enough of `text` for its beginning and its end, which begins with a whole word."""
    if len(text) <= limits.LOOKED_AT:
        return text
    half = limits.LOOKED_AT // 2
    _, _, end = text[-half:].partition(" ")
    return f"{text[:half]}{_CUT}{end}"


def _short_word(word: str, most: int) -> str:
    """The beginning of a long word: its end would be shown without the name that makes it a secret."""
    return word if len(word) <= most // 2 else f"{word[: most // 2]}…"


def _escape(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
