"""The only package that names every adapter. It builds the objects; all other code receives them."""

from da_agent.wiring.admin import Admin
from da_agent.wiring.node_agent import NodeAgent

__all__ = ["Admin", "NodeAgent"]
