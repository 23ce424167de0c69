"""Of what a program prints, the last part is kept, whatever it prints."""

import os
import sys
import tracemalloc
from pathlib import Path

import pytest

from da_agent import processes
from da_agent.domain import limits
from da_agent.processes import Outcome

MIB = 1024 * 1024


def run(code: str, *, patience: float = 600, watched: list[str] | None = None) -> Outcome:
    watch = processes.ignore if watched is None else watched.append
    command = (sys.executable, "-I", "-c", f"import os, sys\nout = sys.stdout.buffer\n{code}\nout.flush()\n")
    return processes.run(command, dict(os.environ), folder=Path("/"), patience=patience, watch=watch)


def test_a_short_output_is_kept_as_it_is() -> None:
    lines: list[str] = []
    ended = run("out.write('größe\\nand more'.encode()); out.flush(); sys.stderr.write(' of it\\n')", watched=lines)
    assert (ended.code, ended.lines) == (0, ["größe", "and more of it"])
    assert lines == ended.lines


@pytest.mark.parametrize(
    "code",
    [
        f"for _ in range(300): out.write(b'x' * {MIB})",
        f"for _ in range(300): out.write(b'line\\n' * ({MIB} // 5))",
        f"for _ in range(300): out.write(b'\\n' * {MIB})",
    ],
    ids=["one line", "short lines", "empty lines"],
)
def test_an_endless_output_takes_a_bounded_part_of_the_memory(code: str) -> None:
    tracemalloc.start()
    ended = run(f"{code}\nout.write(b'the end')")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert ended.code == 0
    assert ended.output.endswith("the end")
    assert len(ended.output) <= limits.OUTPUT
    assert peak < 8 * MIB


def test_a_program_that_prints_without_end_is_ended_after_its_time(tmp_path: Path) -> None:
    ended = run("while True: out.write(b'x' * 65536)", patience=3)
    assert ended.code is None
    assert set(ended.output) == {"x"}


def test_the_disk_holds_a_bounded_part_of_an_output(tmp_path: Path) -> None:
    """The program asks how large its own output is after it has printed 1 GiB."""
    code = (
        "sizes = []\n"
        "for _ in range(1024):\n"
        f"    os.write(1, b'x' * {MIB})\n"
        "    sizes.append(os.fstat(1).st_blocks * 512)\n"
        "    import time; time.sleep(0.005)\n"
        "out.write(f'\\n{max(sizes)}'.encode())"
    )
    assert int(run(code).lines[-1]) < 512 * MIB


def test_what_watches_gets_the_beginning_of_a_long_line() -> None:
    lines: list[str] = []
    run(f"out.write(b'a' * {MIB} + b'\\nb\\n')", watched=lines)
    assert lines == ["a" * limits.OUTPUT_LINE, "b"]


def test_a_character_that_is_cut_is_no_error() -> None:
    assert run(f"out.write('ü'.encode() * {limits.OUTPUT} + b'\\xff end')").output.endswith("ü\ufffd end")
