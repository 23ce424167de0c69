"""Certificates in the folders where other programs expect them."""

from da_agent.adapters.certificate_folders.folders import LinkedFolders

__all__ = ["LinkedFolders"]
