"""AWS inside this process: moto's server, a real state machine interpreter, and ECS tasks that are real subprocesses.

The rest of the embedded service and the tests of the state machine stand on it::

    with EmbeddedAws(task_command=[sys.executable, "-m", "task.main"]) as aws:
        states = aws.client("stepfunctions")
        ...

"""

from __future__ import annotations

import copy
import logging
import os
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import boto3
from moto.core.config import default_user_config
from moto.core.utils import utcnow
from moto.ecs.exceptions import ECSException
from moto.logs.models import LogStream, logs_backends
from moto.moto_api._internal import moto_api_backend

from compose_runner.client.addresses import TOKEN_VARIABLE
from compose_runner.local.aws import moto_patches
from compose_runner.local.aws.containers import CANNOT_START, STOP_SECONDS, ContainerRequest, ContainerRunner
from compose_runner.local.aws.moto_patches.ecs import forget_task
from compose_runner.local.aws.moto_patches.host import attach
from compose_runner.local.aws.moto_patches.stepfunctions import forget_execution
from compose_runner.local.aws.overrides import checked_environment
from compose_runner.local.aws.server import AwsServer
from compose_runner.local.aws.signatures import AccessKeys
from compose_runner.service.log_events import ARTIFACT_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from compose_runner.local.aws.containers import ContainerRun
    from compose_runner.local.state.restart import StatePersister

REGION = "us-east-1"
# ended executions that are in memory, with their histories and tasks; without a state directory earlier ones are lost
MEMORY_EXECUTIONS = 32
ACCOUNT = "123456789012"
_only_one = threading.Lock()


@dataclass(frozen=True, slots=True)
class TaskFault:
    """Something that goes wrong with the next task, instead of its command.

    Parameters
    ----------
    refused : str or None
        Error code with which the RunTask call itself is refused, such as ``"ThrottlingException"``.
    message : str
        The refusal's message, or the task's ``StoppedReason``.
    exit_code : int or None
        Exit code of a task that was started and stopped; None if its container never ran.
    stop_code : str
        ECS's ``StopCode``, such as ``"TaskFailedToStart"`` or ``"SpotInterruption"``.
    """

    message: str
    refused: str | None = None
    exit_code: int | None = None
    stop_code: str = "TaskFailedToStart"


def aws_environment(endpoint: str, keys: AccessKeys, region: str = REGION) -> dict[str, str]:
    """Variables that point boto3 at an embedded AWS, and at nothing else.

    Parameters
    ----------
    endpoint : str
        Address of the embedded AWS.
    keys : AccessKeys
        What its requests are signed with.
    region : str
        Its region.
    """
    return {
        **keys.variables,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def process_environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """Variables of this process for others, without AWS's and the gateway's token.

    A developer's own account must stay out of reach, and the token is for clients.

    Parameters
    ----------
    variables : mapping, optional
        Taken instead of the process's environment.
    """
    variables = os.environ if variables is None else variables
    return {name: value for name, value in variables.items() if not name.startswith("AWS_") and name != TOKEN_VARIABLE}


class EmbeddedAws:
    """AWS on 127.0.0.1, in this process; one at a time, since moto's state is the process's.

    Parameters
    ----------
    task_command : sequence of str
        Stands for the ENTRYPOINT of every task's image.
    environment : mapping, optional
        Further variables of every task, weaker than those of the task definition.
    max_parallel_tasks : int
        Tasks that run at the same time; the others wait in the order in which they came.
    port : int
        0 for any free port.
    on_line : callable, optional
        Takes the log group and the line of every line that a task or a function writes.
    """

    def __init__(
        self,
        task_command: Sequence[str] = (),
        *,
        environment: Mapping[str, str] | None = None,
        max_parallel_tasks: int = 4,
        port: int = 0,
        on_line: Callable[[str, str], None] | None = None,
    ) -> None:
        self.task_command = list(task_command)
        self.region = REGION
        self.account = ACCOUNT
        self.endpoint = ""
        # made anew at every start: who does not know them gets no answer; what a role can do is not simulated
        self.keys = AccessKeys.random()
        self.faults: deque[TaskFault] = deque()
        self._environment = dict(environment or {})
        self._max_parallel_tasks = max_parallel_tasks
        self._port = port
        self._moto_settings: Any = {}
        self._persister: StatePersister | None = None
        self._on_line = on_line
        self._server: AwsServer | None = None
        self._override_names: frozenset[str] | None = None
        self._runner: ContainerRunner | None = None
        self._runs: dict[str, ContainerRun] = {}
        self._streams: dict[str, tuple[str, str]] = {}
        # executions in memory and their tasks, the one that ended first at the beginning
        self._tasks: dict[str, list[tuple[str, str]]] = {}
        self._ended: deque[str] = deque()
        self._clients: dict[str, Any] = {}
        self._clients_lock = threading.Lock()
        self._streams_lock = threading.Lock()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- life ----------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start the server and forget what an earlier one in this process knew.

        Raises
        ------
        RuntimeError
            Another one is running in this process.
        """
        if not _only_one.acquire(blocking=False):
            raise RuntimeError("an embedded AWS is running in this process already")
        try:
            moto_patches.install()
            self._moto_settings = copy.deepcopy(default_user_config)
            default_user_config["stepfunctions"] = {"execute_state_machine": True}
            # 500 machine images that nobody starts here, read from a file of megabytes
            os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
            default_user_config["lambda"] = {"use_docker": False}
            default_user_config["iam"] = {"load_aws_managed_policies": False}
            moto_api_backend.reset()
            logging.getLogger("werkzeug").setLevel(logging.ERROR)
            logging.getLogger("moto.stepfunctions").setLevel(logging.ERROR)
            self._server = AwsServer(self.keys, self._port)
            self._server.start()
            self.endpoint = self._server.endpoint
            self._runner = ContainerRunner(
                self.task_command,
                {**process_environment(), **self._environment, **self.variables},
                self._max_parallel_tasks,
            )
            attach(self)
        except BaseException:
            _only_one.release()
            raise
        return self

    def close(self, seconds: float = STOP_SECONDS) -> None:
        """Stop tasks, then the server.

        Parameters
        ----------
        seconds : float
            How long tasks may take to end by themselves.
        """
        if self._server is None:
            return
        if self._runner is not None:
            self._runner.close(seconds=seconds)
        self._server.close()
        self._server = None
        attach(None)
        moto_patches.uninstall()
        default_user_config.clear()
        default_user_config.update(self._moto_settings)
        _only_one.release()

    # -- use -----------------------------------------------------------------------------------------------------

    def client(self, service: str) -> Any:
        """Make a boto3 client that speaks to this AWS.

        Parameters
        ----------
        service : str
            boto3's name of the service.
        """
        with self._clients_lock:
            if service not in self._clients:
                session: Any = boto3.session.Session(
                    aws_access_key_id=self.keys.access_key,
                    aws_secret_access_key=self.keys.secret_key,
                    region_name=self.region,
                )
                self._clients[service] = session.client(service, endpoint_url=self.endpoint)
            return self._clients[service]

    @property
    def variables(self) -> dict[str, str]:
        """Environment with which another process reaches this AWS."""
        return aws_environment(self.endpoint, self.keys, self.region)

    def execute(
        self,
        definition: str,
        execution_input: str = "{}",
        *,
        name: str = "execution",
        seconds: float = 60.0,
    ) -> dict[str, Any]:
        """Create a state machine from a definition, run it once, and describe the execution when it has ended.

        Parameters
        ----------
        definition : str
            Amazon States Language, substitutions done.
        execution_input : str
            JSON.
        name : str
            Name of the execution; the state machine is called after it.
        seconds : float
            How long the execution may take.
        """
        states = self.client("stepfunctions")
        machine = states.create_state_machine(
            name=f"machine-{name}",
            definition=definition,
            roleArn=f"arn:aws:iam::{self.account}:role/state-machine",
        )
        execution = states.start_execution(stateMachineArn=machine["stateMachineArn"], name=name, input=execution_input)
        return self.wait_for(execution["executionArn"], seconds=seconds)

    def wait_for(self, execution_arn: str, seconds: float = 60.0) -> dict[str, Any]:
        """Describe an execution once it has ended.

        Raises
        ------
        TimeoutError
            It still runs after ``seconds``.
        """
        states = self.client("stepfunctions")
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            described: dict[str, Any] = states.describe_execution(executionArn=execution_arn)
            if described["status"] != "RUNNING":
                return described
            time.sleep(0.05)
        raise TimeoutError(f"{execution_arn} still runs after {seconds:g} s")

    def create_fargate(self, families: Iterable[str] = ("task",), log_group: str = "/task") -> dict[str, str]:
        """Create what a task needs to be launched: network, cluster, log group and a task definition for each family.

        Parameters
        ----------
        families : iterable of str
            Names of the task definitions; the container of each is called ``task``.
        log_group : str
            Where the tasks' lines go.

        Returns
        -------
        dict
            ``cluster``, ``subnet``, ``security_group``, and the task definition's ARN under each family's name.
        """
        network = self.client("ec2")
        vpc = network.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        subnet = network.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
        group = network.create_security_group(VpcId=vpc, GroupName="task", Description="task")["GroupId"]
        self.client("logs").create_log_group(logGroupName=log_group)
        containers = self.client("ecs")
        made = {
            "cluster": containers.create_cluster(clusterName="cluster")["cluster"]["clusterArn"],
            "subnet": subnet,
            "security_group": group,
        }
        for family in families:
            made[family] = containers.register_task_definition(
                family=family,
                networkMode="awsvpc",
                requiresCompatibilities=["FARGATE"],
                cpu="256",
                memory="512",
                containerDefinitions=[
                    {
                        "name": "task",
                        "image": "task",
                        "logConfiguration": {
                            "logDriver": "awslogs",
                            "options": {
                                "awslogs-group": log_group,
                                "awslogs-region": self.region,
                                "awslogs-stream-prefix": "task",
                            },
                        },
                    }
                ],
            )["taskDefinition"]["taskDefinitionArn"]
        return made

    def log_stream(self, group: str, stream: str) -> Callable[[str], None]:
        """Make a log stream and return what puts a line into it.

        It does so directly, not over HTTP: a task writes many lines.

        Raises
        ------
        LookupError
            There is no such log group.
        """
        backend = logs_backends[self.account][self.region]
        found = backend.groups.get(group)
        if found is None:
            raise LookupError(f"the log group {group} does not exist")

        def put(line: str) -> None:
            if not line.strip():
                return
            now = int(time.time() * 1000)
            if self._persister is not None:
                self._persister.keep_line(group, now, line)
            else:
                with self._streams_lock:
                    # a new dictionary: another thread may be walking through the one that is there
                    if stream not in found.streams:
                        found.streams = {**found.streams, stream: LogStream(log_group=found, name=stream)}
                backend.put_log_events(group, stream, [{"timestamp": now, "message": line}])
            if self._on_line is not None:
                self._on_line(group, line)

        return put

    def restrict_overrides(self, names: Iterable[str]) -> None:
        """Let a launch override these variables of a container, and neither others nor its command.

        Parameters
        ----------
        names : iterable of str
            Such as those that the service's own state machine sets.
        """
        self._override_names = frozenset(names)

    def stop_tasks(self, reason: str, seconds: float = STOP_SECONDS) -> None:
        """Stop every task and wait until all have ended."""
        if self._runner is not None:
            self._runner.stop_all(reason, seconds)

    @property
    def running_tasks(self) -> list[ContainerRun]:
        """Tasks that run or wait for their turn."""
        return self._runner.unfinished if self._runner is not None else []

    # -- what the patched moto asks of its host --------------------------------------------------------------------

    def launch(self, task: Any, task_definition: Any) -> None:
        """Run a task's container as a subprocess, with the environment that Fargate would give it."""
        fault = self.faults.popleft() if self.faults else None
        if fault is not None:
            self._fail(task, fault)
            return
        definition = task_definition.container_definitions[0]
        override = _find_override(task, definition)
        environment = checked_environment(definition, override, self._override_names)
        try:
            on_line = self._make_log_writer(task, definition)
        except LookupError as error:
            self._fail(task, TaskFault(f"ResourceInitializationError: {error}"))
            return
        assert self._runner is not None
        self._runs[task.task_arn] = self._runner.submit(
            ContainerRequest(
                container_id=task.id,
                arguments=override.get("command") or definition.get("command") or [],
                environment=environment,
                on_line=on_line,
                stop_seconds=float(definition.get("stopTimeout") or STOP_SECONDS),
            ),
            on_change=lambda run: _reflect(task, run),
        )

    def stop(self, task: Any, reason: str) -> None:
        """Stop a task's container, which may still wait for its turn."""
        run = self._runs.get(task.task_arn)
        if run is None:
            task.last_status = "STOPPED"
            return
        if not run.started:
            # nothing runs yet: the record must not wait until the queue reaches it
            run.stop(reason)
            task.stop_code, task.stopped_reason, task.last_status = "UserInitiated", reason, "STOPPED"
            return
        run.stop(reason)

    def wait(self, task_arn: str, seconds: float) -> None:
        """Return when the task has stopped, or when the time is over."""
        run = self._runs.get(task_arn)
        if run is not None:
            run.finished.wait(seconds)

    def note_task(self, execution_arn: str, cluster_arn: str, task_arn: str) -> None:
        """Know which task is to be forgotten with an execution."""
        self._tasks.setdefault(execution_arn, []).append((cluster_arn, task_arn))

    def want_objects(self, bucket: str, name: str | None) -> None:
        """Read a job's objects from their files, if they are not in memory."""
        if self._persister is not None:
            self._persister.want_objects(bucket, name)

    def keep_object(self, key: Any) -> None:
        """Keep a new object as a file."""
        if self._persister is not None:
            self._persister.keep_object(key)

    def forget_object(self, bucket: str, name: str) -> None:
        """Remove a deleted object's file."""
        if self._persister is not None:
            self._persister.forget_object(bucket, name)

    def keep_execution(self, execution: Any) -> None:
        """Record that an execution began or ended, and forget the one that ended long before."""
        if self._persister is not None:
            self._persister.keep_execution(execution)
        if execution.status == "RUNNING":
            return
        self._ended.append(execution.exec_arn)
        while len(self._ended) > MEMORY_EXECUTIONS:
            self._forget(self._ended.popleft())

    def _forget(self, execution_arn: str) -> None:
        forget_execution(execution_arn)
        for cluster_arn, task_arn in self._tasks.pop(execution_arn, ()):
            forget_task(cluster_arn, task_arn)
            self._runs.pop(task_arn, None)
            group, stream = self._streams.pop(task_arn, ("", ""))
            found = logs_backends[self.account][self.region].groups.get(group)
            if found is not None:
                with self._streams_lock:
                    found.streams = {name: kept for name, kept in found.streams.items() if name != stream}
        # a job without a task has a stream that its submission made
        name = execution_arn.rpartition(":")[2]
        with self._streams_lock:
            for group in logs_backends[self.account][self.region].groups.values():
                group.streams = {stream: kept for stream, kept in group.streams.items() if stream != f"refused/{name}"}

    def knows_execution(self, state_machine_arn: str, name: str) -> bool:
        """Whether an execution of this name ended and is no longer in memory."""
        return self._persister is not None and self._persister.knows_execution(state_machine_arn, name)

    def earlier_execution(self, execution_arn: str) -> Any:
        """Read an execution that ended and is no longer in memory."""
        return self._persister.earlier_execution(execution_arn) if self._persister is not None else None

    def kept_records(self, group: str, name: str, value: str) -> list[Any] | None:
        """Read a job's log records from their file."""
        if self._persister is None:
            return None
        return self._persister.records(group, value) if name == ARTIFACT_PREFIX else []

    def keep_line(self, group: str, timestamp: int, line: str) -> None:
        """Keep a log record."""
        if self._persister is not None:
            self._persister.keep_line(group, timestamp, line)

    def keep_in(self, persister: StatePersister) -> int:
        """Tell this AWS what a state directory holds, and keep everything there from now on; gives the number of jobs.

        Parameters
        ----------
        persister : StatePersister
            Knows the state directory, the bucket and the state machine, which must exist.
        """
        jobs = persister.open(self.account, self.region)
        self._persister = persister
        return jobs

    def _fail(self, task: Any, fault: TaskFault) -> None:
        if fault.refused is not None:
            raise ECSException(fault.refused, fault.message)
        task.stop_code, task.stopped_reason = fault.stop_code, fault.message
        task.containers[0].exitCode = fault.exit_code
        task.containers[0].last_status = task.desired_status = task.last_status = "STOPPED"
        task.stopped_at = utcnow()

    def _make_log_writer(self, task: Any, definition: Mapping[str, Any]) -> Callable[[str], None]:
        options = (definition.get("logConfiguration") or {}).get("options", {})
        if not options.get("awslogs-group"):
            return lambda line: None
        group, stream = (
            options["awslogs-group"],
            f"{options.get('awslogs-stream-prefix', 'ecs')}/{definition['name']}/{task.id}",
        )
        put = self.log_stream(group, stream)
        self._streams[task.task_arn] = (group, stream)
        return put


def _find_override(task: Any, definition: Mapping[str, Any]) -> dict[str, Any]:
    overrides = (task.overrides or {}).get("containerOverrides", [])
    found: dict[str, Any] = next((one for one in overrides if one.get("name") == definition["name"]), {})
    return found


def _reflect(task: Any, run: ContainerRun) -> None:
    container = task.containers[0]
    if not run.finished.is_set():
        task.started_at = utcnow()
        container.last_status = task.last_status = "RUNNING"
        return
    container.exitCode = run.exit_code if run.started else None
    task.stopped_at = utcnow()
    task.stopped_reason = run.reason
    if run.reason.startswith(CANNOT_START):
        task.stop_code = "TaskFailedToStart"
    else:
        task.stop_code = "UserInitiated" if run.stop_requested else "EssentialContainerExited"
    # the status last: it is what others wait for
    container.last_status = task.desired_status = task.last_status = "STOPPED"
