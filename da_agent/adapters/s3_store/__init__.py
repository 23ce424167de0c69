"""The store as a bucket, at Amazon or any other S3 server."""

from da_agent.adapters.s3_store.patience import Patience
from da_agent.adapters.s3_store.stores import S3Store

__all__ = ["Patience", "S3Store"]
