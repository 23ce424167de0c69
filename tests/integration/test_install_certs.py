"""install_certs as people run it: alone, from a bucket or a folder, and on a node of a cluster."""

import os
import pwd
import shutil
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import servers
from tests.certificates import Issued, authority, issue
from tests.clusters_of_witnesses import agent, cluster, folder
from tests.integration.apaches import free_port, wait_until
from tests.supervisorctl import supervisorctl, wait_for

CA = authority("Test CA")
OWNER = "www-data" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture
def top() -> Iterator[Path]:
    with folder() as path:
        yield path


@pytest.fixture(scope="module")
def server() -> Iterator[servers.S3Server]:
    with servers.ministack() as made:
        yield made


def install_certs(root: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, "-m", "da_agent", "install_certs"),
        env={
            "PATH": os.environ["PATH"],
            "DA_AGENT_ROOT": str(root),
            "DA_AGENT_CERTIFICATE_FOLDERS": str(root.parent),
            **variables,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def write(place: Path, made: Issued) -> None:
    place.mkdir(parents=True, exist_ok=True)
    (place / "docassemble.crt").write_bytes(made.pem)
    (place / "docassemble.key").write_bytes(made.key)
    (place / "docassemble.ca.pem").write_bytes(CA.pem)


def s3cmd(server: servers.S3Server, top: Path, *arguments: str) -> None:
    key, secret = server.credentials
    address = server.endpoint_url.removeprefix("http://")
    configuration = top / "s3cfg"
    configuration.write_text(
        f"[default]\naccess_key = {key}\nsecret_key = {secret}\nhost_base = {address}\nhost_bucket = {address}\n"
        f"use_https = False\nbucket_location = {servers.REGION}\n"
    )
    subprocess.run(("s3cmd", "-c", str(configuration), *arguments), check=True, capture_output=True)


def names(place: Path) -> dict[str, tuple[int, int]]:
    """Mode and owner of every file."""
    found = {str(path.relative_to(place)): path.stat() for path in place.rglob("*") if path.is_file()}
    return {name: (stat.S_IMODE(status.st_mode), status.st_uid) for name, status in found.items()}


def private(owner: str, *files: str) -> dict[str, tuple[int, int]]:
    return dict.fromkeys(files, (0o400, pwd.getpwnam(owner).pw_uid))


ME = pwd.getpwuid(os.geteuid()).pw_name
SET = ("docassemble.ca.pem", "docassemble.crt", "docassemble.key", "mail/exim.pem")

SPELLINGS = {
    "underscores": "cert_install_directory: {0}/tls\nweb_server_certificate_directory: {0}/www/.certs\n",
    "spaces": "cert install directory: {0}/tls\nweb server certificate directory: {0}/www/.certs\n",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_machine_alone_takes_what_s3cmd_has_put_into_the_bucket(
    top: Path, server: servers.S3Server, spelling: str
) -> None:
    write(top / "mine", issue(CA, ("shop.example",)))
    (top / "mine" / "mail").mkdir()
    (top / "mine" / "mail" / "exim.pem").write_bytes(CA.pem)
    (top / "config.yml").write_text(SPELLINGS[spelling].format(top))
    bucket = server.bucket().bucket
    s3cmd(server, top, "put", "--recursive", f"{top}/mine/", f"s3://{bucket}/certs/")
    s3cmd(server, top, "put", f"{top}/config.yml", f"s3://{bucket}/config.yml")
    # What consoles leave for a folder, and what once ended docassemble's own start.
    server.client().put_object(Bucket=bucket, Key="certs/", Body=b"")
    server.client().put_object(Bucket=bucket, Key="certs/mail/", Body=b"")
    key, secret = server.credentials
    variables = {
        "S3BUCKET": bucket,
        "S3ENDPOINTURL": server.endpoint_url,
        "S3REGION": servers.REGION,
        "S3ACCESSKEY": key,
        "S3SECRETACCESSKEY": secret,
    }
    installed = install_certs(top / "node", **variables)
    assert installed.returncode == 0, installed.stderr
    assert f"are in {top}/tls, {top}/www/.certs" in installed.stderr
    assert names(top / "tls") == private(ME, *SET)
    assert names(top / "www" / ".certs") == private(OWNER, *SET)
    assert stat.S_IMODE((top / "www" / ".certs").stat().st_mode) == 0o700

    s3cmd(server, top, "put", f"{top}/mine/docassemble.crt", f"s3://{bucket}/certs/docassemble.key")
    refused = install_certs(top / "node", **variables)
    assert refused.returncode == 3
    assert "docassemble.key" in refused.stderr
    assert secret not in refused.stderr
    assert (top / "tls" / "docassemble.key").read_bytes() == (top / "mine" / "docassemble.key").read_bytes()


def test_the_setting_certs_names_a_bucket_which_is_opened_with_the_keys_of_the_section_s3(
    top: Path, server: servers.S3Server
) -> None:
    bucket = server.bucket().bucket
    made = issue(CA, ("shop.example",))
    for name, data in (("docassemble.crt", made.pem), ("docassemble.key", made.key), ("ca.pem", CA.pem)):
        server.client().put_object(Bucket=bucket, Key=f"tls/ours/{name}", Body=data)
    server.client().put_object(Bucket=bucket, Key="tls/other/docassemble.key", Body=b"not ours")
    key, secret = server.credentials
    (top / "config.yml").write_text(
        f"certs: s3://{bucket}/tls/ours\n"
        f"s3:\n  bucket: elsewhere\n  access_key_id: {key}\n  secret access key: {secret}\n"
        f"  endpoint url: {server.endpoint_url}\n  region: {servers.REGION}\n"
    )
    installed = install_certs(top / "node", DA_CONFIG_FILE=f"{top}/config.yml")
    assert installed.returncode == 0, installed.stderr
    assert names(top / "node" / "ssl") == private(ME, "ca.pem", "docassemble.crt", "docassemble.key")


def test_without_a_store_the_folder_of_the_node_is_taken_and_a_folder_that_was_there_is_replaced(top: Path) -> None:
    write(top / "node" / "certs", issue(CA, ("shop.example",)))
    (top / "node" / "ssl").mkdir()
    (top / "node" / "ssl" / "stale.key").write_bytes(b"stale")
    installed = install_certs(top / "node")
    assert installed.returncode == 0, installed.stderr
    assert f"{top}/node/ssl: the previous contents are in {top}/node/ssl.replaced-" in installed.stderr
    assert names(top / "node" / "ssl") == private(ME, *SET[:3])
    again = install_certs(top / "node")
    assert f"{top}/node/ssl (unchanged)" in again.stderr


def test_a_machine_with_nothing_to_install_says_so_and_has_done_its_work(top: Path) -> None:
    installed = install_certs(top / "node")
    assert (installed.returncode, installed.stderr.count("\n")) == (0, 1)
    assert "No certificates to install: no store is named" in installed.stderr


def test_an_empty_destination_is_refused_with_its_line(top: Path) -> None:
    (top / "config.yml").write_text("a: 1\ncert_install_directory:\n")
    refused = install_certs(top / "node", DA_CONFIG_FILE=f"{top}/config.yml")
    assert refused.returncode == 3
    assert 'config.yml line 2: "cert_install_directory" must not be empty' in refused.stderr


# ---- somebody else's Apache

APACHE = """\
ServerName localhost
PidFile {0}/apache2.pid
ErrorLog {0}/error.log
{2}
Listen 127.0.0.1:{1}
SSLEngine On
SSLCertificateFile {0}/node/ssl/docassemble.crt
SSLCertificateKeyFile {0}/node/ssl/docassemble.key
SSLCertificateChainFile {0}/node/ssl/docassemble.ca.pem
"""
MODULES = ("mpm_event", "authz_core", "socache_shmcb", "ssl")


@contextmanager
def apache(top: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    modules = [f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in MODULES]
    if os.geteuid() == 0:
        modules.append("User www-data\nGroup www-data")
    port = free_port()
    (top / "apache2.conf").write_text(APACHE.format(top, port, "\n".join(modules)))
    process = subprocess.Popen(("/usr/sbin/apache2", "-DFOREGROUND", "-f", str(top / "apache2.conf")))
    try:
        yield process, port
    finally:
        process.terminate()
        process.wait(20)


def presents(port: int, pem: bytes) -> bool:
    try:
        return ssl.get_server_certificate(("127.0.0.1", port)) == pem.decode()
    except OSError:
        return False


def test_an_apache_that_reads_the_folder_is_told_to_present_the_new_certificate(top: Path) -> None:
    old, new = issue(CA, ("shop.example",)), issue(CA, ("shop.example",))
    write(top / "node" / "certs", old)
    assert install_certs(top / "node").returncode == 0
    with apache(top) as (process, port):
        wait_until(lambda: presents(port, old.pem))
        write(top / "node" / "certs", new)
        installed = install_certs(top / "node")
        assert f"Apache reads its certificates again (process {process.pid})" in installed.stderr
        wait_until(lambda: presents(port, new.pem))


def test_an_apache_whose_configuration_is_not_right_now_is_not_told_for_that_would_end_it(top: Path) -> None:
    old, new = issue(CA, ("shop.example",)), issue(CA, ("shop.example",))
    write(top / "node" / "certs", old)
    assert install_certs(top / "node").returncode == 0
    with apache(top) as (process, port):
        wait_until(lambda: presents(port, old.pem))
        with (top / "apache2.conf").open("a") as configuration:
            configuration.write("Misprint On\n")
        write(top / "node" / "certs", new)
        assert "reads its certificates again" not in install_certs(top / "node").stderr
        assert process.poll() is None
        assert presents(port, old.pem)


# ---- a node of a cluster


def put(store: Path, files: Mapping[str, bytes]) -> None:
    """As one change: into place by renames, so that nobody publishes half of it."""
    for name, data in files.items():
        path = store / name
        path.parent.mkdir(exist_ok=True)
        unfinished = path.with_name(f".{path.name}.unfinished")
        unfinished.write_bytes(data)
        unfinished.replace(path)


def test_on_a_node_both_places_follow_the_releases_and_install_certs_mends_what_somebody_has_removed(
    top: Path,
) -> None:
    text = SPELLINGS["underscores"].format(top) + "da agent:\n  quiet period: 1\n"
    first, second = issue(CA, ("shop.example",)), issue(CA, ("shop.example",))
    (top / "store").mkdir()
    write(top / "store" / "certs", first)
    (top / "store" / "config.yml").write_text(text)
    with cluster(1, f"file://{top}/store", {"DA_AGENT_CERTIFICATE_FOLDERS": str(top)}) as made:
        made.wait()
        node = made.nodes[0]
        wait_for(node, "sync", "RUNNING")
        assert (top / "tls" / "docassemble.crt").read_bytes() == first.pem
        assert names(top / "www" / ".certs") == private(OWNER, *SET[:3])

        put(top / "store", {"certs/docassemble.crt": second.pem, "certs/docassemble.key": second.key})
        made.wait(2)
        assert (top / "tls" / "docassemble.key").read_bytes() == second.key
        assert (top / "www" / ".certs" / "docassemble.key").read_bytes() == second.key
        assert names(top / "www" / ".certs") == private(OWNER, *SET[:3])

        before = supervisorctl(node, "pid", "apache2")
        (top / "tls").unlink()
        shutil.rmtree((top / "www" / ".certs").resolve())
        supervisorctl(node, "start", "install_certs")
        wait_for(node, "install_certs", "EXITED")
        log = (node.root / "agent" / "log" / "install_certs.log").read_text()
        assert f"The certificates of release 2 are in {top}/tls, {top}/www/.certs" in log
        assert "Apache reads its certificates again" in log
        assert names(top / "tls") == private(ME, *SET[:3])
        assert names(top / "www" / ".certs") == private(OWNER, *SET[:3])
        assert supervisorctl(node, "pid", "apache2") == before
        wait_until(lambda: presents(node.seat.https_port, second.pem))

        # The certificates have moved elsewhere in words only.
        put(top / "store", {"config.yml": text.encode() + b"certs: /etc/elsewhere\n"})
        wait_until(lambda: "says that they are in" in (node.root / "agent" / "log" / "sync.log").read_text())
        assert (top / "tls" / "docassemble.crt").read_bytes() == second.pem


# ---- what an author of config.yml must not reach


def test_a_configuration_gets_no_file_into_a_folder_that_the_node_does_not_allow(top: Path) -> None:
    """Names a folder from which Python runs code at its start, with a file that does so."""
    packages = top / "lib" / "dist-packages"
    packages.mkdir(parents=True)
    text = f"cert install directory: {packages}\nda agent:\n  quiet period: 1\n"
    (top / "store").mkdir()
    write(top / "store" / "certs", issue(CA, ("shop.example",)))
    (top / "store" / "config.yml").write_text(text)
    with cluster(1, f"file://{top}/store") as made:
        made.wait()
        wait_for(made.nodes[0], "sync", "RUNNING")
        log = made.nodes[0].root / "agent" / "log" / "sync.log"
        wait_until(lambda: "which this node does not allow" in log.read_text())
        put(top / "store", {"certs/zz.pth": b"import os; os.system('id')"})
        wait_until(lambda: "certs/zz.pth: is neither a certificate nor a key" in log.read_text())
    assert packages.is_dir()
    assert not packages.is_symlink()
    assert list(packages.iterdir()) == []


@pytest.mark.parametrize("place", ["secrets", "own/link"])
def test_a_configuration_reads_no_file_of_a_folder_that_the_node_does_not_allow(top: Path, place: str) -> None:
    write(top / "secrets", issue(CA, ("shop.example",)))
    (top / "own").mkdir()
    (top / "own" / "link").symlink_to(top / "secrets")
    (top / "config.yml").write_text(f"certs: {top}/{place}\n")
    variables = {"DA_CONFIG_FILE": f"{top}/config.yml", "DA_AGENT_CERTIFICATE_FOLDERS": f"{top}/own"}
    refused = install_certs(top / "node", **variables)
    assert refused.returncode == 3
    assert f"{top}/{place}" in refused.stderr
    assert not (top / "node" / "ssl").exists()


# ---- a key that the web server does not use


def test_push_plan_and_status_say_that_https_is_not_served(top: Path) -> None:
    made = issue(CA, ("shop.example",))
    (top / "mine").mkdir()
    (top / "store").mkdir()
    (top / "store" / "config.yml").write_text("da agent:\n  quiet period: 1\n")
    for name, data in (("tls.crt", made.pem), ("tls.key", made.key), ("ca.pem", CA.pem)):
        (top / "mine" / name).write_bytes(data)
    with cluster(1, f"file://{top}/store") as nodes:
        nodes.wait()
        said = "HTTPS is not served: certs/ has the key tls.key, but the web server uses only docassemble.crt"
        assert said in agent(nodes, "plan", "certs", f"{top}/mine").stdout
        assert "HTTPS" not in agent(nodes, "status").stdout
        pushed = agent(nodes, "push", "certs", f"{top}/mine")
        assert (pushed.returncode, said in pushed.stderr) == (0, True), pushed.stderr
        assert said in agent(nodes, "status").stdout
        assert said in agent(nodes, "plan", "certs", f"{top}/mine").stdout

        (top / "mine" / "tls.crt").rename(top / "mine" / "docassemble.cer")
        refused = agent(nodes, "push", "certs", f"{top}/mine")
        assert refused.returncode == 3
        assert "mv certs/docassemble.cer certs/docassemble.crt" in refused.stderr
