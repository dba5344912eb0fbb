"""Deploy the built application, with the image of the task that belongs to it, and print the URLs.

    make deploy STAGE=prod             after `make build`, which it runs first
    TASK_IMAGE=...@sha256:... make deploy      takes an image that was pushed before

What a stage is made of stands in ``samconfig.toml``; this adds the image and the version.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import boto3

from compose_runner import __version__

sys.path.insert(0, str(Path(__file__).parent))
from task_image import push_image

REPOSITORY = Path(__file__).resolve().parent.parent
_OVERRIDE = re.compile(r'(\w+)="([^"]*)"')


def stage_settings(stage: str) -> dict[str, Any]:
    """Read what ``samconfig.toml`` says of a stage."""
    stages = tomllib.loads((REPOSITORY / "samconfig.toml").read_text())
    if stage not in stages or stage == "version":
        known = ", ".join(name for name in stages if name != "version")
        raise SystemExit(f"samconfig.toml has no stage {stage!r}; it has {known}")
    settings: dict[str, Any] = stages[stage]
    return settings


def parameter_overrides(settings: dict[str, Any], **added: str) -> dict[str, str]:
    """Parameters of a stage, with some added: the command line's replace the file's altogether."""
    text = settings.get("deploy", {}).get("parameters", {}).get("parameter_overrides", "")
    return {**dict(_OVERRIDE.findall(text)), **added}


def stack_outputs(stack: str) -> dict[str, str]:
    """Outputs of a stack."""
    described = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", [])}


def deploy(stage: str, *, guided: bool) -> None:
    """Push the image unless ``TASK_IMAGE`` names one, deploy, print."""
    settings = stage_settings(stage)
    stack = settings["global"]["parameters"]["stack_name"]
    parameters = parameter_overrides(settings, ComposeRunnerVersion=__version__)
    image = os.environ.get("TASK_IMAGE") or push_image(
        parameters.get("TaskRepository", "compose-runner"), parameters.get("TaskArchitecture", "X86_64")
    )
    parameters["TaskImage"] = image
    command = ["sam", "deploy", "--config-env", stage, *(["--guided"] if guided else [])]
    command += ["--parameter-overrides", *(f"{name}={value}" for name, value in parameters.items())]
    done = subprocess.run(command, cwd=REPOSITORY, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)
    for name, value in sorted(stack_outputs(stack).items()):
        if name.endswith("FunctionUrl"):
            print(f"{name} {value}")


def main() -> None:
    """Read the command line and deploy."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stage", default="default")
    parser.add_argument("--guided", action="store_true", help="let sam ask for every parameter")
    arguments = parser.parse_args()
    deploy(arguments.stage, guided=arguments.guided)


if __name__ == "__main__":
    main()
