"""The two groups of worker processes, of which one is live."""

from enum import StrEnum


class Group(StrEnum):
    """A group of worker processes; the groups take over from each other. The names are those of mod_wsgi's process
    groups."""

    BLUE = "blue"
    GREEN = "green"

    @property
    def other(self) -> "Group":
        return Group.GREEN if self is Group.BLUE else Group.BLUE


GROUPS = tuple(Group)
