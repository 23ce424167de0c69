"""What supervisor is told of our programs."""

import configparser
from importlib import resources

from da_agent import errors


def test_every_exit_code_of_our_own_ends_the_start_and_is_left_to_the_loop() -> None:
    """supervisor would begin a start that ends otherwise anew, at once and for ever."""
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";",))
    parser.read_string((resources.files("da_agent") / "supervisord.conf").read_text())
    expected = {int(code) for code in parser["program:initialize"]["exitcodes"].split(",")}
    ours = {found.exit_code for found in vars(errors).values() if hasattr(found, "exit_code")}
    assert ours <= expected
