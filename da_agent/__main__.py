"""The command `da-agent`: what people type, and the programs that supervisor runs."""

import sys

import click

from da_agent import __version__
from da_agent.cli import dev, doctor, garbage, inbox, inspect, plans, steering
from da_agent.domain import texts
from da_agent.errors import AgentError, Stopped
from da_agent.programs import commands


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="da-agent")
def command() -> None:
    """Make a cluster of docassemble web nodes behave as one machine.

    The store that the nodes share is named by --store or DA_AGENT_STORE:
    file:///path or s3://bucket/prefix?endpoint_url=…&region=…&path_style=true
    """


for _each in (
    inbox.push,
    inbox.remove,
    inbox.publish,
    plans.plan,
    steering.rollback,
    steering.restart,
    steering.pause,
    steering.resume,
    steering.retry,
    steering.forget,
    inspect.status,
    inspect.why,
    inspect.history,
    inspect.show,
    inspect.diff,
    doctor.doctor,
    dev.dev,
    garbage.gc,
):
    command.add_command(_each)
for _each in commands.COMMANDS:
    command.add_command(_each)


def main() -> None:
    """Run the command; a failure that is expected becomes one sentence on stderr and its own exit code."""
    try:
        command(prog_name="da-agent")
    except AgentError as error:
        sys.stderr.write("".join(f"da-agent: {texts.visible(line)}\n" for line in str(error).split("\n")))
        sys.exit(error.exit_code)
    except Stopped as stopped:
        sys.exit(stopped.exit_code)


if __name__ == "__main__":
    main()
