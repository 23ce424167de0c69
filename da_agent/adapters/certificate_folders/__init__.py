"""Certificates where other programs look for them."""

from da_agent.adapters.certificate_folders.folders import LinkedFolders

__all__ = ["LinkedFolders"]
