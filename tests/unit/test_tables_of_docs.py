"""Tables in the docs: a row that has lost or gained a cell is shown wrongly."""

import re
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
PAGES = sorted([*TOP.glob("*.md"), *TOP.glob("docs/**/*.md"), *TOP.glob("benchmarks/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_every_row_of_a_table_has_the_cells_of_its_head(page: Path) -> None:
    cells = 0
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        found = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        assert not (cells and found) or found == cells, f"{page.name} line {number}"
        cells = found
