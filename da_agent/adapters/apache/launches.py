"""The script with which supervisord starts each Apache: its environment becomes the application's."""

from da_agent.domain.node import application_environment
from da_agent.domain.node.nodes import Node

# A worker process shows the first environment of its Apache in /proc for ever. The shell keeps no variable whose name
# it cannot write.
_TEXT = """\
# Written by da_agent: starts a program with those variables alone that the application may see.
for name in $(env | sed -n 's/^\\([A-Za-z_][A-Za-z0-9_]*\\)=.*/\\1/p'); do
    case $name in
    {patterns}) ;;
    *) command unset "$name" 2>/dev/null ;;
    esac
done
exec "$@"
"""


def script(node: Node) -> bytes:
    patterns = application_environment.patterns(node.application_variables)
    return _TEXT.format(patterns=" | ".join(patterns)).encode()
