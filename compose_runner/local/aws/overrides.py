"""What a launch may change of a container: the variables that the state machine sets, and nothing else.

A container is a process of the person who started the service, so that a variable such as ``PYTHONWARNINGS`` or
``BROWSER`` is a command. ECS allows any override; here a launch with another one is refused.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from moto.ecs.exceptions import ECSException

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# what changes how a process starts or whom it trusts never comes from a request, not even by a task definition
_NEVER = re.compile(
    r"(PYTHON|LD_|DYLD_|AWS_|XDG_|BASH|GIT_|SSL_|GCONV_|MALLOC_|NUMBA_|MPL|JOBLIB_).*|.*_(PROXY|CA_BUNDLE)"
    r"|PATH|BROWSER|HOME|TMPDIR|TMP|TEMP|SHELL|ENV|IFS|EDITOR|PAGER|DISPLAY|LOCPATH|NLSPATH|HOSTALIASES|TZDIR"
    r"|COMPOSE_RUNNER_(TASK_COMMAND|TOKEN|PROFILES)",
    re.IGNORECASE,
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def override_names(definition: str) -> frozenset[str]:
    """Names of the variables that a state machine sets in the containers that it launches.

    Parameters
    ----------
    definition : str
        Amazon States Language.
    """
    return frozenset(_names(json.loads(definition)))


def _names(part: Any) -> Iterator[str]:
    if isinstance(part, list):
        for item in part:
            yield from _names(item)
    elif isinstance(part, dict):
        for override in part.get("ContainerOverrides") or ():
            yield from (entry["Name"] for entry in override.get("Environment") or ())
        for item in part.values():
            yield from _names(item)


def checked_environment(
    definition: Mapping[str, Any], override: Mapping[str, Any], names: frozenset[str] | None
) -> dict[str, str]:
    """Variables of a container: those of its definition, and over them those of the launch.

    Parameters
    ----------
    definition, override : mapping
        ECS's container definition and container override.
    names : frozenset of str or None
        What a launch may override; None for anything that is safe, and the command as well.

    Raises
    ------
    moto.ecs.exceptions.ECSException
        The launch overrides more than it may.
    """
    if names is not None and override.get("command"):
        raise ECSException("InvalidParameterException", "the command of a container cannot be overridden here")
    environment = {}
    for source, entries in (("definition", definition), ("override", override)):
        for entry in entries.get("environment") or ():
            name = str(entry["name"])
            if not _NAME.fullmatch(name) or _NEVER.fullmatch(name):
                raise ECSException("InvalidParameterException", f"the variable {name!r} cannot be set in a container")
            if source == "override" and names is not None and name not in names:
                raise ECSException(
                    "InvalidParameterException", f"the variable {name!r} is none that the state machine sets"
                )
            environment[name] = str(entry["value"])
    return environment
