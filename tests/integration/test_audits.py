"""scripts/audit, with a server that answers as OSV does."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "audit"


@contextmanager
def osv(known: dict[str, Any], status: int = 200) -> Iterator[str]:
    """The URL of a server that knows the vulnerability `known[NAME]` of each package NAME."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["package"]["name"]
            body = json.dumps({"vulns": [known[asked]]} if asked in known else {}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/query"
        finally:
            server.shutdown()
            thread.join()


def audit(url: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run((sys.executable, SCRIPT, "--osv-url", url), capture_output=True, text=True, check=False)


def vulnerability(name: str) -> dict[str, Any]:
    events = [{"introduced": "0"}, {"fixed": "999"}]
    affected = {"package": {"name": name, "ecosystem": "PyPI"}, "ranges": [{"type": "ECOSYSTEM", "events": events}]}
    return {
        "id": "PYSEC-2026-1",
        "modified": "2026-01-01T00:00:00Z",
        "published": "2026-01-01T00:00:00Z",
        "summary": "Anyone may.",
        "affected": [affected],
    }


def test_a_known_vulnerability_is_named_with_the_version_that_mends_it() -> None:
    with osv({"urllib3": vulnerability("urllib3")}) as url:
        done = audit(url)
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("urllib3 2.")
    assert done.stdout.endswith(": PYSEC-2026-1, mended in 999\n")


def test_nothing_known_is_said_of_all_packages() -> None:
    with osv({}) as url:
        done = audit(url)
    assert (done.returncode, done.stdout.startswith("No vulnerability is known in the ")) == (0, True), done.stderr


def test_no_answer_is_not_taken_for_no_vulnerability() -> None:
    with osv({}, status=503) as url:
        failing = audit(url)
    for done in (failing, audit("http://127.0.0.1:9/v1/query")):
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith("scripts/audit: cannot ask http://127.0.0.1")
