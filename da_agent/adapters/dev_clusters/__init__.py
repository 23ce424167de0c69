"""A whole cluster on this one machine, to try the product and to test it."""

from da_agent.adapters.dev_clusters.clusters import DevCluster
from da_agent.adapters.dev_clusters.nodes import DevNode

__all__ = ["DevCluster", "DevNode"]
