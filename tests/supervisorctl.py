"""supervisorctl, as an admin uses it on a node."""

import subprocess
import sys
import time
from importlib import resources

from da_agent.adapters.dev_clusters import DevNode


def supervisorctl(node: DevNode, *arguments: str) -> str:
    """What it prints. Its exit code tells the state of programs and is of no use here."""
    configuration = str(resources.files("da_agent") / "supervisord.conf")
    return subprocess.run(
        (sys.executable, "-m", "supervisor.supervisorctl", "-c", configuration, *arguments),
        env=node.environment,
        capture_output=True,
        text=True,
        check=False,
    ).stdout


def states(node: DevNode) -> dict[str, str]:
    lines = (line.split() for line in supervisorctl(node, "status").splitlines())
    return {words[0]: words[1] for words in lines if len(words) > 1}


def wait_for(node: DevNode, program: str, *wanted: str, seconds: float = 60.0) -> str:
    """Return the state of `program` when it is one of `wanted`."""
    ends = time.monotonic() + seconds
    while (state := states(node).get(program, "")) not in wanted:
        assert time.monotonic() < ends, f"{program} is {state or 'unknown'}, not {wanted}; {node.logs()}"
        time.sleep(0.1)
    return state
