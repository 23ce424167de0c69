"""The words that package and docs do not use: docs/glossary.md has those that they use instead."""

import re
import subprocess
from pathlib import Path

HOME = Path(__file__).parents[2]

PEOPLE = r"nobody|whoever|somebody|everybody"
OLD = r"lookouts?|pardon\w*|passports?|poke[sd]?|sightings?|adopt(s|ed|ing|ion)?"
BANNED = re.compile(rf"\b({PEOPLE}|{OLD})\b", re.IGNORECASE)


def texts() -> list[Path]:
    found = subprocess.run(
        ["git", "ls-files", "da_agent", "docs", "README.md", "CONTRIBUTING.md"],
        cwd=HOME,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [HOME / name for name in found.stdout.splitlines() if (HOME / name).is_file()]


def test_the_check_sees_the_words() -> None:
    assert BANNED.search("Nobody adopts it")
    assert BANNED.search("a lookout")
    assert not BANNED.search("the node publishes it")


def test_package_and_docs_use_plain_words() -> None:
    found = [
        f"{path.relative_to(HOME)}:{number}: {line.strip()}"
        for path in texts()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if BANNED.search(line)
    ]
    assert found == [], "\n".join(found)
