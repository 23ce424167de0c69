"""How long work goes on, for a person at a terminal or for a log."""

from da_agent.adapters.progress.lines import Lines

__all__ = ["Lines"]
