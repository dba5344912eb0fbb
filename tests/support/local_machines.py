"""Small state machines and tasks for the tests of the embedded AWS."""

from __future__ import annotations

import json
import sys
from typing import Any

# prints its variables, then does what STEPS says
TASK = """
import json, os, signal, sys, time
print(json.dumps({"artifact_prefix": os.environ.get("ARTIFACT_PREFIX"), "message": "workflow.start"}), flush=True)
what = os.environ.get("WHAT", "exit 0").split()
if what[0] == "exit":
    sys.exit(int(what[1]))
if what[0] == "once":  # fails the first time only
    try:
        os.mkdir(what[1])
        sys.exit(75)
    except FileExistsError:
        sys.exit(0)
if what[0] == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
if what[0] == "wait":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
    if len(what) > 1:
        open(what[1], "w").close()
    signal.pause()
if what[0] == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    open(what[1], "w").close()
    while True:
        signal.pause()
"""
TASK_COMMAND = [sys.executable, "-c", TASK]


def run_task(made: dict[str, str], what: str = "exit 0", family: str = "task", **fields: object) -> dict[str, Any]:
    """Make a state that runs the task above and ends the execution."""
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::ecs:runTask.sync",
        "Parameters": {
            "LaunchType": "FARGATE",
            "Cluster": made["cluster"],
            "TaskDefinition": made[family],
            "NetworkConfiguration": {
                "AwsvpcConfiguration": {
                    "Subnets": [made["subnet"]],
                    "SecurityGroups": [made["security_group"]],
                    "AssignPublicIp": "ENABLED",
                }
            },
            "Overrides": {
                "ContainerOverrides": [
                    {
                        "Name": "task",
                        "Environment": [
                            {"Name": "WHAT", "Value": what},
                            {"Name": "ARTIFACT_PREFIX", "Value.$": "$$.Execution.Name"},
                        ],
                    }
                ]
            },
        },
        "End": True,
        **fields,
    }


def machine(**states: dict[str, object]) -> str:
    """Make a definition that starts with the first of its states."""
    return json.dumps({"StartAt": next(iter(states)), "States": states})
