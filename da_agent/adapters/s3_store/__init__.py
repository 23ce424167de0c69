"""The store as a bucket, at Amazon or wherever S3 is spoken."""

from da_agent.adapters.s3_store.stores import S3Store

__all__ = ["S3Store"]
