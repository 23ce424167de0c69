"""What people type, as the ledger will tell it and as the inbox will have it."""

from pathlib import Path

import pytest

from da_agent.cli import inbox_changes
from da_agent.domain.store.inboxes import Inbox
from da_agent.errors import Invalid
from da_agent.wiring import NodeAgent


def test_the_reason_that_the_ledger_gives_has_no_password_of_a_package(tmp_path: Path) -> None:
    (tmp_path / "shop-1.0-py3-none-any.whl").write_bytes(b"")
    names = ("kiosk>=1", "x @ https://user:hunter2@host/x.zip", f"{tmp_path}/shop-1.0-py3-none-any.whl")
    edit = inbox_changes.packages(NodeAgent(store=f"file://{tmp_path}"), names)
    assert edit.reason == "packages kiosk>=1, x @ …, shop-1.0-py3-none-any.whl"


def test_a_file_name_that_is_not_utf_8_can_be_part_of_the_reason(tmp_path: Path) -> None:
    file = tmp_path / "\udcff.yml"
    file.write_bytes(b"title: a\n")
    assert inbox_changes.config(file).reason == "configuration from \ufffd.yml"


def test_certificates_are_taken_from_a_folder_by_the_rule_of_the_inbox(tmp_path: Path) -> None:
    for name in ("a.txt", "mail/b.txt", "mail/b.txt~", ".hidden", ".git/config", "mail/.x.swp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    edit = inbox_changes.certificates(tmp_path)
    assert set(edit.change(Inbox(())).puts) == {"certs/a.txt", "certs/mail/b.txt"}
    assert edit.reason == "certificates a.txt, mail/b.txt"


def test_a_folder_that_is_a_link_is_not_passed_over_silently(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "certs").mkdir()
    (tmp_path / "certs" / "mail").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Invalid, match="certs/mail: it is a link to a folder"):
        inbox_changes.certificates(tmp_path / "certs")
