"""The scripts that lead from a clone to a deployment; programs that note their use stand for Docker and SAM."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from samtranslator.yaml_helper import yaml_parse

from compose_runner import __version__
from compose_runner.local.aws.emulator import EmbeddedAws
from compose_runner.local.aws.environment import process_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[2]
ADDRESS = "123456789012.dkr.ecr.us-east-1.amazonaws.com/compose-runner"
DIGEST = f"{ADDRESS}@sha256:{'a' * 64}"
# stands for docker and sam: notes its arguments and what it was given to read
PROGRAM = f"""#!{sys.executable}
import json, os, sys
given = sys.stdin.read() if "--password-stdin" in sys.argv else ""
with open(os.environ["NOTES"], "a") as notes:
    notes.write(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:], given]) + "\\n")
if sys.argv[1] == "inspect":
    print("elsewhere/compose-runner@sha256:{"b" * 64}")
    print("{DIGEST}")
"""


@pytest.fixture(scope="module")
def aws() -> Iterator[EmbeddedAws]:
    with EmbeddedAws() as aws:
        yield aws


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    for name in ("docker", "sam"):
        program = tmp_path / name
        program.write_text(PROGRAM)
        program.chmod(0o755)
    return tmp_path / "notes"


def run(aws: EmbeddedAws, notes: Path, *arguments: str, **changes: str) -> tuple[str, list[list[str]]]:
    """Run a script and give its standard output and what the programs wrote down."""
    environment = {
        **process_environment(),
        **aws.variables,
        "PATH": f"{notes.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "NOTES": str(notes),
        **changes,
    }
    done = subprocess.run(
        [sys.executable, *arguments], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, [json.loads(line) for line in notes.read_text().splitlines()]


@pytest.mark.parametrize(
    ("architecture", "platform", "processor"),
    [("X86_64", "linux/amd64", "x86-64-v3"), ("ARM64", "linux/arm64", "neoverse-n1")],
)
def test_an_image_is_pushed_to_a_repository_that_is_made_and_named_by_digest(
    aws: EmbeddedAws, notes: Path, architecture: str, platform: str, processor: str
) -> None:
    printed, calls = run(aws, notes, "scripts/task_image.py", "--architecture", architecture)

    assert printed.strip() == DIGEST
    assert [call[1] for call in calls] == ["login", "build", "push", "inspect"]
    assert platform in calls[1]
    assert f"NUMBA_CPU_NAME={processor}" in calls[1]
    (repository,) = aws.client("ecr").describe_repositories()["repositories"]
    assert repository["imageScanningConfiguration"]["scanOnPush"] is True


def test_the_password_of_the_registry_is_on_no_command_line(aws: EmbeddedAws, notes: Path) -> None:
    _, calls = run(aws, notes, "scripts/task_image.py")

    *arguments, given = calls[0]
    assert given
    assert given not in arguments


def test_a_deployment_gets_the_stages_parameters_the_image_and_the_version(aws: EmbeddedAws, notes: Path) -> None:
    template = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {"ComposeRunnerSubmitFunctionUrl": {"Value": "https://submit.lambda-url.us-east-1.on.aws/"}},
    }
    aws.client("cloudformation").create_stack(StackName="compose-runner-dev", TemplateBody=json.dumps(template))

    printed, calls = run(aws, notes, "scripts/deploy.py", "--stage", "dev", TASK_IMAGE=DIGEST)

    (sam,) = calls
    assert sam[:4] == ["sam", "deploy", "--config-env", "dev"]
    assert {f"TaskImage={DIGEST}", f"ComposeRunnerVersion={__version__}", "CapacityProvider=FARGATE_SPOT"} <= set(sam)
    assert printed == "ComposeRunnerSubmitFunctionUrl https://submit.lambda-url.us-east-1.on.aws/\n"


def test_every_stage_sets_parameters_that_the_template_has() -> None:
    parameters = yaml_parse((REPOSITORY / "template.yaml").read_text())["Parameters"]
    stages = tomllib.loads((REPOSITORY / "samconfig.toml").read_text())
    for stage in ("default", "dev", "prod"):
        text = stages[stage]["deploy"]["parameters"].get("parameter_overrides", "")
        for override in text.split():
            name, _, value = override.partition("=")
            assert value.strip('"') in [str(one) for one in parameters[name].get("AllowedValues", [value.strip('"')])]


def test_the_version_of_the_template_is_that_of_the_package() -> None:
    template = yaml_parse((REPOSITORY / "template.yaml").read_text())
    assert template["Parameters"]["ComposeRunnerVersion"]["Default"] == __version__
