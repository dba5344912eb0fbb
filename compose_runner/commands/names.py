"""The names of the subcommands, and what people type in their place."""

from __future__ import annotations

import difflib
import os
import re
from typing import Any

# of every program: https://no-color.org
PROGRAM_CONTEXT: dict[str, Any] = {
    "help_option_names": ["-h", "--help"],
    "color": False if os.environ.get("NO_COLOR") else None,
}

# each is the function of its name in the module of its name in this package
SUBCOMMANDS = (
    "run",
    "check",
    "publish",
    "serve",
    "submit",
    "jobs",
    "status",
    "logs",
    "results",
    "cancel",
    "rm",
    "completion",
)
_MEANT = {
    "version": "--version",
    "help": "--help",
    "list": "jobs",
    "ls": "jobs",
    "ps": "jobs",
    "log": "logs",
    "stop": "cancel",
    "kill": "cancel",
    "download": "results NAME --download DIR",
    "upload": "publish RESULT_DIR",
    "start": "serve",
    "server": "serve",
}
# ids of Compose, and addresses of its pages
_META_ANALYSIS = re.compile(r"[A-Za-z0-9]{12}|.*/.*")


def describe_unknown(name: str) -> str:
    """Say which command may have been meant by a word that is none.

    Parameters
    ----------
    name : str
        The word.
    """
    meant = _MEANT.get(name.lower())
    if meant is None and (close := difflib.get_close_matches(name.lower(), SUBCOMMANDS, n=1)):
        meant = close[0]
    if meant is None and _META_ANALYSIS.fullmatch(name):
        meant = f"run {name} --no-upload"
    if meant is None:
        return f"There is no command {name!r}. There are: {', '.join(SUBCOMMANDS)}."
    return f"There is no command {name!r}. Did you mean compose-runner {meant}?"
