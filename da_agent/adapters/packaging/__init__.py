"""Packages with uv: resolved and built once, installed from blobs alone."""

from da_agent.adapters.packaging.environments import UvEnvironments
from da_agent.adapters.packaging.resolvers import UvResolver

__all__ = ["UvEnvironments", "UvResolver"]
