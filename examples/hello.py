"""A small WSGI application for trying da_agent: it shows what its node has been given.

It reads `greeting` from the configuration, and lists the packages of its release. It cannot greet nobody.
"""

import os
import re
from collections.abc import Callable, Iterable
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

CONFIG = Path(os.environ["DA_CONFIG_FILE"]).read_text(encoding="utf-8")


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    greeting = re.search(r"^greeting: *(.*)$", CONFIG, re.MULTILINE)
    if greeting and greeting[1] == "nobody":
        raise ValueError("nobody is there to be greeted")
    packages = sorted({f"{each.name} {each.version}" for each in distributions()} - {"pip", "setuptools"})
    text = f"{greeting[1] if greeting else 'Hello'}. Release {os.environ['DA_AGENT_RELEASE']}.\n"
    text += f"Packages: {', '.join(packages) or 'none'}.\n"
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [text.encode()]
