"""A scratch folder in which an unprivileged user resolves, downloads and builds."""

import itertools
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path

from da_agent import files, processes
from da_agent.adapters.packaging import caches, handovers, indexes, leftovers
from da_agent.adapters.packaging.enclosures import Enclosure
from da_agent.domain.node import disk_space
from da_agent.errors import NodeBroken
from da_agent.processes import Account, Outcome

# The first time that every zip tool can write. A fixed time gives the same wheel bytes in every build.
_LONG_AGO = "315619200"
_TEMPORARY = "tmp"


class Workshop:
    """The agent owns the folder `root`, so that the builder cannot replace its content. No third user may enter.

    The builder owns only its home and each `outbox`. `cache` holds the caches of its uv and pip.
    """

    def __init__(self, root: Path, cache: Path, account: Account | None, environ: Mapping[str, str]) -> None:
        self.root = root
        self._account = account
        self._papers = itertools.count()
        self.given = root / "given"
        self.given.mkdir(mode=0o755)
        self._home = self._new_home()
        own_cache = caches.of(cache, account)
        handovers.open_to(root, account)
        self._require_entrance(own_cache)
        self._environment = {
            # Trust the system's certificates like other programs do: a company's own authority may be among them.
            "UV_SYSTEM_CERTS": "1",
            **{name: value for name, value in environ.items() if indexes.PASSED_ON.fullmatch(name)},
            "HOME": str(self._home),
            "TMPDIR": str(self._home / _TEMPORARY),
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
        *,
        becomes: bool = False,
    ) -> Outcome:
        """Run `command` as the builder; with `becomes` as the agent, for a program that becomes the builder itself."""
        return processes.run(
            [*self._enclosure.prefix(becomes=becomes), *command],
            self._environment | dict(variables),
            folder=self.root if becomes else self._home,
            patience=patience,
            watch=watch,
            guard=self._guard,
        )

    @cached_property
    def _enclosure(self) -> Enclosure:
        return Enclosure.of(self._account)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Commands run inside this context; none leaves a process that outlives it."""
        if self._account is None or self._enclosure.namespaces:
            yield
        else:
            with leftovers.ended(self._account, self._enclosure.user):
                yield

    @property
    def builder(self) -> str:
        """The ids of the builder's user and group as `1:2`; `-` for the agent's own."""
        return "-" if self._account is None else f"{self._account.uid}:{self._account.gid}"

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
        folder.mkdir(mode=handovers.PRIVATE)
        for filename, text in (texts or {}).items():
            (folder / filename).write_text(text, encoding="utf-8")
            handovers.give(folder / filename, self._account)
        handovers.give(folder, self._account)
        return folder

    def _new_home(self) -> Path:
        home = self.root / "home"
        home.mkdir(mode=handovers.PRIVATE)
        (home / _TEMPORARY).mkdir(mode=handovers.PRIVATE)
        # The folder inside comes first: in its own home the builder could put a link in place of it.
        handovers.give(home / _TEMPORARY, self._account)
        handovers.give(home, self._account)
        return home

    def lend(self, path: Path, filename: str) -> Path:
        """A copy of `path` that the builder can read, named `filename`; NodeBroken unless that is a plain name."""
        copy = self._paper(filename)
        shutil.copyfile(path, copy)
        copy.chmod(0o644)
        return copy

    def take(self, made: Path) -> Path:
        """The agent's own copy of a file that the builder made, which it cannot change any more but read.

        Invalid when it is not a file that the builder owns alone.
        """
        return self._copy(made, os.geteuid() if self._account is None else self._account.uid)

    def copy(self, made: Path) -> Path:
        """The agent's own copy of a file of the agent to which the builder was let write."""
        return self._copy(made, os.geteuid())

    def _copy(self, made: Path, owner: int) -> Path:
        copy = self._paper(made.name)
        handovers.take(made, copy, owner)
        return copy

    def _paper(self, filename: str) -> Path:
        """The path for a new file of the agent, in a folder of its own: a build chooses the names of what it makes."""
        folder = self.given / str(next(self._papers))
        if (folder / filename).name != filename:
            raise NodeBroken(f"cannot use {filename}: it is not a plain file name")
        folder.mkdir(mode=0o755)
        return folder / filename

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
    for _, _, names, folder in os.fwalk(root):
        for name in names:
            with suppress(OSError):
                yield os.lstat(name, dir_fd=folder).st_size
