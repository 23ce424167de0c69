"""The distributions in packages/: what each file name says.

A wheel is named by PEP 427 and an sdist by PEP 625. The archive of a branch, such as shop-main.zip, is accepted, too.
"""

import re
from dataclasses import dataclass
from enum import Enum

from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename
from packaging.version import Version

from da_agent.domain.packages.wheels import SUFFIXES, WHEEL
from da_agent.domain.store import keys
from da_agent.errors import Invalid


class Kind(Enum):
    """A wheel is installed as it is; a source is built into a wheel first."""

    WHEEL = "wheel"
    SOURCE = "source"


@dataclass(frozen=True, slots=True)
class Distribution:
    """The contents of a distribution according to its file name.

    The normalised `name` and the `version` are None when only a build can determine them.
    `tags` are the tags of a wheel (`py3-none-any`): the Python versions and platforms that it supports.
    """

    filename: str
    name: str | None
    version: Version | None
    kind: Kind
    tags: frozenset[str] = frozenset()


def distribution(filename: str) -> Distribution:
    """Parse a file name of packages/. Invalid when pip could not install such a file."""
    where = f"{keys.PACKAGES}{filename}"
    if not re.fullmatch(r"\w[\w.+!-]*", filename, re.ASCII):
        raise Invalid(f"{where}: must have a name of letters, digits and ._+!- and lie in {keys.PACKAGES} itself")
    if filename.endswith(WHEEL):
        try:
            name, version, _, tags = parse_wheel_filename(filename)
        except InvalidWheelFilename as error:
            raise Invalid(f"{where}: is not a wheel's name, such as shop-1.0-py3-none-any.whl: {error}") from error
        return Distribution(filename, name, version, Kind.WHEEL, frozenset(map(str, tags)))
    if not filename.endswith(SUFFIXES):
        raise Invalid(f"{where}: is not a distribution: only .whl, .tar.gz and .zip files are")
    try:
        name, version = parse_sdist_filename(filename)
    except InvalidSdistFilename:
        # The downloaded archive of a branch has no version: docassemble-shop-main.zip.
        return Distribution(filename, None, None, Kind.SOURCE)
    return Distribution(filename, name, version, Kind.SOURCE)
