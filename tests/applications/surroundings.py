"""Tells its environment: to a file when it is imported, and to each visitor."""

import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

CONFIG = Path(os.environ["DA_CONFIG_FILE"]).read_text(encoding="utf-8")
RECORD = Path(next(line.partition(": ")[2] for line in CONFIG.splitlines() if line.startswith("record: ")))

with (RECORD / f"import-{os.getpid()}.json").open("w") as record:
    json.dump({"check": "--check" in sys.argv, "variables": dict(os.environ)}, record)


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({**os.environ, **{name: str(value) for name, value in environ.items()}}).encode()]
