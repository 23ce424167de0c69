"""What the file names in packages/ say."""

import pytest
from packaging.version import Version

from da_agent.domain.packages.distributions import Kind, distribution
from da_agent.errors import Invalid


@pytest.mark.parametrize(
    ("filename", "name", "version", "kind"),
    [
        ("docassemble_shop-1.0-py3-none-any.whl", "docassemble-shop", "1.0", Kind.WHEEL),
        ("Docassemble.Shop-1.0.tar.gz", "docassemble-shop", "1.0", Kind.SOURCE),
        ("docassemble-shop-1.0.zip", "docassemble-shop", "1.0", Kind.SOURCE),
        ("docassemble-shop-main.zip", None, None, Kind.SOURCE),
        ("docassemble.shop.zip", None, None, Kind.SOURCE),
        ("shop-main.tar.gz", None, None, Kind.SOURCE),
    ],
)
def test_a_file_name_says_what_it_can(filename: str, name: str | None, version: str | None, kind: Kind) -> None:
    found = distribution(filename)
    assert (found.name, found.version, found.kind) == (name, Version(version) if version else None, kind)


def test_a_wheel_says_what_it_is_for() -> None:
    assert distribution("shop-1-py2.py3-none-any.whl").tags == {"py2-none-any", "py3-none-any"}


@pytest.mark.parametrize(
    "filename", ["shop.whl", "shop-x-py3-none-any.whl", "shop.exe", "a/b-1.zip", "-b-1.zip", "a b.zip", ""]
)
def test_a_file_name_of_which_nothing_can_be_made_is_refused(filename: str) -> None:
    with pytest.raises(Invalid, match=r"^packages/"):
        distribution(filename)
