"""The loader: runs the application from exactly one release, and says which one it is.

There are two groups of worker processes, blue and green. The live one answers every request; the idle one is light, for
it has loaded nothing. A group has a pin, agent/web/GROUP: a link to the release that it is to serve. It is resolved
once, when the process loads; all that the process ever imports comes from there, also when the pin or the switch has
moved on. A process whose group has a pin loads when it starts. One that has started without it loads in its place
once it is asked, at its health URL, after its group has got one.

    under mod_wsgi                          serve what the pin of the process's group says
    python docassemble.wsgi --check DIR     load the application of the release in DIR in the same way, then end:
                                            the last line of the output is JSON, {"error": null} or the reason

/.well-known/da-agent answers for this process: 200 when it serves, 503 while the node is draining (the file
agent/draining exists), nothing is loaded yet, or the application cannot be loaded. The agent also gets the details.
Standard library only: it must work when nothing in the release does.
"""

import contextlib
import faulthandler
import fcntl
import html
import importlib
import importlib.metadata
import json
import os
import site
import socket
import sys
import sysconfig
import threading
import time
import traceback

NODE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WEB = os.path.join(NODE, "agent", "web")
GROUPS = ("blue", "green")
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
        self.fingerprint = facts.get("serves", {}).get("application")
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
        # A release is complete before it is served; a process that serves it changes nothing in it.
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


@contextlib.contextmanager
def turn(release):
    """One process of a group after the other, while others are being served: they need the processors more.

    But not for ever: after a quarter of the time that there is, those that still wait load all at once.
    """
    ends = time.monotonic() + release.patience / 4
    while time.monotonic() < ends:
        try:
            fcntl.flock(release.held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            time.sleep(0.1)
    try:
        yield
    finally:
        fcntl.flock(release.held, fcntl.LOCK_UN)


def pin(group):
    """Where the release lies that this group is to serve; None for a group that is to be idle.

    Without a pin the live group serves what the switch points to, and so does any process outside the groups.
    """
    if group in GROUPS:
        # Resolved here, and only once: the agent may remove or replace the link at any moment.
        with contextlib.suppress(OSError):
            pinned = os.path.normpath(os.path.join(WEB, os.readlink(os.path.join(WEB, group))))
            if os.path.isdir(pinned):
                return pinned
    return None if group in GROUPS and group != live() else os.path.join(NODE, "current")


def live():
    try:
        with open(os.path.join(WEB, "groups"), encoding="ascii") as groups:
            return groups.read().split()[1]
    except (OSError, IndexError):
        return GROUPS[0]


def draining():
    return os.path.exists(os.path.join(NODE, "agent", "draining"))


class Loader:
    """The WSGI application that Apache sees: the health URL, then the application, or what stands in for it."""

    def __init__(self, group):
        self.group = group
        self.pid = os.getpid()
        self.started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.release = self.application = self.error = None
        self.lock = threading.Lock()
        self.begun = False
        self.loaded = threading.Event()
        self.active = 0
        folder = pin(group)
        if folder:
            self.load(folder, in_turn=group in GROUPS and group != live() and not draining())

    def load(self, folder, in_turn=False):
        """Load the release, once; later calls wait for the first."""
        with self.lock:
            first, self.begun = not self.begun, True
        if first:
            try:
                self.release = Release(folder)
                with turn(self.release) if in_turn else contextlib.nullcontext():
                    self.application, self.error = load(self.release)
            except Exception as error:
                traceback.print_exc()
                self.error = reason(error)
            finally:
                self.loaded.set()
        self.loaded.wait()

    def __call__(self, environ, start_response):
        details = receive(environ)
        if environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "") == HEALTH:
            return self.health(details, self.marked(start_response))
        if not self.loaded.is_set():
            # Whatever brought a request to a group that was to be idle: it is answered, and late rather than never.
            self.load(pin(self.group) or os.path.join(NODE, "current"))
        start = self.marked(start_response)
        if self.error is not None:
            return answer(start, "500 Internal Server Error", "text/plain", "The application cannot be loaded.\n")
        if self.application is None:
            page = PAGE.format(release=self.release.number, node=html.escape(socket.gethostname()))
            return answer(start, "200 OK", "text/html", page)
        return self.counted(environ, start)

    def marked(self, start_response):
        def start(status, headers, exc_info=None):
            # Apache moves this header into its log; clients never see it.
            mark = ("X-DA-Agent", f"release={self.release.number if self.release else '-'} pid={self.pid}")
            return start_response(status, [*headers, mark], exc_info)

        return start

    def counted(self, environ, start):
        """The application's answer; it is being made until all of it has been taken, or given up."""
        self.count(1)
        try:
            body = self.application(environ, start)
        except BaseException:
            self.count(-1)
            raise
        if isinstance(body, (list, tuple)):
            # It is all there, and mod_wsgi wants to see how long it is.
            self.count(-1)
            return body
        return Counted(body, lambda: self.count(-1))

    def count(self, change):
        with self.lock:
            self.active += change

    def serves(self):
        """The number of the release that it serves: a newer one than it has loaded where the application is equal."""
        try:
            with open(os.path.join(pin(self.group) or self.release.folder, "webapp.json"), encoding="utf-8") as file:
                facts = json.load(file)
        except OSError:
            return self.release.number
        pinned = facts.get("serves", {}).get("application")
        return facts["release"] if pinned is not None and pinned == self.release.fingerprint else self.release.number

    def health(self, details, start):
        drains = draining()
        if not self.begun and (folder := pin(self.group)):
            # Not in this thread: the caller wants an answer now, and asks again.
            # While the node drains, others serve: no request here needs the processors more.
            arguments = (folder, not drains)
            threading.Thread(target=self.load, args=arguments, name="da-agent-load", daemon=True).start()
        # Read before the rest: what is loaded does not change any more.
        loaded = self.loaded.is_set()
        error = self.error if loaded else None
        status = "503 Service Unavailable" if drains or not loaded or error is not None else "200 OK"
        if not details:
            return answer(start, status, "text/plain", "", ("Connection", "close"))
        body = {
            "release": self.serves() if loaded and self.release else None,
            "loaded": self.release.number if loaded and self.release else None,
            "fingerprint": self.release.fingerprint if loaded and self.release else None,
            "group": self.group,
            "pid": self.pid,
            "started": self.started,
            "active": self.active,
            "draining": drains,
            "error": error,
        }
        return answer(start, status, "application/json", json.dumps(body) + "\n", ("Connection", "close"))


class Counted:
    """An application's answer that tells when it is over."""

    def __init__(self, body, over):
        self.body = body
        self.over = over

    def __iter__(self):
        return iter(self.body)

    def close(self):
        try:
            if hasattr(self.body, "close"):
                self.body.close()
        finally:
            self.over()


def receive(environ):
    """Take over what a front has told of its client; True when the agent itself asks, as Apache has found."""
    # What mod_rewrite adds names the loopback.
    for name in ("DA_AGENT_GROUP", "SCRIPT_URI", "SCRIPT_URL"):
        environ.pop(name, None)
    client = environ.pop("DA_AGENT_CLIENT", None)
    if client:
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"], environ["SERVER_PORT"], scheme = client.split()
        environ["wsgi.url_scheme"] = environ["REQUEST_SCHEME"] = scheme
        if scheme == "https":
            environ["HTTPS"] = "on"
    return environ.pop("DA_AGENT_DETAILS", None) == "1"


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
    import mod_wsgi

    application = Loader(mod_wsgi.process_group)
