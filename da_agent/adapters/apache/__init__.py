"""Apache with mod_wsgi: its configuration, its processes, and the loader that they run."""

from da_agent.adapters.apache.commands import ShellCommands
from da_agent.adapters.apache.configurations import ACCESS_LOG, TLS_ACCESS_LOG, command
from da_agent.adapters.apache.servers import Apache

__all__ = ["ACCESS_LOG", "TLS_ACCESS_LOG", "Apache", "ShellCommands", "command"]
