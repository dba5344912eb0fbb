"""Each change to moto is taken away in turn: a test that fails says that a newer moto needs the change no longer."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("moto", reason="needs the local extra")

import moto
import werkzeug.test
from botocore.exceptions import ClientError
from moto.ecs import models as ecs_models
from moto.moto_server import werkzeug_app
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service_callback,
    state_task_service_ecs,
)
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.asl.utils import json_path

from compose_runner.local.aws import moto_patches
from compose_runner.local.aws.call_faults import CallFault
from compose_runner.local.aws.emulator import EmbeddedAws
from compose_runner.local.aws.moto_patches import run_task as run_task_patches
from compose_runner.local.aws.tasks import TaskFault
from compose_runner.local.state.faults import StorageError
from tests.support.local_machines import TASK_COMMAND, machine, run_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Bench:
    """A running embedded AWS, what a task needs, and names that are used once."""

    def __init__(self, aws: EmbeddedAws, folder: Path) -> None:
        self.aws = aws
        self.made = aws.create_fargate()
        self.folder = folder
        self._count = 0

    def name(self) -> str:
        self._count += 1
        return f"run-{self._count}"

    def run(self, what: str = "exit 0", **fields: Any) -> dict[str, Any]:
        return self.aws.execute(machine(Run=run_task(self.made, what, **fields)), name=self.name())

    def start(self, definition: str, execution_input: str = "{}") -> str:
        name = self.name()
        states = self.aws.client("stepfunctions")
        arn = states.create_state_machine(name=name, definition=definition, roleArn="arn:aws:iam::123456789012:role/r")
        started = states.start_execution(stateMachineArn=arn["stateMachineArn"], name=name, input=execution_input)
        return str(started["executionArn"])

    def start_waiting_task(self) -> str:
        """Start an execution whose task waits until it is asked to stop."""
        mark = self.folder / self.name()
        arn = self.start(machine(Run=run_task(self.made, f"wait {mark}")))
        wait_until(mark.exists)
        return arn

    def launch(self, what: str = "exit 0") -> dict[str, Any]:
        task: dict[str, Any] = self.aws.client("ecs").run_task(
            cluster=self.made["cluster"],
            taskDefinition=self.made["task"],
            launchType="FARGATE",
            networkConfiguration={
                "awsvpcConfiguration": {
                    "subnets": [self.made["subnet"]],
                    "securityGroups": [self.made["security_group"]],
                }
            },
            overrides={"containerOverrides": [{"name": "task", "environment": [{"name": "WHAT", "value": what}]}]},
        )["tasks"][0]
        return task

    def end_tasks(self) -> None:
        self.aws.tasks.stop_all("the test is over", 10)


def wait_until(condition: Callable[[], object], seconds: float = 10) -> None:
    pause = threading.Event()
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        pause.wait(0.02)
    raise AssertionError("it never happened")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with EmbeddedAws(TASK_COMMAND, max_parallel_tasks=4) as aws:
        yield Bench(aws, tmp_path_factory.mktemp("marks"))


def test_every_patch_has_a_test_here() -> None:
    tested = {name for names in TESTED.values() for name in names}
    assert tested == {patch.name for patch in moto_patches.PATCHES}


def test_moto_is_as_it_was_when_the_embedded_aws_has_ended() -> None:
    # in a process of its own: an embedded AWS of another test may run in this one
    program = (
        "from compose_runner.local.aws import moto_patches as m;"
        "seen = lambda: [vars(p.owner).get(name) for p in m.PATCHES for name in p.attributes];"
        "before = seen(); m.install(); changed = seen() != before; m.uninstall(); print(changed, seen() == before)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["True", "True"]


def test_every_patch_gives_a_reason_and_a_version() -> None:
    assert all(patch.reason and patch.moto for patch in moto_patches.PATCHES)


def test_every_patch_refers_to_an_issue_of_moto_or_to_a_file_that_it_has() -> None:
    installed = Path(moto.__file__).parents[1]
    issue = re.compile(r"getmoto/moto#\d+")
    assert [
        patch.name
        for patch in moto_patches.PATCHES
        if not issue.fullmatch(patch.reference) and not (installed / patch.reference).is_file()
    ] == []


@pytest.mark.parametrize("name", ["parameter case", "response case"])
def test_a_task_cannot_be_launched(bench: Bench, name: str) -> None:
    with moto_patches.without(name):
        assert bench.run()["status"] == "FAILED"
    bench.end_tasks()


@pytest.mark.parametrize("name", ["no memory in the container", "interface without a name"])
def test_a_task_cannot_be_placed(bench: Bench, name: str) -> None:
    with moto_patches.without(name), pytest.raises(ClientError, match="500"):
        bench.launch()


def test_a_tasks_times_cannot_be_an_output(bench: Bench) -> None:
    with moto_patches.without("times in answers"), pytest.raises((ClientError, TimeoutError)):
        bench.run()


def test_the_interpreter_does_not_know_every_service(bench: Bench) -> None:
    state = {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:cloudwatchlogs:describeLogGroups",
        "Parameters": {},
        "End": True,
    }
    assert bench.aws.execute(machine(Describe=state), name=bench.name())["status"] == "SUCCEEDED"
    with moto_patches.without("service names"):
        assert bench.aws.execute(machine(Describe=state), name=bench.name())["status"] == "FAILED"


def test_the_interpreter_looks_for_another_server(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_PORT", "9")  # nobody listens there
    with moto_patches.without("shared clients"):
        assert bench.run()["status"] == "FAILED"


def test_an_answer_of_aws_is_not_given(bench: Bench) -> None:
    try:
        bench.aws.call_faults.add("Run", CallFault("ECS.ServerException", "Service Unavailable"))
        with moto_patches.without("answers of AWS"):
            assert bench.run()["status"] == "SUCCEEDED"
        assert bench.run()["error"] == "ECS.ServerException"
    finally:
        bench.aws.call_faults.clear()


def test_exit_codes_are_not_seen(bench: Bench) -> None:
    with moto_patches.without("exit codes"):
        assert bench.run("exit 1")["status"] == "SUCCEEDED"


def test_a_stopped_execution_leaves_its_task_running(bench: Bench) -> None:
    with moto_patches.without("abandoned tasks"):
        arn = bench.start_waiting_task()
        (run,) = bench.aws.tasks.running
        bench.aws.client("stepfunctions").stop_execution(executionArn=arn)
        bench.aws.wait_for(arn)
        assert not run.finished.wait(1)
    bench.end_tasks()


def test_a_state_that_is_stopped_as_it_begins_stops_its_task_without_waiting(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", failed.append)
    before = set(bench.aws.tasks.running)
    task = bench.launch(f"wait {bench.folder / bench.name()}")
    (run,) = set(bench.aws.tasks.running) - before
    outcome = state_task_service_ecs.StateTaskServiceEcs._eval_sync(
        SimpleNamespace(resource=SimpleNamespace(resource_arn="run")),
        env=SimpleNamespace(is_running=lambda: False),
        sync_resolver=SimpleNamespace(task=(task["clusterArn"], task["taskArn"])),
        # what moto takes off its stack when the time-out of a stopped execution was not evaluated
        timeout_seconds={"input": "of the execution"},
        callback_endpoint=threading.Event(),
        heartbeat_endpoint=None,
    )
    assert outcome is None
    assert run.finished.wait(10)
    assert failed == []
    bench.end_tasks()


def test_a_retry_ends_at_once(bench: Bench) -> None:
    retry = [{"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 1, "MaxAttempts": 1, "BackoffRate": 1.0}]
    with moto_patches.without("token per attempt"):
        ended = bench.run(f"once {bench.folder / 'retry'}", Retry=retry)
    assert ended["status"] == "FAILED"
    bench.end_tasks()


def test_errors_of_the_launch_have_no_name(bench: Bench) -> None:
    with moto_patches.without("errors of ECS"):
        bench.aws.tasks.faults.append(TaskFault("Rate exceeded", refused="ThrottlingException"))
        assert bench.run()["error"] == "States.Runtime"


def test_capacity_providers_are_dropped(bench: Bench) -> None:
    state = run_task(bench.made)
    del state["Parameters"]["LaunchType"]
    state["Parameters"]["CapacityProviderStrategy"] = [{"CapacityProvider": "FARGATE", "Weight": 1}]
    assert bench.aws.execute(machine(Run=state), name=bench.name())["status"] == "SUCCEEDED"
    with moto_patches.without("capacity providers"):
        assert bench.aws.execute(machine(Run=state), name=bench.name())["status"] == "FAILED"


def test_looks_are_slow(bench: Bench) -> None:
    assert bench.aws.endpoint
    with moto_patches.without("quick looks"):
        assert state_task_service_callback._DELAY_SECONDS_SYNC_CONDITION_CHECK > run_task_patches.PAUSE_SECONDS


def test_a_launched_task_does_nothing(bench: Bench) -> None:
    with moto_patches.without("containers run"):
        bench.launch(f"wait {bench.folder / 'never'}")
        assert bench.aws.tasks.running == []


def test_a_stopped_task_goes_on(bench: Bench) -> None:
    mark = bench.folder / "goes-on"
    task = bench.launch(f"wait {mark}")
    wait_until(mark.exists)
    (run,) = bench.aws.tasks.running
    with moto_patches.without("containers stop"):
        bench.aws.client("ecs").stop_task(cluster=bench.made["cluster"], task=task["taskArn"])
        assert not run.finished.wait(0.5)
    bench.end_tasks()


def test_a_task_that_runs_is_said_to_have_ended(bench: Bench) -> None:
    mark = bench.folder / "runs"
    task = bench.launch(f"wait {mark}")
    wait_until(mark.exists)

    def status() -> str:
        tasks = bench.aws.client("ecs").describe_tasks(cluster=bench.made["cluster"], tasks=[task["taskArn"]])
        return str(tasks["tasks"][0]["lastStatus"])

    assert status() == "RUNNING"
    with moto_patches.without("status by itself"):
        assert status() != "RUNNING"
    bench.end_tasks()


@pytest.mark.parametrize("name", ["reason of a stop, given", "reason of a stop, kept"])
def test_the_reason_of_a_stop_is_lost(bench: Bench, name: str) -> None:
    arn = bench.start(machine(Wait={"Type": "Wait", "Seconds": 60, "End": True}))
    with moto_patches.without(name):
        bench.aws.client("stepfunctions").stop_execution(executionArn=arn, error="Cancelled", cause="by a test")
        assert not bench.aws.wait_for(arn).get("cause")


def test_a_stop_inside_a_map_is_a_failure(bench: Bench) -> None:
    def ended() -> str:
        mark = bench.folder / bench.name()
        item = {"StartAt": "Run", "States": {"Run": run_task(bench.made, f"wait {mark}")}}
        arn = bench.start(machine(Spread={"Type": "Map", "ItemsPath": "$", "ItemProcessor": item, "End": True}), "[1]")
        wait_until(mark.exists)
        bench.aws.client("stepfunctions").stop_execution(executionArn=arn, error="Cancelled", cause="by a test")
        return str(bench.aws.wait_for(arn)["status"])

    assert ended() == "ABORTED"
    with moto_patches.without("stop inside a Map"):
        assert ended() == "FAILED"
    bench.end_tasks()


def test_a_time_out_has_no_end(bench: Bench) -> None:
    definition = json.loads(machine(Wait={"Type": "Wait", "Seconds": 60, "End": True}))
    arn = bench.start(json.dumps({**definition, "TimeoutSeconds": 1}))
    ended = bench.aws.wait_for(arn)
    assert (ended["status"], "stopDate" in ended) == ("TIMED_OUT", True)
    with moto_patches.without("end of a time-out"):
        assert "stopDate" not in bench.aws.wait_for(arn)


def test_every_record_matches_a_pattern_of_a_field(bench: Bench) -> None:
    put = bench.aws.log_streams.writer("/task", "patterns")
    for job in ("one", "other"):
        put(json.dumps({"artifact_prefix": job, "message": "pattern"}))

    def matching() -> list[str]:
        found = bench.aws.client("logs").filter_log_events(
            logGroupName="/task", logStreamNames=["patterns"], filterPattern='{ $.artifact_prefix = "one" }'
        )
        return [json.loads(event["message"])["artifact_prefix"] for event in found["events"]]

    assert matching() == ["one"]
    with moto_patches.without("JSON filter patterns"):
        assert matching() == ["one", "other"]


def test_a_definition_is_parsed_for_every_execution(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    states = bench.aws.client("stepfunctions")
    definition = machine(OnlyHere={"Type": "Pass", "End": True})
    arn = states.create_state_machine(name="parsed", definition=definition, roleArn="arn:aws:iam::123456789012:role/r")
    parsed = []
    original = AmazonStateLanguageParser.parse

    def parse(definition: str) -> Any:
        parsed.append(definition)
        return original(definition)

    def run() -> None:
        execution = states.start_execution(stateMachineArn=arn["stateMachineArn"], name=bench.name())
        bench.aws.wait_for(execution["executionArn"])

    monkeypatch.setattr(AmazonStateLanguageParser, "parse", staticmethod(parse))
    run()
    run()
    assert len(parsed) == 1
    with moto_patches.without("parsed once"):
        run()
        run()
    assert len(parsed) == 3


def test_a_path_is_parsed_at_every_use(bench: Bench) -> None:
    assert bench.aws.endpoint
    assert json_path.parse("$.a.b") is json_path.parse("$.a.b")
    with moto_patches.without("paths parsed once"):
        assert json_path.parse("$.a.b") is not json_path.parse("$.a.b")


class StatePersister:
    """Lists its calls, and knows of one execution and one record."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def want_objects(self, bucket: str, name: str | None) -> None:
        self.calls.append(f"wanted {name}")

    def keep_object(self, key: Any) -> None:
        self.calls.append(f"object {key.name}")

    def forget_object(self, bucket: str, name: str) -> None:
        self.calls.append(f"deleted {name}")

    def keep_execution(self, execution: Any) -> None:
        self.calls.append(f"execution {execution.status}")

    def keep_line(self, group: str, timestamp: int, line: str) -> bool:
        self.calls.append(f"line {line} of {group} at {timestamp}")
        return True

    def knows_execution(self, state_machine_arn: str, name: str) -> bool:
        return name == "earlier"

    def earlier_execution(self, execution_arn: str) -> Any:
        self.calls.append("asked for an execution")

    def records(self, group: str, field: str, value: str) -> list[Any]:
        return [SimpleNamespace(timestamp=1000 + number, message=f"{value} {number}") for number in range(3)]


@pytest.fixture
def persister(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> StatePersister:
    persister = StatePersister()
    monkeypatch.setattr(bench.aws, "store", persister)
    return persister


def test_objects_are_not_handed_on(bench: Bench, persister: StatePersister) -> None:
    s3 = bench.aws.client("s3")
    s3.create_bucket(Bucket="a-bucket")
    s3.put_object(Bucket="a-bucket", Key="key", Body=b"")
    s3.delete_object(Bucket="a-bucket", Key="key")
    assert [what for what in persister.calls if what != "wanted key"] == ["object key", "deleted key"]
    with moto_patches.without("objects as files"):
        s3.put_object(Bucket="a-bucket", Key="key", Body=b"")
        s3.delete_object(Bucket="a-bucket", Key="key")
    assert [what for what in persister.calls if what != "wanted key"] == ["object key", "deleted key"]


def test_objects_that_are_wanted_are_not_asked_for(bench: Bench, persister: StatePersister) -> None:
    s3 = bench.aws.client("s3")
    s3.create_bucket(Bucket="b-bucket")
    s3.put_object(Bucket="b-bucket", Key="job/file", Body=b"")
    persister.calls.clear()
    s3.get_object(Bucket="b-bucket", Key="job/file")
    s3.list_objects_v2(Bucket="b-bucket", Prefix="job/")
    assert set(persister.calls) == {"wanted job/file", "wanted job/"}
    persister.calls.clear()
    with moto_patches.without("objects when they are wanted"):
        s3.get_object(Bucket="b-bucket", Key="job/file")
        s3.list_objects_v2(Bucket="b-bucket", Prefix="job/")
    assert persister.calls == []


def test_an_execution_that_left_memory_is_unknown(bench: Bench, persister: StatePersister) -> None:
    states = bench.aws.client("stepfunctions")
    definition = machine(Done={"Type": "Succeed"})
    arn = states.create_state_machine(name="left", definition=definition, roleArn="arn:aws:iam::123456789012:role/r")
    started = states.start_execution(stateMachineArn=arn["stateMachineArn"], name="now")["executionArn"]
    bench.aws.wait_for(started)
    persister.calls.clear()
    for _ in range(2):
        with pytest.raises(ClientError, match="ExecutionDoesNotExist"):
            states.describe_execution(executionArn=started.replace(":now", ":earlier"))
        with moto_patches.without("earlier executions, described"), pytest.raises(ClientError):
            states.describe_execution(executionArn=started.replace(":now", ":earlier"))
    assert persister.calls == ["asked for an execution"] * 2
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        states.start_execution(stateMachineArn=arn["stateMachineArn"], name="earlier")
    with moto_patches.without("earlier executions, by name"):
        again = states.start_execution(stateMachineArn=arn["stateMachineArn"], name="earlier")
    bench.aws.wait_for(again["executionArn"])


def test_records_are_only_in_memory(bench: Bench, persister: StatePersister) -> None:
    logs = bench.aws.client("logs")
    wanted = {"logGroupName": "/task", "filterPattern": '{ $.artifact_prefix = "job" }'}
    first = logs.filter_log_events(**wanted, limit=2)
    second = logs.filter_log_events(**wanted, limit=2, nextToken=first["nextToken"])
    assert [event["message"] for answer in (first, second) for event in answer["events"]] == ["job 0", "job 1", "job 2"]
    assert "nextToken" not in second
    assert logs.filter_log_events(**wanted, startTime=1001, endTime=1001)["events"][0]["message"] == "job 1"
    assert logs.filter_log_events(**wanted, nextToken="nonsense")["events"] == []
    with moto_patches.without("records as files"):
        assert logs.filter_log_events(**wanted)["events"] == []


def test_everything_stays_in_a_list(bench: Bench) -> None:
    known = len(ecs_models.Task.instances_tracked)
    bench.launch()
    bench.end_tasks()
    assert len(ecs_models.Task.instances_tracked) == known
    with moto_patches.without("no list of everything"):
        bench.launch()
    bench.end_tasks()
    assert len(ecs_models.Task.instances_tracked) == known + 1


def test_pages_of_every_site_may_read_answers(bench: Bench) -> None:
    assert bench.aws.endpoint
    client = werkzeug.test.Client(werkzeug_app.create_backend_app("ecs"))
    assert "Access-Control-Allow-Origin" not in client.get("/", headers={"Origin": "https://a.example"}).headers
    with moto_patches.without("no CORS"):
        client = werkzeug.test.Client(werkzeug_app.create_backend_app("ecs"))
        assert "Access-Control-Allow-Origin" in client.get("/", headers={"Origin": "https://a.example"}).headers


def test_executions_that_begin_are_not_handed_on(bench: Bench, persister: StatePersister) -> None:
    definition = machine(Wait={"Type": "Wait", "Seconds": 60, "End": True})
    arns = [bench.start(definition)]
    assert persister.calls == ["execution RUNNING"]
    with moto_patches.without("beginnings of executions"):
        arns.append(bench.start(definition))
    assert persister.calls == ["execution RUNNING"]
    for arn in arns:
        bench.aws.client("stepfunctions").stop_execution(executionArn=arn)
        bench.aws.wait_for(arn)


def test_log_records_are_not_handed_on(bench: Bench, persister: StatePersister) -> None:
    logs = bench.aws.client("logs")
    logs.create_log_group(logGroupName="/group")
    logs.create_log_stream(logGroupName="/group", logStreamName="stream")
    now = int(time.time() * 1000)
    record = {"logGroupName": "/group", "logStreamName": "stream", "logEvents": [{"timestamp": now, "message": "text"}]}
    logs.put_log_events(**record)
    assert persister.calls == [f"line text of /group at {now}"]
    with moto_patches.without("log records as lines"):
        logs.put_log_events(**record)
    assert len(persister.calls) == 1


def test_an_object_that_the_disk_has_no_room_for_is_an_untold_failure(
    bench: Bench, persister: StatePersister, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(key: Any) -> None:
        raise StorageError("the disk of /data is full")

    monkeypatch.setattr(persister, "keep_object", full)
    s3 = bench.aws.client("s3")
    s3.create_bucket(Bucket="full-bucket")
    with pytest.raises(ClientError, match="the disk of /data is full") as refused:
        s3.put_object(Bucket="full-bucket", Key="key", Body=b"")
    assert refused.value.response["Error"]["Code"] == "DiskFull"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] < 500  # nobody repeats it


# which patches each test above takes away
TESTED = {
    test_a_task_cannot_be_launched: ["parameter case", "response case"],
    test_a_task_cannot_be_placed: ["no memory in the container", "interface without a name"],
    test_a_tasks_times_cannot_be_an_output: ["times in answers"],
    test_the_interpreter_does_not_know_every_service: ["service names"],
    test_the_interpreter_looks_for_another_server: ["shared clients"],
    test_an_answer_of_aws_is_not_given: ["answers of AWS"],
    test_exit_codes_are_not_seen: ["exit codes"],
    test_a_stopped_execution_leaves_its_task_running: ["abandoned tasks"],
    test_a_retry_ends_at_once: ["token per attempt"],
    test_errors_of_the_launch_have_no_name: ["errors of ECS"],
    test_capacity_providers_are_dropped: ["capacity providers"],
    test_looks_are_slow: ["quick looks"],
    test_a_launched_task_does_nothing: ["containers run"],
    test_a_stopped_task_goes_on: ["containers stop"],
    test_a_task_that_runs_is_said_to_have_ended: ["status by itself"],
    test_the_reason_of_a_stop_is_lost: ["reason of a stop, given", "reason of a stop, kept"],
    test_a_stop_inside_a_map_is_a_failure: ["stop inside a Map"],
    test_a_time_out_has_no_end: ["end of a time-out"],
    test_every_record_matches_a_pattern_of_a_field: ["JSON filter patterns"],
    test_a_definition_is_parsed_for_every_execution: ["parsed once"],
    test_a_path_is_parsed_at_every_use: ["paths parsed once"],
    test_objects_are_not_handed_on: ["objects as files"],
    test_log_records_are_not_handed_on: ["log records as lines"],
    test_executions_that_begin_are_not_handed_on: ["beginnings of executions"],
    test_objects_that_are_wanted_are_not_asked_for: ["objects when they are wanted"],
    test_an_execution_that_left_memory_is_unknown: ["earlier executions, described", "earlier executions, by name"],
    test_records_are_only_in_memory: ["records as files"],
    test_everything_stays_in_a_list: ["no list of everything"],
    test_pages_of_every_site_may_read_answers: ["no CORS"],
}
