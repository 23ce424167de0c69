"""Behaves as its package says, and tells which release, version and process answered: tests/shops.py makes the wheels.

/            at once
/slow        after `?seconds=`, and only then with what is imported and read late
/health      says "well", unless that is this version's fault
"""

import json
import os
import threading
import time
from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.metadata import version
from typing import Any
from urllib.parse import parse_qs

WAYS = import_module("shop_ways")
PROCESS = f"{os.getpid()}-{time.time_ns()}"
RELEASE = int(os.environ["DA_AGENT_RELEASE"])
PADDING = "." * 1000
LEAK = threading.Event()

time.sleep(WAYS.START)
if WAYS.FAULT == "fails to import":
    raise RuntimeError("this version cannot be imported")
if WAYS.FAULT == "fails to import in the web server":
    try:
        import_module("mod_wsgi")
    except ImportError:
        pass
    else:
        raise RuntimeError("this version cannot be imported by the web server")


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if WAYS.FAULT == "answers 500":
        return _answer(start_response, "500 Internal Server Error", "text/plain", b"this version is broken\n")
    if WAYS.FAULT == "leaks" and not LEAK.is_set():
        LEAK.set()
        # Python waits for such threads before it ends: this process has to be killed.
        threading.Thread(target=threading.Event().wait, daemon=False).start()
    if environ["PATH_INFO"] == "/health":
        return _answer(start_response, "200 OK", "text/plain", b"well\n")
    facts = {"release": RELEASE, "version": WAYS.VERSION, "process": PROCESS, "late": None, "padding": PADDING}
    if environ["PATH_INFO"] == "/slow":
        time.sleep(float(parse_qs(environ["QUERY_STRING"])["seconds"][0]))
        facts["late"] = [import_module("shop_late").VERSION, version("shop")]
    return _answer(start_response, "200 OK", "application/json", json.dumps(facts).encode())


def _answer(start_response: Callable[..., Any], status: str, kind: str, body: bytes) -> Iterable[bytes]:
    start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]
