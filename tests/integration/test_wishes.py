"""What people type, as the ledger will tell it and as the inbox will have it."""

from pathlib import Path

from da_agent.cli import wishes
from da_agent.wiring import Machine


def test_the_reason_that_the_ledger_gives_has_no_password_of_a_package(tmp_path: Path) -> None:
    (tmp_path / "shop-1.0-py3-none-any.whl").write_bytes(b"")
    names = ("kiosk>=1", "x @ https://user:hunter2@host/x.zip", f"{tmp_path}/shop-1.0-py3-none-any.whl")
    wish = wishes.packages(Machine(store=f"file://{tmp_path}"), names)
    assert wish.reason == "packages kiosk>=1, x @ …, shop-1.0-py3-none-any.whl"
