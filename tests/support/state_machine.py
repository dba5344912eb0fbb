"""The deployed definition with its substitutions made, and the answers that AWS gives to its calls."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DEFINITION = (Path(__file__).parents[2] / "task" / "state_machine.asl.json").read_text()
BUDGET = "compose-runner-monthly"
KEYS_PATH = "/compose-runner/jobs"
SUBSTITUTIONS = {
    "Partition": "aws",
    "AccountId": "123456789012",
    "BudgetGuard": "on",
    "BudgetName": BUDGET,
    "TimeoutSeconds": "60",
    "RetryAttempts": "2",
    "RetrySeconds": "1",
    "CapacityProvider": "FARGATE_SPOT",
    "StandardTaskDefinition": "standard:1",
    "LargeTaskDefinition": "large:1",
    "Cluster": "cluster",
    "SubnetOne": "subnet-1",
    "SubnetTwo": "subnet-2",
    "SecurityGroup": "sg-1",
    "KeyParametersPath": KEYS_PATH,
}


def states(machine: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give every state with its name, those of branches and of shards as well."""
    for name, state in machine["States"].items():
        yield name, state
        for inner in (*state.get("Branches", ()), *([state["ItemProcessor"]] if "ItemProcessor" in state else ())):
            yield from states(inner)


def state(name: str) -> dict[str, Any]:
    """Give one state, substitutions not made."""
    return dict(states(json.loads(DEFINITION)))[name]


_PARAMETERS = [one.get("Parameters", {}) for _, one in states(json.loads(DEFINITION))]
# every error with which a job that was not refused may end
EXPLAINED = {made["error"] for made in _PARAMETERS if "error" in made} | {
    made["failure"]["error"] for made in _PARAMETERS if "failure" in made
}


def filled(changed: Mapping[str, str] | None = None, *, quota_waits: int = 32, waits: bool = True) -> dict[str, Any]:
    """Make the substitutions, with waits as short as they can be.

    Parameters
    ----------
    changed : mapping of str to str, optional
        Substitutions that differ from :data:`SUBSTITUTIONS`.
    quota_waits : int
        How often a launch waits for a quota.
    waits : bool
        Whether the other waits last as long as they are told.
    """
    values = {**SUBSTITUTIONS, **(changed or {})}
    machine: dict[str, Any] = json.loads(re.sub(r"\$\{(\w+)\}", lambda match: values[match[1]], DEFINITION))
    for name, one in states(machine):
        for retrier in one.get("Retry", []):
            if retrier["MaxAttempts"]:
                retrier.update(IntervalSeconds=1, BackoffRate=1, MaxAttempts=1)
                if not waits:
                    retrier["MaxAttempts"] = 0
        if name == "Settings":
            one["Parameters"]["quota"]["left"] = quota_waits
        if one["Type"] == "Wait" and (not waits or name in ("WaitForQuota", "WaitForShardQuota")):
            del one["SecondsPath"]
            one["Seconds"] = 0
    return machine


def job(name: str = "job", **changed: Any) -> dict[str, Any]:
    """Make an execution's input as submit does."""
    return {
        "artifact_prefix": name,
        "meta_analysis_id": "ataCTPAt2LMw",
        "environment": "production",
        "no_upload": "false",
        "n_cores": "",
        "task_size": "standard",
        "results": {"bucket": "results-bucket", "prefix": "compose-runner/results"},
        **changed,
    }
