"""A scratch folder in which an unprivileged user resolves, downloads and builds."""

import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from da_agent import files, processes
from da_agent.adapters.packaging import indexes
from da_agent.domain.node import disk_space
from da_agent.errors import NodeBroken, NotHere
from da_agent.processes import Account, Outcome

# The first time that every zip tool can write. A fixed time gives the same wheel bytes in every build.
_LONG_AGO = "315619200"


def builder(name: str | None) -> Account | None:
    """The account that builds run as; None for the agent's own user.

    Foreign code never runs as root: NotHere when the agent is root and `name` is missing, unknown or root.
    """
    if os.geteuid() != 0:
        return None
    if name is None:
        raise NotHere("cannot build packages as root: set DA_AGENT_WEB_USER to a user other than root")
    try:
        account = Account.of(name)
    except KeyError as error:
        raise NotHere(f"cannot build packages here: this machine has no user {name}") from error
    if account.uid == 0:
        raise NotHere("cannot build packages as root: set DA_AGENT_WEB_USER to another user")
    return account


class Workshop:
    """The agent owns the folder `root`, so that the builder cannot replace its content.

    The builder owns only its home and each `outbox`. `cache` holds the caches of its uv and pip.
    """

    def __init__(self, root: Path, cache: Path, account: Account | None, environ: Mapping[str, str]) -> None:
        self.root = root
        self._account = account
        root.chmod(0o755)
        self.given = root / "given"
        self.given.mkdir(mode=0o755)
        self._home = self.outbox("home")
        temporary, own_cache = self._home / "tmp", cache / f"of-{os.geteuid() if account is None else account.uid}"
        for folder in (temporary, own_cache):
            folder.mkdir(parents=True, exist_ok=True)
            self._give(folder)
        self._require_entrance(own_cache)
        self._environment = {
            # Trust the system's certificates like other programs do: a company's own authority may be among them.
            "UV_SYSTEM_CERTS": "1",
            **{name: value for name, value in environ.items() if indexes.PASSED_ON.fullmatch(name)},
            "HOME": str(self._home),
            "TMPDIR": str(temporary),
            "LC_ALL": "C.UTF-8",
            "SOURCE_DATE_EPOCH": _LONG_AGO,
            "UV_CACHE_DIR": str(own_cache / "uv"),
            "PIP_CACHE_DIR": str(own_cache / "pip"),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }

    def run(
        self,
        command: Sequence[str | Path],
        variables: Mapping[str, str],
        patience: float,
        watch: Callable[[str], object] = processes.ignore,
    ) -> Outcome:
        return processes.run(
            command,
            self._environment | dict(variables),
            folder=self._home,
            patience=patience,
            account=self._account,
            watch=watch,
            guard=self._guard,
        )

    def require_room(self, task: str, needed: int) -> None:
        """Raise NodeBroken, "cannot `task`: …", when `needed` more bytes would use up disk space kept for others."""
        files.require_room(task, self.root, needed)

    def _guard(self) -> None:
        """Raise NodeBroken before a build fills the disk: how much it writes is unknown."""
        if disk_space.shortage(files.disk(self.root), disk_space.BLOCK) is not None:
            # The estimate: it will write as much again as it has written.
            self.require_room("resolve packages", disk_space.on_disk(_sizes(self.root)))

    def outbox(self, name: str, texts: Mapping[str, str] | None = None) -> Path:
        """A new folder that the builder owns, with the files `texts` (content by name), which it owns too."""
        folder = self.root / name
        folder.mkdir(mode=0o755)
        for filename, text in (texts or {}).items():
            (folder / filename).write_text(text, encoding="utf-8")
            self._give(folder / filename)
        self._give(folder)
        return folder

    def lend(self, path: Path, filename: str) -> Path:
        """A copy of `path` that the builder can read, named `filename`; NodeBroken unless that is a plain name."""
        copy = self.given / filename
        if copy.name != filename:
            raise NodeBroken(f"cannot use {filename}: it is not a plain file name")
        shutil.copyfile(path, copy)
        copy.chmod(0o644)
        return copy

    def take(self, made: Path, into: Path) -> Path:
        """The agent's own copy of a file that the builder made: the builder cannot change it after it is hashed.

        Raises NodeBroken when it is no regular file, and OSError when it is a link.
        """
        # The builder could have left a link to a file that only the agent may read.
        with os.fdopen(os.open(made, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as source:
            if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
                raise NodeBroken(f"cannot take {made.name} from the build: it is not a file")
            with (into / made.name).open("wb") as copy:
                shutil.copyfileobj(source, copy)
        (into / made.name).chmod(0o644)
        return into / made.name

    def _give(self, path: Path) -> None:
        if self._account is not None:
            os.chown(path, self._account.uid, self._account.gid)

    def _require_entrance(self, cache: Path) -> None:
        """Raise NodeBroken when the builder may not enter its folders: uv and pip would report that unclearly."""
        if self._account is None:
            return
        for folder in {*self._home.parents, *cache.parents}:
            found = folder.stat()
            owns = found.st_uid == self._account.uid and found.st_mode & stat.S_IXUSR
            shares = found.st_gid == self._account.gid and found.st_mode & stat.S_IXGRP
            if not (owns or shares or found.st_mode & stat.S_IXOTH):
                raise NodeBroken(
                    f"cannot build packages as {self._account.name} in {self.root}: that user may not enter {folder}"
                )


def _sizes(root: Path) -> Iterator[int]:
    """The size in bytes of each file below `root`; files that vanish meanwhile are skipped."""
    for folder, _, names in os.walk(root):
        for name in names:
            with suppress(OSError):
                yield os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118 (there may be very many)
