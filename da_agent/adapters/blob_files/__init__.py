"""The node's own copies of blobs, and what has come of others so far."""

from da_agent.adapters.blob_files.folders import BlobFiles

__all__ = ["BlobFiles"]
