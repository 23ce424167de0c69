"""Packages with uv: resolved and built once for the cluster, then installed only from blobs."""

from da_agent.adapters.packaging.archives import unpacked
from da_agent.adapters.packaging.assemblies import Assembly
from da_agent.adapters.packaging.environments import UvEnvironments
from da_agent.adapters.packaging.resolvers import UvResolver

__all__ = ["Assembly", "UvEnvironments", "UvResolver", "unpacked"]
