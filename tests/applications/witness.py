"""Tells from which configuration, release and packages it was made: all three must belong together."""

import json
import os
import time
from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

CONFIG = Path(os.environ["DA_CONFIG_FILE"]).read_text(encoding="utf-8")
GREETING = next((line.partition(": ")[2] for line in CONFIG.splitlines() if line.startswith("greeting: ")), None)


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/slow":
        time.sleep(float(environ["QUERY_STRING"]))
    try:
        given = {"module": import_module("gift").VERSION, "metadata": version("gift")}
    except (ImportError, PackageNotFoundError):
        given = None
    facts = {"release": int(os.environ["DA_AGENT_RELEASE"]), "greeting": GREETING, "gift": given, "pid": os.getpid()}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(facts).encode()]
