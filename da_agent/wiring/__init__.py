"""The only place that names every adapter: here the pieces are put together, everybody else receives them."""

from da_agent.wiring.admin import Admin
from da_agent.wiring.node_agent import NodeAgent

__all__ = ["Admin", "NodeAgent"]
