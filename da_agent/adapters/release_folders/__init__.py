"""The releases on this node's disk, and the switch between them."""

from da_agent.adapters.release_folders.folders import ReleaseFolders

__all__ = ["ReleaseFolders"]
