"""The only package that names every adapter. It builds the objects; all other code receives them.

Each module is imported where its object is built. A command that needs no S3 does not load boto3, and `--help` loads
nothing.
"""

from da_agent.wiring.admin import Admin
from da_agent.wiring.node_agent import NodeAgent

__all__ = ["Admin", "NodeAgent"]
