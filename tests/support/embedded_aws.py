"""An AWS on 127.0.0.1 with the resources that the functions need and one job in every state, over real HTTP."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import urllib3
from moto.backends import get_backend
from moto.server import ThreadedMotoServer

from compose_runner.service.aws import clients
from compose_runner.service.storage import JobPaths
from tests.support.compose_stand_in import ComposeStandIn
from tests.support.sample_specifications import IMPOSSIBLE_SPECIFICATION, LARGE_SPECIFICATION, STANDARD_SPECIFICATION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ACCOUNT = "123456789012"
REGION = "us-east-1"
STATE_MACHINE = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:compose-runner"
JOBS = f"arn:aws:states:{REGION}:{ACCOUNT}:execution:compose-runner:"
BUCKET = "compose-runner-results-sample"
PREFIX = "compose-runner/results"
LOG_GROUP = "/compose-runner/task"
KEYS = "/compose-runner/jobs"
RECORDS_FROM = 1_780_305_000_000
METADATA = {"artifact_prefix": "sample-succeeded", "meta_analysis_id": "mHtoV82Dmnm9", "result_url": None}
FAILED_CAUSE = json.dumps(
    {"StoppedReason": "Essential container in task exited", "Containers": [{"ExitCode": 1, "Reason": None}]}
)


class SampleAws:
    """What a test may look at: AWS clients of its own, and what the stand-in for Compose was asked."""

    def __init__(self, endpoint: str, compose: ComposeStandIn) -> None:
        self.endpoint = endpoint
        self.compose = compose
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """Make a client that belongs to the test, not to the functions."""
        if service not in self._clients:
            make: Callable[..., Any] = boto3.client  # its overloads take no name in a variable
            self._clients[service] = make(
                service,
                endpoint_url=self.endpoint,
                region_name=REGION,
                aws_access_key_id="test",
                aws_secret_access_key="test",
            )
        return self._clients[service]

    def execution(self, name: str) -> Any:
        """Reach Step Functions' own record of an execution, whose state a test may set."""
        machine = get_backend("stepfunctions")[ACCOUNT][REGION].state_machines[0]
        return next(execution for execution in machine.executions if execution.name == name)

    def start(self, name: str, **state: Any) -> None:
        """Start an execution and put it into a state."""
        document = {"artifact_prefix": name, "results": {"bucket": BUCKET, "prefix": PREFIX}}
        self.client("stepfunctions").start_execution(
            stateMachineArn=STATE_MACHINE, name=name, input=json.dumps(document)
        )
        execution = self.execution(name)
        for field, value in state.items():
            setattr(execution, field, value)
        if state.get("status", "RUNNING") != "RUNNING":
            execution.stop_date = execution.start_date

    def put(self, key: str, body: bytes | dict[str, Any]) -> None:
        """Put an object into the bucket."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.client("s3").put_object(Bucket=BUCKET, Key=key, Body=data)

    def put_quickly(self, *keys: str) -> None:
        """Put many empty objects into the bucket, past HTTP."""
        backend = get_backend("s3")[ACCOUNT]["aws"]
        for key in keys:
            backend.put_object(BUCKET, key, b"")

    def log(self, *records: tuple[int, str], stream: str = "task/runner/1") -> None:
        """Write records past CloudWatch's rule that they be younger than two weeks."""
        group = get_backend("logs")[ACCOUNT][REGION].groups[LOG_GROUP]
        if stream not in group.streams:
            self.client("logs").create_log_stream(logGroupName=LOG_GROUP, logStreamName=stream)
        group.streams[stream].put_log_events(
            [{"timestamp": timestamp, "message": message} for timestamp, message in records]
        )

    def parameters(self) -> dict[str, str]:
        """Give the names and values of everything in Parameter Store below the functions' path."""
        found = self.client("ssm").get_parameters_by_path(Path=KEYS, Recursive=True, WithDecryption=True)
        return {parameter["Name"]: parameter["Value"] for parameter in found["Parameters"]}

    def inputs(self) -> dict[str, dict[str, Any]]:
        """Give the input of every execution by its name."""
        machine = get_backend("stepfunctions")[ACCOUNT][REGION].state_machines[0]
        return {execution.name: json.loads(execution.execution_input) for execution in machine.executions}


def record(artifact_prefix: str, message: str, **fields: Any) -> str:
    """Make a log line as the task writes it."""
    return json.dumps({"artifact_prefix": artifact_prefix, "message": message, **fields})


def prepare(aws: SampleAws) -> None:
    """Make the resources and the sample jobs to which the sample events refer."""
    urllib3.request("POST", f"{aws.endpoint}/moto-api/reset")
    aws.client("s3").create_bucket(Bucket=BUCKET)
    aws.client("logs").create_log_group(logGroupName=LOG_GROUP)
    aws.client("stepfunctions").create_state_machine(
        name="compose-runner",
        definition=json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}),
        roleArn=f"arn:aws:iam::{ACCOUNT}:role/state-machine",
    )
    aws.compose.put("meta-analyses/mHtoV82Dmnm9", {"id": "mHtoV82Dmnm9", "specification": STANDARD_SPECIFICATION})
    aws.compose.put("meta-analyses/large0000001", {"id": "large0000001", "specification": LARGE_SPECIFICATION})
    aws.compose.put("meta-analyses/impossible01", {"id": "impossible01", "specification": IMPOSSIBLE_SPECIFICATION})

    aws.start("sample-running")
    aws.start("sample-succeeded", status="SUCCEEDED", output="{}")
    aws.start("sample-failed", status="FAILED", error="States.TaskFailed", cause=FAILED_CAUSE)
    aws.start("sample-timed-out", status="TIMED_OUT", error="States.Timeout")
    aws.start("sample-aborted", status="ABORTED", error="Cancelled", cause="An operator stopped it.")
    aws.put(
        JobPaths(PREFIX, "sample-running").progress,
        {
            "stage": "correct",
            "completed": 250,
            "total": 1000,
            "percent": 25.0,
            "seconds_left": 90.5,
            "updated": "2026-06-01T10:00:00+00:00",
        },
    )
    job = JobPaths(PREFIX, "sample-succeeded")
    aws.put(job.metadata, METADATA)
    aws.put(job.artifact("z_corr-FDR_method-indep.nii.gz"), b"map")
    aws.put(job.artifact("report/figures/z.png"), b"figure")
    aws.put(JobPaths(PREFIX, "sample-succeeded-2").artifact("z.nii.gz"), b"of a job whose name begins alike")
    aws.log(
        (RECORDS_FROM, record("sample-running", "workflow.start")),
        (RECORDS_FROM + 1, record("sample-running-2", "workflow.start")),
        (RECORDS_FROM + 2, record("other", "mentions sample-running")),
        (RECORDS_FROM + 3, "Traceback: sample-running"),
        (RECORDS_FROM + 4, record("sample-running", "workflow.completed")),
    )


@contextmanager
def embedded_aws() -> Iterator[SampleAws]:
    """Run the server and point the functions at it, for as long as a test module needs."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch, ComposeStandIn() as compose:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "STATE_MACHINE_ARN": STATE_MACHINE,
            "RESULTS_BUCKET": BUCKET,
            "RESULTS_PREFIX": PREFIX,
            "RUNNER_LOG_GROUP": LOG_GROUP,
            "KEY_PARAMETERS_PATH": KEYS,
            "COMPOSE_API_URL": compose.compose_api,
            "CORS_ORIGINS": "https://compose.neurosynth.org",
        }.items():
            patch.setenv(name, value)
        clients.forget()
        try:
            yield SampleAws(f"http://{host}:{port}", compose)
        finally:
            clients.forget()
            server.stop()
