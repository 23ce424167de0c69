"""The configuration of a new cluster, made from the environment of its first node."""

from collections.abc import Mapping

import yaml

from da_agent.domain.config.configurations import names_index
from da_agent.errors import Invalid

_UNSET = ("", "null", "Null", "None")
"""docassemble's own start-up treats these as unset."""

_FLAGS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}

_HEAD = """\
# docassemble's configuration, made once from the environment of the cluster's first node.
# From now on this file decides, on every node; the variables of env.list are not read again.

# Signs sessions, passwords and the notifications between nodes: a change logs every user out.
"""
_DATABASE = "\n# The SQL database that all nodes share.\n"
_STORE = "\n# User files. Without keys the credentials of the machine's role are used.\n"
_MACHINE = "\n# Where the nodes run.\n"
_SUPERVISOR = (
    "\n# With this password anyone who reaches a node's port 9001 controls the node. The agents do not use it.\n"
)
_OURS = """
# The agent's own settings, the same on every node. These are the defaults.
da agent:
  # poll interval: 10s  # how often a node looks for a new release
  # quiet period: 3s  # how long the inbox must be quiet before a change is published
  # start timeout: 2m  # how long a release may take to become ready on a node
  # max unavailable: 1  # how many nodes update at a time, or a share such as 25%
  # canary: 1  # how many nodes update first, one at a time
  # max failures: 1  # when more nodes than this fail, the release is quarantined
  # processes: 2  # of the web server, on each node
  # threads: 8  # in each process
"""


def render(variables: Mapping[str, str], secret: str) -> bytes:
    """The text of a config.yml that `configurations.parse` accepts. An empty variable counts as unset.

    `secret` is random and becomes the secret key, unless DADEFAULTSECRET sets another one.
    Invalid, naming every wrong variable, when a value is not valid for its key.
    """
    read = _Variables(variables)
    sections: list[tuple[str, Mapping[str, object]]] = [
        (_HEAD, {"secretkey": read.text("DADEFAULTSECRET") or secret}),
        (_DATABASE, {"db": _database(read)}),
        (_STORE, {"s3": _store(read)}),
        (_MACHINE, _machine(read)),
        *_supervisor(read),
    ]
    if read.mistakes:
        raise Invalid(read.mistakes)
    return ("".join(comment + _dump(section) for comment, section in sections) + _OURS).encode()


def _dump(section: Mapping[str, object]) -> str:
    # safe_dump escapes everything beyond ASCII: some characters end a line for one YAML reader and not for another.
    return yaml.safe_dump(dict(section), sort_keys=False, width=1000)


def _database(read: "_Variables") -> dict[str, object]:
    named = {
        "prefix": read.text("DBPREFIX") or "postgresql+psycopg2://",
        "name": read.text("DBNAME") or "docassemble",
        "user": read.text("DBUSER") or "docassemble",
        "password": read.text("DBPASSWORD") or "abc123",
        "host": read.text("DBHOST"),
    }
    return named | _given({"port": read.port("DBPORT"), "table prefix": read.text("DBTABLEPREFIX")})


def _store(read: "_Variables") -> dict[str, object]:
    bucket, enable = read.text("S3BUCKET"), read.flag("S3ENABLE")
    encryption = {
        "algorithm": read.text("S3_SSE_ALGORITHM"),
        "customer algorithm": read.text("S3_SSE_CUSTOMER_ALGORITHM"),
        "customer key": read.text("S3_SSE_CUSTOMER_KEY"),
        "KMS key ID": read.text("S3_SSE_KMS_KEY_ID"),
    }
    given = {
        "bucket": bucket,
        "access key id": read.text("S3ACCESSKEY"),
        "secret access key": read.text("S3SECRETACCESSKEY"),
        "region": read.text("S3REGION"),
        "endpoint url": read.text("S3ENDPOINTURL"),
        "server side encryption": _given(encryption) or None,
    }
    return {"enable": bucket is not None if enable is None else enable} | _given(given)


def _supervisor(read: "_Variables") -> list[tuple[str, Mapping[str, object]]]:
    """The `supervisor` section; empty unless both variables are set, as in docassemble."""
    username, password = read.text("DASUPERVISORUSERNAME"), read.text("DASUPERVISORPASSWORD")
    if username is None or password is None:
        return []
    return [(_SUPERVISOR, {"supervisor": {"username": username, "password": password}})]


def _machine(read: "_Variables") -> dict[str, object]:
    optional = {
        "kubernetes": read.flag("KUBERNETES"),
        "use https": read.flag("USEHTTPS"),
        "behind https load balancer": read.flag("BEHINDHTTPSLOADBALANCER"),
        "external hostname": read.text("DAHOSTNAME"),
        "log server": read.text("LOGSERVER"),
        "redis": read.text("REDIS"),
        "rabbitmq": read.text("RABBITMQ"),
        "pip index url": read.index("PIPINDEXURL"),
        "pip extra index urls": read.indexes("PIPEXTRAINDEXURLS"),
    }
    return {"ec2": read.flag("EC2") or False} | _given(optional)


def _given(values: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in values.items() if value is not None}


class _Variables:
    """Reads variables by type. It collects mistakes without the values, which may be secret."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self.mistakes: list[str] = []

    def text(self, name: str) -> str | None:
        value = self._variables.get(name, "")
        if any("\ud800" <= character <= "\udfff" for character in value):
            self.mistakes.append(f"the variable {name} is not UTF-8 text")
        return None if value in _UNSET else value

    def flag(self, name: str) -> bool | None:
        value = self.text(name)
        if value is None:
            return None
        if value.lower() not in _FLAGS:
            self.mistakes.append(f"the variable {name} must be true or false")
        return _FLAGS.get(value.lower())

    def port(self, name: str) -> int | None:
        value = self.text(name)
        if value is None:
            return None
        if not (value.isascii() and value.isdecimal() and len(value) <= 5 and 0 < int(value) < 65536):
            self.mistakes.append(f"the variable {name} must be a port number from 1 to 65535")
            return None
        return int(value)

    def index(self, name: str) -> str | None:
        urls = self.indexes(name)
        if urls and len(urls) > 1:
            self.mistakes.append(f"the variable {name} must be one URL")
        return urls[0] if urls else None

    def indexes(self, name: str) -> list[str] | None:
        urls = (self.text(name) or "").split()
        if not all(map(names_index, urls)):
            self.mistakes.append(f"the variable {name} must be a URL that begins with https://, http:// or file://")
        return urls or None
