"""What stays in memory of jobs that have ended is bounded, and they are answered for all the same."""

from __future__ import annotations

import gc
import json
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("moto", reason="needs the local extra")

from botocore.exceptions import ClientError

from compose_runner.local.aws import emulator
from compose_runner.local.aws.emulator import EmbeddedAws
from compose_runner.local.state import restart
from compose_runner.local.state.directory import StateDirectory
from compose_runner.local.state.restart import StatePersister
from tests.support.local_machines import machine, run_task

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IN_MEMORY = 3
LINE = 'import os; print("""{"artifact_prefix": "%s", "message": "done"}""" % os.environ["ARTIFACT_PREFIX"])'
BUCKET = "results"
METADATA = "moto.utilities.utils.LowercaseDict"


class Jobs:
    """An embedded AWS with one state machine, and with a state directory or without one."""

    def __init__(self, aws: EmbeddedAws, state_directory: StateDirectory | None) -> None:
        self.aws = aws
        definition = machine(Run=run_task(aws.create_fargate()))
        self.states, self.s3 = aws.client("stepfunctions"), aws.client("s3")
        self.machine = self.states.create_state_machine(
            name="jobs", definition=definition, roleArn="arn:aws:iam::123456789012:role/r"
        )["stateMachineArn"]
        self.s3.create_bucket(Bucket=BUCKET)
        self.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        if state_directory is not None:
            aws.keep_in(StatePersister(state_directory, BUCKET, "results", self.machine))

    def run(self, *names: str) -> list[str]:
        arns = []
        for name in names:
            for _ in range(2):
                self.s3.put_object(Bucket=BUCKET, Key=f"results/{name}/file", Body=name.encode())
            self.s3.put_object(Bucket=BUCKET, Key=f"results/.checkpoints/{name}/1", Body=b"x")
            arn = self.states.start_execution(stateMachineArn=self.machine, name=name, input=json.dumps({"a": name}))
            self.aws.wait_for(arn["executionArn"])
            self.s3.delete_object(Bucket=BUCKET, Key=f"results/.checkpoints/{name}/1")
            arns.append(arn["executionArn"])
        return arns


def counted() -> Counter[str]:
    """How many objects there are of each class of moto and of this package."""
    gc.collect()
    kinds = Counter(type(thing) for thing in gc.get_objects())
    return Counter(
        {
            f"{kind.__module__}.{kind.__qualname__}": number
            for kind, number in kinds.items()
            if str(kind.__module__).startswith(("moto.", "compose_runner.", "threading", "subprocess"))
        }
    )


@pytest.fixture(params=["with a state directory", "without one"])
def jobs(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    monkeypatch.setattr(emulator, "MEMORY_EXECUTIONS", IN_MEMORY)
    monkeypatch.setattr(restart, "MEMORY_JOBS", IN_MEMORY)
    state_directory = StateDirectory(tmp_path) if request.param == "with a state directory" else None
    with EmbeddedAws([sys.executable, "-S", "-c", LINE], max_parallel_tasks=1) as aws:
        yield Jobs(aws, state_directory)
    if state_directory is not None:
        state_directory.close()


def test_objects_in_memory_do_not_grow_with_the_number_of_jobs(jobs: Jobs) -> None:
    kept = isinstance(jobs.aws.store, StatePersister)
    jobs.run(*(f"first-{number}" for number in range(2 * IN_MEMORY)))
    before = counted()
    jobs.run(*(f"second-{number}" for number in range(4 * IN_MEMORY)))
    grown = {kind: number - before[kind] for kind, number in counted().items() if number - before[kind] >= IN_MEMORY}
    if not kept:  # objects that are nowhere else must stay
        grown = {kind: number for kind, number in grown.items() if not kind.startswith(("moto.s3.", METADATA))}
    assert grown == {}


@pytest.mark.parametrize("jobs", ["with a state directory"], indirect=True)
def test_every_job_is_answered_for_after_it_has_left_memory(jobs: Jobs) -> None:
    names = [f"job-{number}" for number in range(3 * IN_MEMORY)]
    logs = jobs.aws.client("logs")
    for name, arn in zip(names, jobs.run(*names), strict=True):
        described: dict[str, Any] = jobs.states.describe_execution(executionArn=arn)
        assert (described["status"], json.loads(described["input"])) == ("SUCCEEDED", {"a": name})
        assert json.loads(described["output"])["Containers"][0]["ExitCode"] == 0
        assert described["stopDate"] >= described["startDate"]
        events = logs.filter_log_events(logGroupName="/task", filterPattern=f'{{ $.artifact_prefix = "{name}" }}')
        assert [json.loads(event["message"])["message"] for event in events["events"]] == ["done"]
        listed = jobs.s3.list_objects_v2(Bucket=BUCKET, Prefix=f"results/{name}/")["Contents"]
        assert [(one["Key"], one["Size"]) for one in listed] == [(f"results/{name}/file", len(name))]
        assert jobs.s3.get_object(Bucket=BUCKET, Key=f"results/{name}/file")["Body"].read() == name.encode()
        with pytest.raises(ClientError, match="NoSuchKey"):
            jobs.s3.get_object(Bucket=BUCKET, Key=f"results/.checkpoints/{name}/1")
        with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
            jobs.states.start_execution(stateMachineArn=jobs.machine, name=name, input=json.dumps({"a": name}))
