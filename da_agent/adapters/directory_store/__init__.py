"""The store as a directory that every node reaches: a local disk or a network mount."""

from da_agent.adapters.directory_store.stores import DirectoryStore

__all__ = ["DirectoryStore"]
