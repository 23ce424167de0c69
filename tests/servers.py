"""Real S3 servers, started for a test on a free port and stopped by their own process id."""

import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from da_agent.domain.store.locations import S3Location

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

REGION = "us-east-1"
_PROGRAMS = Path(sys.executable).parent
_PATIENCE = 60
_TAKE = """\
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.execve(sys.argv[2], sys.argv[2:], {**os.environ, "LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"})
"""
"""Becomes a program that was given a socket, as systemd starts it."""
_ALL = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'
_READ = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}]}'


@dataclass(frozen=True, slots=True)
class S3Server:
    """A running server. `credentials` may do everything, `reader` may only read objects (None: there is none)."""

    endpoint_url: str
    credentials: tuple[str, str]
    reader: tuple[str, str] | None = None
    root: tuple[str, str] | None = None

    def new_key(self) -> tuple[str, str]:
        """One more key of the user who may do everything."""
        assert self.root
        key = _iam(self.endpoint_url, self.root).create_access_key(UserName="agent")["AccessKey"]
        return key["AccessKeyId"], key["SecretAccessKey"]

    def drop_key(self, key: tuple[str, str]) -> None:
        """From now on `key` is refused."""
        assert self.root
        _iam(self.endpoint_url, self.root).delete_access_key(UserName="agent", AccessKeyId=key[0])

    def user(self, name: str, policy: str) -> tuple[str, str]:
        """A new key of a new user who may do what the policy says."""
        assert self.root
        iam = _iam(self.endpoint_url, self.root)
        iam.create_user(UserName=name)
        made = iam.create_policy(PolicyName=name, PolicyDocument=policy)["Policy"]
        iam.attach_user_policy(UserName=name, PolicyArn=made["Arn"])
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return key["AccessKeyId"], key["SecretAccessKey"]

    def client(self, credentials: tuple[str, str] | None = None) -> "S3Client":
        """For what a person does with other tools, such as making a bucket."""
        key, secret = credentials or self.credentials
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name=REGION,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            config=Config(request_checksum_calculation="when_required", s3={"addressing_style": "path"}),
        )

    def bucket(self, prefix: str = "") -> S3Location:
        """A new bucket and where it is."""
        name = f"bucket-{secrets.token_hex(6)}"
        self.client().create_bucket(Bucket=name)
        return S3Location(name, prefix, self.endpoint_url, REGION, path_style=True)

    def environment(self) -> dict[str, str]:
        """The variables with which boto3, s3cmd and others find the credentials."""
        key, secret = self.credentials
        return {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_DEFAULT_REGION": REGION}


@contextmanager
def ministack(below: Path | None = None) -> Iterator[S3Server]:
    """A server that keeps every promise. It checks the signatures of users, though never those of its own root.

    What it writes lies below the folder `below`, or where temporary files go; all of it is gone afterwards.
    """
    root = (secrets.token_hex(8), secrets.token_hex(16))
    variables = {
        "AUTH": "true",
        "AWS_ACCESS_KEY_ID": root[0],
        "AWS_SECRET_ACCESS_KEY": root[1],
        "IOT_MTLS_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
        "SERVICES": "s3,iam,sts",
        "SFTP_ENABLED": "0",
    }
    command = [sys.executable, "-m", "hypercorn", "ministack.app:app", "--workers", "0", "--keep-alive", "75"]
    with _running([*command, "--bind", "fd://3"], variables, "/_ministack/ready", below) as url:
        yield S3Server(url, _user(url, root, "agent", _ALL), _user(url, root, "reader", _READ), root)


@contextmanager
def rclone() -> Iterator[S3Server]:
    """`rclone serve s3`, which ignores every condition."""
    key, secret = secrets.token_hex(8), secrets.token_hex(16)
    command = [str(_PROGRAMS / "rclone"), "serve", "s3", "."]
    with _running(command, {"RCLONE_AUTH_KEY": f'"{key},{secret}"', "RCLONE_CONFIG": "/dev/null"}, "/") as url:
        yield S3Server(url, (key, secret))


@contextmanager
def _running(command: list[str], variables: Mapping[str, str], path: str, below: Path | None = None) -> Iterator[str]:
    """Run a server on the socket that it finds as descriptor 3; its URL, when it has answered for `path`."""
    with tempfile.TemporaryDirectory(prefix="s3-server-", dir=below) as folder:
        home, log = Path(folder) / "home", Path(folder) / "log"
        home.mkdir()
        with socket.socket() as listening, log.open("w") as output:
            listening.bind(("127.0.0.1", 0))
            # From here on requests wait in line until the server is up, and nobody else can get the port.
            listening.listen(128)
            port = listening.getsockname()[1]
            process = subprocess.Popen(
                [sys.executable, "-c", _TAKE, str(listening.fileno()), *command],
                cwd=home,
                env={"PATH": "/usr/bin:/bin", "HOME": folder, "TMPDIR": folder, "GATEWAY_PORT": str(port), **variables},
                pass_fds=[listening.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            _await_answer(port, path, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            _stop(process)


def _await_answer(port: int, path: str, log: Path) -> None:
    connection = HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
    try:
        connection.request("GET", path)
        connection.getresponse().read()
    except (HTTPException, OSError) as error:
        raise AssertionError(f"the server has not started: {error!r}\n{log.read_text()}") from error
    finally:
        connection.close()


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _user(url: str, root: tuple[str, str], name: str, policy: str) -> tuple[str, str]:
    iam = _iam(url, root)
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return key["AccessKeyId"], key["SecretAccessKey"]


def _iam(url: str, root: tuple[str, str]) -> Any:
    return boto3.client(
        "iam", endpoint_url=url, region_name=REGION, aws_access_key_id=root[0], aws_secret_access_key=root[1]
    )
