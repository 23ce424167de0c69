"""How long work goes on, for a person at a terminal or for a log."""

from da_agent.adapters.progress.lines import Lines
from da_agent.adapters.progress.watched import Watched

__all__ = ["Lines", "Watched"]
