"""The only place that names every adapter: here the pieces are put together, everybody else receives them."""

from da_agent.wiring.desks import Desk
from da_agent.wiring.machines import Machine

__all__ = ["Desk", "Machine"]
