"""Progress of long work, at a terminal or in a log."""

from da_agent.adapters.progress.lines import Lines
from da_agent.adapters.progress.watched import Watched

__all__ = ["Lines", "Watched"]
