"""Turns the output of failed uv, pip and compiler runs into the agent's errors."""

import re
from itertools import islice
from pathlib import Path

from da_agent import files
from da_agent.domain import texts
from da_agent.domain.node import disk_space
from da_agent.errors import AgentError, Invalid, NodeBroken, NotHere, Unreachable

_HEADING = re.compile(r"^\s*(?:\u00d7|╰─▶|├─▶|error:|cause:|Caused by:|hint:|warning:|ERROR:)\s*")
_NETWORK = re.compile(
    r"Request failed after \d+ retries|error sending request for url|operation timed out"
    r"|HTTP status server error|429 Too Many Requests"
    r"|Retrying \(Retry\(total=0|Max retries exceeded|ReadTimeoutError|Read timed out|IncompleteRead"
)
_LOCKED_OUT = re.compile(
    r"lack of valid authentication|returned a 403 Forbidden|HTTP status client error \((?:401|403|407)"
)
_URL = re.compile(r"https?://[^\s`'\")]+")
_HEADER = re.compile(r"fatal error: '?([\w./+-]+\.h(?:pp|xx|h)?)'?(?:: No such file or directory| file not found)")
_NO_PROGRAM = re.compile(r"(?:command|unable to execute) '?([\w.+-]+)'?(?: failed)?: No such file")
_COMPILER = re.compile(r"gcc|g\+\+|cc|clang|cargo|rustc")
_HEADERS = 20
"""How many missing headers are named at most."""
_VERDICT = re.compile(r"Failed to build `([^`]+)`|Failed building wheel for (\S+)")
_COLLECTED = re.compile(r"^Collecting ([\w.-]+)", re.MULTILINE)
_FAILED_BUILD = re.compile(
    r"Failed to build|Failed building wheel|build backend returned an error|metadata-generation-failed"
)
_LOCAL_URL = re.compile(r" ?@ file://[^\s`]+")
_PASSWORD = re.compile(r"//[^/@\s]*@")


def explain(output: str, code: int, task: str, *, scratch: Path, configured: bool) -> AgentError:
    """The error for a failed resolution, download or build. `task` completes "cannot …".

    `scratch` is where files are written. `configured`: the indexes come from config.yml, so rejected credentials are
    Invalid; otherwise they come from this machine, and the error is NotHere.
    """
    if disk_full(output):
        return NodeBroken(f"cannot {task}: {files.full(scratch, disk_space.BLOCK)}")
    if _LOCKED_OUT.search(output):
        sentence = f"cannot {task}: the package index {_index(output)} rejects the credentials of this machine"
        return Invalid(sentence) if configured else NotHere(sentence)
    if _NETWORK.search(output):
        return Unreachable(f"cannot reach the package index at {_index(output)}: {_last_cause(output)}")
    if _HEADER.search(output) or _compiler(output) or _FAILED_BUILD.search(output):
        return failed_build(output, task)
    # uv and pip exit with 2 for failures of their own: that says nothing about the requirements.
    failure = NotHere if code == 2 else Invalid
    return failure(f"cannot {task}: {reason(output)}")


def disk_full(output: str) -> bool:
    return "No space left on device" in output or "Disk quota exceeded" in output


def failed_build(output: str, task: str) -> AgentError:
    """The error for a failed build: every missing header by name, or the last meaningful lines."""
    missing = islice(_HEADER.finditer(output), _HEADERS)
    headers = {(_culprit(output, found.end(), task), found[1]) for found in missing}
    if headers:
        return Invalid(
            f"cannot {task}: the C header {header} is missing on this machine; install the system package that has "
            f"it, or put a wheel into packages/"
            for task, header in sorted(headers)
        )
    task = _culprit(output, 0, task)
    compiler = _compiler(output)
    if compiler:
        return NotHere(f"cannot {task}: this machine has no {compiler}")
    return Invalid(f"cannot {task}: {_shortened(' / '.join(_meaningful(output)[-4:]))}")


def _compiler(output: str) -> str | None:
    """The compiler that the build has not found, if any."""
    programs = (found[1] for found in _NO_PROGRAM.finditer(output))
    return next((program for program in programs if _COMPILER.search(program)), None)


def _culprit(output: str, position: int, task: str) -> str:
    """What was being built: the first verdict after `position`, or the last package that pip collected."""
    if task.startswith("build "):
        return task
    verdict = _VERDICT.search(output, position)
    collected = _COLLECTED.findall(output)
    if verdict:
        name = (verdict[1] or verdict[2]).replace("==", " ")
        return f"build {_LOCAL_URL.sub('', name).rsplit('/', 1)[-1]}"
    return f"build {collected[-1]}" if collected else task


def reason(output: str) -> str:
    """uv's reason as one paragraph, without local file URLs."""
    parts = [_HEADING.sub("", line).strip() for line in output.splitlines() if not line.lstrip().startswith("warning:")]
    text = " ".join(part for part in parts if part and not part.startswith("No solution found"))
    text = _LOCAL_URL.sub("", text)
    return _shortened(text[:1].lower() + text[1:] if text.startswith("Because") else text)


def _meaningful(output: str) -> list[str]:
    """The lines of a build log without frames and noise; the tools' own verdicts after the error are noise."""
    lines = [line.strip(" │╰─>|") for line in output.splitlines()]
    kept = [line for line in lines if line and not _NOISE.match(line)]
    return kept or ["it gave no reason"]


_NOISE = re.compile(
    r"error: (?:Failed to build|subprocess-exited)|ERROR: Fail|cause: |hint: |note: |\[end of output\]"
    r"|\[std(?:out|err)\]|exit code: |See above|\[notice\]|\u00d7|Building wheel|Traceback|running |copying |creating "
    r"|writing |reading |adding |Collecting |Downloading |Saved |Successfully|Preparing |Installing |Getting "
    r"|File \"|\^+$"
)


def _index(output: str) -> str:
    found = _URL.search(output)
    if found is None:
        return "its address"
    return _PASSWORD.sub("//", found[0].rstrip(".,/"))


def _last_cause(output: str) -> str:
    lines = [line for line in output.splitlines() if re.match(r"\s*(?:cause:|Caused by:|ERROR:)", line)]
    text = _HEADING.sub("", lines[-1]).strip() if lines else "no answer"
    return _shortened(text)


def _shortened(text: str) -> str:
    return texts.mistake(_PASSWORD.sub("//", text))
