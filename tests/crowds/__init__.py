"""Many visitors of a site, at a constant rate, in a process of their own; what came of each visit."""

from tests.crowds.crowds import Crowd
from tests.crowds.visits import Figures, Visit, figures, shares

__all__ = ["Crowd", "Figures", "Visit", "figures", "shares"]
