"""The loader: runs the application from exactly one release, and says which one it is.

When the process starts, the live release's real path is resolved once. All that the process ever imports comes from
there, also when the switch has moved on: the next process will see the new release, this one never does.

    under mod_wsgi                          serve the live release of the node this file belongs to
    python docassemble.wsgi --check DIR     load the application of the release in DIR in the same way, then end:
                                            the last line of the output is JSON, {"error": null} or the reason

/.well-known/da-agent answers for this process: 200 when it serves, 503 while the node is draining (the file
agent/draining exists), 500 when the application cannot be loaded. Standard library only: it must work when nothing
in the release does.
"""

import faulthandler
import html
import importlib
import importlib.metadata
import json
import os
import site
import socket
import sys
import sysconfig
import time
import traceback

NODE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HEALTH = "/.well-known/da-agent"
DOCASSEMBLE = "docassemble.webapp.server:app"
BROKEN = 70
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Release {release}</title></head>
<body><h1>Release {release}</h1><p>Node {node}. No application is configured yet.</p></body></html>
"""


class Release:
    """The release that this process is pinned to."""

    def __init__(self, folder):
        self.folder = os.path.realpath(folder)
        # Never closed: the agent removes no release of which a process has a file open.
        self.held = open(os.path.join(self.folder, "webapp.json"), encoding="utf-8")
        facts = json.load(self.held)
        self.number = facts["release"]
        self.application = facts["application"]
        self.application_path = facts["application_path"]
        self.patience = facts["start_timeout"]

    def enter(self):
        """Make this process one of the release's own environment, as its `python` would be."""
        environment = os.path.join(self.folder, "local")
        config = os.path.join(self.folder, "config.yml")
        os.environ.update(
            DA_CONFIG_FILE=config,
            DOCASSEMBLE_CONFIG=config,
            DA_AGENT_RELEASE=str(self.number),
            VIRTUAL_ENV=environment,
            PATH=os.path.join(environment, "bin") + os.pathsep + os.environ.get("PATH", os.defpath),
        )
        # A release is complete before it is served; whoever serves it changes nothing in it.
        sys.dont_write_bytecode = True
        others = {*site.getsitepackages(), os.path.join(NODE, "webapp")}
        sys.path[:] = [entry for entry in sys.path if entry not in others]
        sys.prefix = sys.exec_prefix = environment
        sys.executable = os.path.join(environment, "bin", "python")
        self.packages = sysconfig.get_path("purelib", vars={"base": environment})
        site.addsitedir(self.packages)
        if self.application_path:
            sys.path.insert(0, self.application_path)
        # Relative paths of the application mean the same here and in a rehearsal.
        os.chdir("/")

    def load(self):
        """The WSGI application, or None when there is none to serve."""
        target = self.application
        if not target:
            installed = importlib.metadata.distributions(name="docassemble.webapp", path=[self.packages])
            if not any(installed):
                return None
            target = DOCASSEMBLE
        module, _, names = target.partition(":")
        found = importlib.import_module(module)
        for name in (names or "application").split("."):
            found = getattr(found, name)
        if not callable(found):
            raise TypeError(f"{target} is not a WSGI application: it cannot be called")
        return found


def reason(error):
    """What went wrong and where, in one line."""
    frames = traceback.extract_tb(error.__traceback__)
    what = " ".join("".join(traceback.format_exception_only(type(error), error)[-1:]).split())
    outside = [frame for frame in frames if frame.filename != __file__ and not frame.filename.startswith("<frozen")]
    where = f" ({outside[-1].filename}, line {outside[-1].lineno})" if outside else ""
    return what[:500] + where


def load(release):
    """The application and None, or None and why it cannot be loaded."""
    try:
        # An import that never ends would hold this process for ever, deaf to the touch that should replace it.
        # The traceback goes to the log; then the process ends, and the next one sees where the switch points now.
        faulthandler.dump_traceback_later(release.patience, exit=True, file=2)
        release.enter()
        return release.load(), None
    except BaseException as error:  # also SystemExit: an application's exit() must not look like success
        traceback.print_exc()
        return None, reason(error)
    finally:
        faulthandler.cancel_dump_traceback_later()


class Loader:
    """The WSGI application that Apache sees: the health URL, then the application, or what stands in for it."""

    def __init__(self, folder):
        self.pid = os.getpid()
        self.started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.release = Release(folder)
        self.application, self.error = load(self.release)

    def __call__(self, environ, start_response):
        def start(status, headers, exc_info=None):
            # Apache moves this header into its log; clients never see it.
            mark = ("X-DA-Agent", f"release={self.release.number} pid={self.pid}")
            return start_response(status, [*headers, mark], exc_info)

        if environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "") == HEALTH:
            return self.health(environ, start)
        if self.error is not None:
            return answer(start, "500 Internal Server Error", "text/plain", "The application cannot be loaded.\n")
        if self.application is None:
            page = PAGE.format(release=self.release.number, node=html.escape(socket.gethostname()))
            return answer(start, "200 OK", "text/html", page)
        return self.application(environ, start)

    def health(self, environ, start):
        draining = os.path.exists(os.path.join(NODE, "agent", "draining"))
        status = "503 Service Unavailable" if draining else "200 OK"
        error = self.error
        if error is not None:
            status = "500 Internal Server Error"
            # The reason may name paths and hosts: it is for this machine, the others read it in `da-agent status`.
            if environ.get("REMOTE_ADDR") not in ("127.0.0.1", "::1", environ.get("SERVER_ADDR")):
                error = "the application cannot be loaded"
        body = {
            "release": self.release.number,
            "pid": self.pid,
            "started": self.started,
            "draining": draining,
            "error": error,
        }
        return answer(start, status, "application/json", json.dumps(body) + "\n", ("Connection", "close"))


def answer(start, status, kind, text, *more):
    body = text.encode()
    headers = [
        ("Content-Type", f"{kind}; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
    ]
    start(status, headers + list(more))
    return [body]


def check(folder):
    """Load the application as a worker process would, tell the result, and end whatever threads it has begun."""
    _, error = load(Release(folder))
    sys.stdout.write("\n" + json.dumps({"error": error}) + "\n")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(BROKEN if error else 0)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] != "--check":
        sys.exit("usage: docassemble.wsgi --check DIR")
    check(sys.argv[2])
else:
    application = Loader(os.path.join(NODE, "current"))
