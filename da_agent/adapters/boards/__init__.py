"""Displays of a rollout that is in progress."""

from da_agent.adapters.boards.lined import LinedBoard

__all__ = ["LinedBoard"]
