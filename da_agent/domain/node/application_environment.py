"""The environment of the application's processes: nothing but names on a list, for the agent's own holds secrets."""

import re
from collections.abc import Iterable, Mapping

VARIABLE = "DA_AGENT_APPLICATION_VARIABLES"
"""The variable in which an admin lists names of further variables for the application."""

_ALWAYS = frozenset(
    {
        "PATH",
        "LANG",
        "LANGUAGE",
        "TZ",
        # Certificate authorities of this machine, for requests that the application makes.
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        # They tell which node a process belongs to.
        "DA_AGENT_ROOT",
        "DA_AGENT_NODE",
        # docassemble asks what the machine is for.
        "CONTAINERROLE",
    }
)
_LOCALE = "LC_"

_SECRET = frozenset(
    {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "S3ACCESSKEY",
        "S3SECRETACCESSKEY",
        "DASUPERVISORUSERNAME",
        "DASUPERVISORPASSWORD",
    }
)
_OUTSIDE = frozenset({"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"})
"""Variables that make Python import from outside the release."""

_OURS = ("DA_AGENT_", "SUPERVISOR_")


def allowed(variables: Mapping[str, str], listed: Iterable[str] = ()) -> dict[str, str]:
    """The `variables` that the application may see: those that never hold a secret, and the `listed` ones."""
    names = _ALWAYS | set(listed)
    return {name: value for name, value in variables.items() if name in names or name.startswith(_LOCALE)}


def patterns(listed: Iterable[str] = ()) -> tuple[str, ...]:
    """The names of the same variables, as a shell matches them."""
    return (*sorted(_ALWAYS | set(listed)), f"{_LOCALE}*")


def names(text: str) -> tuple[str, ...]:
    """The names in the value of VARIABLE, separated by spaces or commas; ValueError for one that may not be there."""
    found = tuple(dict.fromkeys(re.split(r"[\s,]+", text.strip(" ,\t\n"))))
    for name in found:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ValueError("must be names of variables, separated by spaces")
        if name in _SECRET or name.startswith(_OURS):
            raise ValueError(f"must not name {name}, which is for the agent alone")
        if name in _OUTSIDE:
            raise ValueError(f"must not name {name}: the application runs from its release alone")
    return found
