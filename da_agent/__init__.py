"""The agent that makes a cluster of WSGI nodes behave as one machine."""

__version__ = "0.1.0"
