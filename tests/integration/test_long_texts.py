"""Whatever matches text is linear: with a quadratic step, these inputs would take hours."""

from pathlib import Path

import pytest

from da_agent.adapters.packaging import complaints
from da_agent.domain import limits, texts
from da_agent.domain.config import redaction

LONG = 1_000_000
"""Characters: the square of it is more than a machine does in hours."""

ATOMS = [
    *(
        "a",
        "-",
        "--a ",
        "?",
        "?a=",
        "&",
        "://",
        "a:",
        "@",
        "x@",
        "://@",
        '"',
        "'",
        '--a "',
        "Bearer ",
        "eyJ",
        ".",
        "=",
        " ",
    ),
    *('password="', "password:'", "sk-", "AKIA", "-----BEGIN ", ": ", "a.", "ghp_", "0", "A1a", "blob ", "sha256/aa/"),
    *(
        "u:x@",
        "-p ",
        "Failed to build `",
        "Failed building wheel for ",
        "fatal error: ",
        "fatal error: a.h",
        ".h",
        "gcc",
    ),
    *("unable to execute ", "unable to execute gcc", "Collecting a\n", "https://", "//", " @ file://", "error: ", "\n"),
    *("Because ", "│", "\u202e", "\x1b[", "P", "é"),
]


@pytest.mark.parametrize("atom", ATOMS)
def test_masking_is_linear(atom: str) -> None:
    said = (atom * LONG)[:LONG]
    assert redaction.masked(f"x{said} x")
    assert len(texts.reason(said)) <= limits.REASON


@pytest.mark.parametrize("atom", ATOMS)
def test_finding_the_program_of_a_command_is_linear(atom: str) -> None:
    assert redaction.command((atom * LONG)[:LONG]) == redaction.MASK


@pytest.mark.parametrize("before", ["", "unable to execute ", "fatal error: ", "Failed to build `a`\n"])
@pytest.mark.parametrize("atom", ATOMS)
def test_reading_the_output_of_a_failed_build_is_linear(atom: str, before: str) -> None:
    """Of the most that is kept of an output."""
    said = before + (atom * limits.OUTPUT)[: limits.OUTPUT]
    assert str(complaints.explain(said, 1, "fetch the packages", scratch=Path("/"), configured=False))
