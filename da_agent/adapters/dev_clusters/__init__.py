"""A whole cluster on one machine, to try out and test the product."""

from da_agent.adapters.dev_clusters.clusters import DevCluster
from da_agent.adapters.dev_clusters.nodes import DevNode

__all__ = ["DevCluster", "DevNode"]
