"""The docassemble keys that concern a node, and the valid values of each.

docassemble first spelt its keys with underscores and now spells them with spaces. Both are accepted, at both levels.
Keys that are not listed here belong to the application alone and are passed through unchecked.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from da_agent.domain.config.documents import DocumentEntry, Mistake, Section, Series, Value, below


@dataclass(frozen=True, slots=True)
class ValueKind:
    """The valid values of a key; `name` is for messages. Every key may be empty, which means docassemble's default."""

    name: str
    accepts: Callable[[object], bool]


def _texts(plain: object) -> bool:
    return isinstance(plain, str) or (isinstance(plain, list) and all(isinstance(item, str) for item in plain))


TEXT = ValueKind("a text", lambda plain: isinstance(plain, str))
TEXTS = ValueKind("a text or a list of texts", _texts)
FLAG = ValueKind("true or false", lambda plain: isinstance(plain, bool))
PORT = ValueKind("a whole number", lambda plain: (type(plain) is int) or (isinstance(plain, str) and plain.isdecimal()))
MOMENT = ValueKind("true, false or initial", lambda plain: isinstance(plain, bool) or plain == "initial")

Schema = Mapping[str, "ValueKind | Schema"]

KEYS: Schema = {
    "db": {
        **dict.fromkeys(("prefix", "name", "user", "password", "host", "table prefix"), TEXT),
        **dict.fromkeys(("ssl mode", "ssl cert", "ssl key", "ssl root cert"), TEXT),
        "port": PORT,
        "backup": FLAG,
    },
    "s3": {
        "enable": FLAG,
        **dict.fromkeys(("access key id", "secret access key", "bucket", "region", "endpoint url"), TEXT),
        "server side encryption": dict.fromkeys(
            ("algorithm", "customer algorithm", "customer key", "KMS key ID"), TEXT
        ),
    },
    "azure": {
        "enable": FLAG,
        **dict.fromkeys(("account name", "account key", "container", "connection string"), TEXT),
    },
    "google cloud": {"enable": FLAG},
    "mail": dict.fromkeys(("username", "password", "server", "default sender"), TEXT),
    "supervisor": dict.fromkeys(("username", "password"), TEXT),
    **dict.fromkeys(("uploads", "fileserver", "packages", "packagecache", "webapp", "log", "flask log"), TEXT),
    **dict.fromkeys(("certs", "cert install directory", "web server certificate directory", "web server user"), TEXT),
    **dict.fromkeys(("ec2 ip url", "supervisorctl", "log server", "redis", "rabbitmq", "web server"), TEXT),
    **dict.fromkeys(("secretkey", "external hostname", "pip index url"), TEXT),
    **dict.fromkeys(("pip extra index urls", "pip trusted host", "python packages", "ubuntu packages"), TEXTS),
    **dict.fromkeys(("ec2", "kubernetes", "use https", "behind https load balancer", "single server"), FLAG),
    **dict.fromkeys(("allow updates", "root owned", "read only file system", "use cloud urls", "use minio"), FLAG),
    "update on start": MOMENT,
    "maximum content length": PORT,
}


def canonical(key: object) -> object:
    """The newer spelling of a key, with spaces."""
    return key.replace("_", " ") if isinstance(key, str) else key


def find(section: Section, name: str) -> DocumentEntry | None:
    """The entry called `name`, in either spelling; None when it is missing."""
    return next((entry for entry in section.entries if canonical(entry.key) == canonical(name)), None)


def check(root: Section) -> Iterator[Mistake]:
    """Every mistake in the docassemble keys of config.yml."""
    for entry in root.entries:
        if not isinstance(entry.key, str):
            yield Mistake(entry.line, f'the key "{entry.key!s}" must be a text: put it into quotes')
    yield from both_spellings(root, "")
    yield from _check_section(root, KEYS, "")


def both_spellings(section: Section, path: str, names: Schema | None = None) -> Iterator[Mistake]:
    """A mistake for each key with both spellings and different values: it is unclear which one docassemble would use.

    With `names`, only these keys are checked.
    """
    first: dict[object, DocumentEntry] = {}
    for entry in section.entries:
        name = canonical(entry.key)
        other = first.setdefault(name, entry)
        if other is not entry and other.value.plain != entry.value.plain and (names is None or name in names):
            text = f'"{below(path, entry.key)}" is also written as "{below(path, other.key)}" in line {other.line}'
            yield Mistake(entry.line, f"{text}, with another value: delete one of the two")


def _check_section(section: Section, schema: Schema, path: str) -> Iterator[Mistake]:
    for entry in section.entries:
        rule = schema.get(str(canonical(entry.key)))
        if rule is None or entry.value.plain is None or _is_reference(entry.value.plain):
            continue
        here = below(path, entry.key)
        if isinstance(rule, ValueKind):
            if not rule.accepts(entry.value.plain):
                yield wrong(entry, here, rule)
            continue
        # docassemble also accepts a list of mail servers.
        parts = entry.value.items if here == "mail" and isinstance(entry.value, Series) else (entry.value,)
        for part in parts:
            if isinstance(part, Section):
                yield from both_spellings(part, here, rule)
                yield from _check_section(part, rule, here)
            else:
                yield Mistake(part.line, f'"{here}" must be a mapping of keys and values, not {_described(part)}')


def wrong(entry: DocumentEntry, path: str, kind: ValueKind) -> Mistake:
    """The mistake for a value that is not of `kind`. It names only the type of the value: values may be secrets."""
    remedy = ""
    if kind is TEXT and not isinstance(entry.value, Section | Series):
        remedy = ": put it into quotes"
    elif kind is TEXTS and isinstance(entry.value, Series):
        remedy = " of other things: put each into quotes"
    elif kind is FLAG and isinstance(entry.value.plain, str):
        remedy = ": write it without quotes"
    return Mistake(entry.line, f'"{path}" must be {kind.name}, not {_described(entry.value)}{remedy}')


def _is_reference(plain: object) -> bool:
    """Whether docassemble looks the value up in a vault at its start. The type of the value is unknown until then."""
    return isinstance(plain, str) and plain.startswith(("arn:aws:secretsmanager:", "@Microsoft.KeyVault("))


def _described(value: Value) -> str:
    if isinstance(value, Section | Series):
        return "a mapping" if isinstance(value, Section) else "a list"
    names: dict[type, str] = {bool: "a truth value", int: "a number", float: "a decimal number", str: "a text"}
    kind = type(value.plain)
    return names.get(kind) or ("a date" if issubclass(kind, date) else "binary data" if value.plain else "nothing")
