"""Where somebody watches a rollout."""

from da_agent.adapters.boards.lined import LinedBoard

__all__ = ["LinedBoard"]
