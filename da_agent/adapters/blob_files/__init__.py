"""The node's own copies of blobs, whole and partly downloaded."""

from da_agent.adapters.blob_files.folders import BlobFiles

__all__ = ["BlobFiles"]
