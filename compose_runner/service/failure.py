"""Say in one sentence why an execution failed, out of everything Step Functions and the task left behind."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compose_runner.service.ports import Execution

TIMED_OUT = "The job took longer than it is allowed to and was stopped."
ABORTED = "The job was stopped before it was done."
UNKNOWN = "The job failed, and left no reason; its log may have one."
_REASONS = ("error", "message", "errorMessage", "reason", "cause", "Cause", "Error")
_MAX_CHARACTERS = 2000


def explain_failure(execution: Execution, metadata: dict[str, Any] | None) -> str:
    """Tell a researcher why the job failed.

    Parameters
    ----------
    execution : Execution
        An execution that has ended without success.
    metadata : dict or None
        The job's ``metadata.json``, whose ``error`` is the task's own account.

    Notes
    -----
    A time-out and a stop come from outside, so the execution's status comes first. Otherwise the task knows best;
    after it the state machine's cause, which is a sentence, a JSON document of ours, or Amazon ECS' account of a task.
    """
    reason = _from_cause(execution.cause)
    if execution.status == "TIMED_OUT":
        return TIMED_OUT
    if execution.status == "ABORTED":
        return f"{ABORTED} {reason}" if reason else ABORTED
    text = _reason_in(metadata) or reason
    if text:
        return text[:_MAX_CHARACTERS]
    return f"The job failed ({execution.error}); its log may have the reason." if execution.error else UNKNOWN


def _from_cause(cause: str | None) -> str | None:
    text = (cause or "").strip()
    if not text.startswith("{"):
        return text or None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(document, dict):
        return text
    return _reason_in(document) or _from_ecs(document) or text


def _reason_in(document: dict[str, Any] | None) -> str | None:
    for name in _REASONS:
        value = (document or {}).get(name)
        if isinstance(value, dict):
            value = _reason_in(value)
        if isinstance(value, str) and value.strip():
            return value.strip()
    return None


def _from_ecs(task: dict[str, Any]) -> str | None:
    """Read the description of a stopped ECS task, whose names begin with capitals or not, depending on who wrote it."""
    fields = {name.lower(): value for name, value in task.items()}
    containers = fields.get("containers")
    container: dict[str, Any] = {}
    if isinstance(containers, list) and containers and isinstance(containers[0], dict):
        container = {name.lower(): value for name, value in containers[0].items()}
    parts = [
        str(value).strip().rstrip(".")
        for value in (fields.get("stoppedreason"), container.get("reason"))
        if isinstance(value, str) and value.strip()
    ]
    if container.get("exitcode") is not None:
        parts.append(f"exit code {container['exitcode']}")
    return f"The task stopped: {', '.join(parts)}." if parts else None
