"""What docassemble does today: plain Apaches, each told to start anew by a touch of its WSGI file, all at once."""

import os
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from da_agent.adapters.dev_clusters.clusters import free_ports
from tests import shops
from tests.haproxies import HAProxy, haproxy

CONFIGURATION = """\
ServerRoot "{root}"
PidFile "{root}/apache2.pid"
ServerName localhost
Timeout 300
KeepAlive On
KeepAliveTimeout 5
MaxKeepAliveRequests 1000
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule wsgi_module /usr/lib/apache2/modules/mod_wsgi.so
{user}
StartServers 1
MinSpareThreads 25
MaxSpareThreads 75
ThreadsPerChild 25
MaxRequestWorkers 400
ErrorLog "{root}/error.log"
WSGISocketPrefix "{root}/wsgi"
WSGIDaemonProcess touched processes=2 threads=8
WSGIScriptAlias / "{root}/docassemble.wsgi" process-group=touched application-group=%{{GLOBAL}}
<Directory "{root}">
    Require all granted
</Directory>
Listen 127.0.0.1:{port}
"""

WSGI = """\
import os, sys
os.environ["DA_AGENT_RELEASE"] = open({root!r} + "/release").read()
sys.path.insert(0, {root!r} + "/packages")
from shop import application
"""


class TouchedNodes:
    """Running nodes behind a haproxy."""

    def __init__(self, roots: list[Path], proxy: HAProxy) -> None:
        self.proxy = proxy
        self.release = 1
        self._roots = roots

    def touch(self) -> int:
        """All at once; the number of the release that their next processes will serve."""
        self.release += 1
        for root in self._roots:
            (root / "release").write_text(str(self.release))
        for root in self._roots:
            os.utime(root / "docassemble.wsgi")
        return self.release


@contextmanager
def touched_nodes(nodes: int, start: float) -> Iterator[TouchedNodes]:
    """Nodes that serve the shop, whose import takes `start` seconds."""
    with tempfile.TemporaryDirectory(prefix="da-", dir="/tmp") as folder, ExitStack() as stack:
        Path(folder).chmod(0o755)
        roots = [Path(folder) / f"node{number + 1}" for number in range(nodes)]
        ports = free_ports(nodes)
        for root, port in zip(roots, ports, strict=True):
            stack.enter_context(_node(root, port, start))
        names = {root.name: port for root, port in zip(roots, ports, strict=True)}
        proxy = stack.enter_context(haproxy(names, shops.HEALTH))
        proxy.all_up()
        yield TouchedNodes(roots, proxy)


@contextmanager
def _node(root: Path, port: int, start: float) -> Iterator[None]:
    root.mkdir()
    with zipfile.ZipFile(shops.wheel(root, "1", start=start)) as wheel:
        wheel.extractall(root / "packages")
    user = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""
    (root / "release").write_text("1")
    (root / "docassemble.wsgi").write_text(WSGI.format(root=str(root)))
    (root / "apache2.conf").write_text(CONFIGURATION.format(root=root, port=port, user=user))
    process = subprocess.Popen(["/usr/sbin/apache2", "-DFOREGROUND", "-f", root / "apache2.conf"])
    try:
        yield
    finally:
        process.terminate()
        process.wait()
