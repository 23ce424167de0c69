"""Where everything lies on a node: design.md, section 4. Every path follows from the root."""

from dataclasses import dataclass
from pathlib import Path

from da_agent.domain.store.blobs import Blob


@dataclass(frozen=True, slots=True)
class Paths:
    """The node's own tree below `root` (absolute)."""

    root: Path

    @property
    def current(self) -> Path:
        """The switch: a symbolic link to the live release's directory."""
        return self.root / "current"

    @property
    def releases(self) -> Path:
        return self.root / "releases"

    def release(self, number: int) -> Path:
        return self.releases / f"{number:010d}"

    @property
    def wsgi(self) -> Path:
        """The loader. Touching this file reloads the node."""
        return self.root / "webapp" / "docassemble.wsgi"

    @property
    def local_certificates(self) -> Path:
        """Where the seed looks for certificates when there is no S3."""
        return self.root / "certs"

    @property
    def served_certificates(self) -> Path:
        """Where other programs find the certificates, unless config.yml says otherwise."""
        return Path("/etc/ssl/docassemble") if self.root == Path("/usr/share/docassemble") else self.root / "ssl"

    @property
    def files(self) -> Path:
        return self.root / "files"

    @property
    def agent(self) -> Path:
        return self.root / "agent"

    @property
    def node_state(self) -> Path:
        return self.agent / "node-state.json"

    @property
    def last_contact(self) -> Path:
        """An empty file: its modification time is when the store last answered."""
        return self.agent / "last-contact"

    @property
    def identity(self) -> Path:
        return self.agent / "node"

    @property
    def lock(self) -> Path:
        return self.agent / "lock"

    @property
    def draining(self) -> Path:
        """While this file exists the loader's URL answers 503."""
        return self.agent / "draining"

    @property
    def scratch(self) -> Path:
        """Everything unfinished; emptied when the agent starts."""
        return self.agent / "scratch"

    @property
    def partial(self) -> Path:
        """Partly fetched blobs. They outlive a start of the agent, so that no byte is fetched twice."""
        return self.agent / "partial"

    @property
    def blobs(self) -> Path:
        return self.agent / "blobs"

    def blob(self, blob: Blob) -> Path:
        """All blobs are in one folder: making more folders takes as long as fetching what goes into them."""
        return self.blobs / blob.sha256

    @property
    def wheel_cache(self) -> Path:
        """uv's cache, from which environments are hard-linked."""
        return self.agent / "uv"

    @property
    def wheel_links(self) -> Path:
        """Blobs of wheels under their own names, as uv wants them."""
        return self.agent / "wheels"

    @property
    def certificate_sets(self) -> Path:
        """Copies of certificates: of a machine without a release, or for another owner."""
        return self.agent / "certificates"

    @property
    def certificate_links(self) -> Path:
        """Which places outside the tree have had a link of the agent. A place no longer configured keeps its link and
        its set."""
        return self.agent / "certificate-links.json"

    @property
    def conformances(self) -> Path:
        return self.agent / "conformance"

    @property
    def base(self) -> Path:
        """A virtual environment without packages: the home of the web server's Python."""
        return self.agent / "base"

    @property
    def web(self) -> Path:
        """What the web server serves now: the pins, and which group is live."""
        return self.agent / "web"

    def pin(self, name: str) -> Path:
        """A link to the release that a group of worker processes, or one of the Apaches, must serve."""
        return self.web / name

    @property
    def groups(self) -> Path:
        """The map that Apache reads for each request: which group of worker processes is live."""
        return self.web / "groups"

    @property
    def start(self) -> Path:
        """The script with which supervisord starts each Apache."""
        return self.web / "start"

    @property
    def secret(self) -> Path:
        """The secret by which the Apaches and the agent recognise each other, as Apache reads it."""
        return self.web / "secret.conf"

    @property
    def rpc_port(self) -> Path:
        """What supervisord reads besides supervisord.conf. It exists when supervisord takes commands from elsewhere."""
        return self.agent / "supervisor" / "rpc-port.conf"

    @property
    def run(self) -> Path:
        """Sockets and pid files."""
        return self.agent / "run"

    @property
    def logs(self) -> Path:
        return self.agent / "log"


@dataclass(frozen=True, slots=True)
class Staged:
    """The inside of one release's directory."""

    root: Path

    @property
    def manifest(self) -> Path:
        """Written last: a release without it is incomplete."""
        return self.root / "release.json"

    @property
    def config(self) -> Path:
        return self.root / "config.yml"

    @property
    def certificates(self) -> Path:
        return self.root / "certs"

    @property
    def environment(self) -> Path:
        return self.root / "local"

    @property
    def web_server(self) -> Path:
        """The configuration of the Apache that runs the application."""
        return self.root / "apache2.conf"

    @property
    def tls(self) -> Path:
        """The configuration of the front for HTTPS; only where there is a certificate to serve."""
        return self.root / "tls.conf"

    @property
    def http(self) -> Path:
        """The configuration of the front for plain HTTP."""
        return self.root / "http.conf"

    @property
    def webapp(self) -> Path:
        """What the loader must know before it can import anything from the release."""
        return self.root / "webapp.json"
