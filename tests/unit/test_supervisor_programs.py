"""What supervisor is told of our programs."""

import configparser
from importlib import resources

from da_agent import errors
from da_agent.adapters import predecessors
from da_agent.domain.rollout import drains


def programs() -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";",))
    parser.read_string((resources.files("da_agent") / "supervisord.conf").read_text())
    return parser


def test_every_exit_code_of_our_own_ends_the_start_and_is_left_to_the_loop() -> None:
    """supervisor would begin a start that ends otherwise anew, at once and for ever."""
    expected = {int(code) for code in programs()["program:initialize"]["exitcodes"].split(",")}
    ours = {found.exit_code for found in vars(errors).values() if hasattr(found, "exit_code")}
    assert ours <= expected


def test_a_node_leaves_after_all_that_could_undo_it_has_ended_and_before_its_web_server() -> None:
    """supervisord stops the highest priority first."""
    parser = programs()
    kinds = ("program:", "eventlistener:")
    priorities = {name.partition(":")[2]: int(parser[name]["priority"]) for name in parser if name.startswith(kinds)}
    leave, web = priorities.pop("leave"), {priorities.pop(name) for name in ("apache2", "http", "tls")}
    assert max(web) < leave < min(priorities.values())


def test_supervisord_gives_a_node_that_leaves_the_time_that_it_takes() -> None:
    patience = int(programs()["program:leave"]["stopwaitsecs"])
    # The last round of questions takes 6 seconds and the sign-off 8; the rest is for the start of the process.
    assert patience >= drains.LONGEST_LEAVE.total_seconds() + 6 + 8 + 10


def test_every_program_of_the_agent_is_ended_when_an_earlier_supervisord_has_left_it() -> None:
    parser = programs()
    kinds = ("program:", "eventlistener:")
    ours = {name.partition(":")[2] for name in parser if name.startswith(kinds) and _runs_agent(parser[name])}
    assert ours == predecessors.PROGRAMS


def _runs_agent(program: configparser.SectionProxy) -> bool:
    return "DA_AGENT_COMMAND" in program["command"]
