"""Who may enter the folders of a node."""

from pathlib import Path

from da_agent.domain.node.folder_rights import folders
from da_agent.domain.node.paths import Paths

PATHS = Paths(Path("/srv/node"))


def modes(*, one_user: bool) -> dict[Path, int]:
    return {folder.path: folder.mode for folder in folders(PATHS, one_user=one_user)}


def test_no_other_user_may_list_a_folder() -> None:
    assert [mode for mode in modes(one_user=False).values() if mode & 0o006] == []


def test_what_holds_secrets_can_be_entered_only_by_those_who_need_them() -> None:
    found = modes(one_user=False)
    assert {found[path] for path in (PATHS.blobs, PATHS.logs, PATHS.partial, PATHS.wheel_cache)} == {0o700}
    assert not any(found[path] & 0o007 for path in (PATHS.releases, PATHS.web, PATHS.run))


def test_no_other_user_may_write() -> None:
    assert [mode for mode in modes(one_user=False).values() if mode & 0o022] == []


def test_without_root_no_other_user_may_enter() -> None:
    assert set(modes(one_user=True).values()) == {0o700}


def test_a_folder_comes_after_its_parent() -> None:
    found = list(modes(one_user=False))
    assert all(found.index(path.parent) < found.index(path) for path in found if path.parent in found)
