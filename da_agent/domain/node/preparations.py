"""What this process has found out about the releases on disk."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Preparations:
    """Release numbers.

    rehearsed   the releases that passed the rehearsal
    damaged     the releases that are damaged on disk, so that they are staged again
    """

    rehearsed: frozenset[int] = frozenset()
    damaged: frozenset[int] = frozenset()

    def staged(self, release: int) -> "Preparations":
        """The release was staged, so it is not damaged any more."""
        return replace(self, damaged=self.damaged - {release})

    def passed(self, release: int) -> "Preparations":
        """The release passed the rehearsal."""
        return replace(self, rehearsed=self.rehearsed | {release})

    def spoilt(self, release: int) -> "Preparations":
        """The release was found to be damaged on disk."""
        return replace(self, damaged=self.damaged | {release})
