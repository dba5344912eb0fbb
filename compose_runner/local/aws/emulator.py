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
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

import boto3
from moto.core.config import default_user_config
from moto.moto_api._internal import moto_api_backend

from compose_runner.local.aws import moto_patches
from compose_runner.local.aws.call_faults import CallFaults
from compose_runner.local.aws.containers import STOP_SECONDS, ContainerRunner
from compose_runner.local.aws.environment import aws_environment, process_environment
from compose_runner.local.aws.log_streams import LogStreams
from compose_runner.local.aws.moto_patches.ecs import forget_task
from compose_runner.local.aws.moto_patches.host import MemoryOnly, attach
from compose_runner.local.aws.moto_patches.stepfunctions import forget_execution
from compose_runner.local.aws.request_signatures import AccessKeys
from compose_runner.local.aws.server import AwsServer
from compose_runner.local.aws.tasks import Tasks
from compose_runner.local.aws.waiting import WaitingRecords

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from compose_runner.local.aws.moto_patches.host import Store
    from compose_runner.local.state.restart import StatePersister

REGION = "us-east-1"
# ended executions that are in memory, with their histories and tasks; without a state directory earlier ones are lost
MEMORY_EXECUTIONS = 32
ACCOUNT = "123456789012"
_only_one = threading.Lock()


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

    Attributes
    ----------
    endpoint : str
        Its address, once it has started.
    tasks : Tasks
        ECS tasks, once it has started.
    log_streams : LogStreams
        What writes log records, once it has started.
    store : Store
        What outlives memory; nothing without :meth:`keep_in`.
    call_faults : CallFaults
        What the next calls of a state machine are answered instead of what moto would say.
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
        self.store: Store = MemoryOnly()
        self.call_faults = CallFaults()
        self.tasks: Tasks
        self.log_streams: LogStreams
        self._environment = dict(environment or {})
        self._max_parallel_tasks = max_parallel_tasks
        self._port = port
        self._moto_settings: Any = {}
        self._on_line = on_line
        self._server: AwsServer | None = None
        self._runner: ContainerRunner | None = None
        self._waiting: WaitingRecords | None = None
        # executions in memory and their tasks, the one that ended first at the beginning
        self._execution_tasks: dict[str, list[tuple[str, str]]] = {}
        self._ended: deque[str] = deque()
        self._clients: dict[str, Any] = {}
        self._clients_lock = threading.Lock()

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
            # moto calls errors what a state machine asks for (a variable that is absent, a task that fails)
            logging.getLogger("moto").setLevel(logging.CRITICAL)
            self._server = AwsServer(self.keys, self._port)
            self._server.start()
            self.endpoint = self._server.endpoint
            self._runner = ContainerRunner(
                self.task_command,
                {**process_environment(), **self._environment, **self.variables},
                self._max_parallel_tasks,
            )
            self.log_streams = LogStreams(self, self.account, self.region, self._on_line)
            self.tasks = Tasks(self._runner, self.log_streams)
            self._waiting = WaitingRecords(self.client)
            self._runner.on_waiting = self._waiting.tell
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
        if self._waiting is not None:
            self._waiting.close()
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

    def keep_in(self, persister: StatePersister) -> int:
        """Tell this AWS what a state directory holds, and keep everything there from now on; gives the number of jobs.

        Parameters
        ----------
        persister : StatePersister
            Knows the state directory, the bucket and the state machine, which must exist.
        """
        jobs = persister.open(self.account, self.region)
        self.store = persister
        return jobs

    def forget_execution(self, execution_arn: str) -> None:
        """Drop an execution that has ended from memory, with its tasks and its log stream."""
        with suppress(ValueError):
            self._ended.remove(execution_arn)
        self._forget(execution_arn)

    # -- what the patched moto asks of its host --------------------------------------------------------------------

    def note_task(self, execution_arn: str, cluster_arn: str, task_arn: str) -> None:
        """Know which task is to be forgotten with an execution."""
        self._execution_tasks.setdefault(execution_arn, []).append((cluster_arn, task_arn))

    def keep_execution(self, execution: Any) -> None:
        """Record that an execution began or ended, and forget the one that ended long before."""
        self.store.keep_execution(execution)
        if execution.status == "RUNNING":
            return
        self._ended.append(execution.exec_arn)
        while len(self._ended) > MEMORY_EXECUTIONS:
            self._forget(self._ended.popleft())

    def _forget(self, execution_arn: str) -> None:
        forget_execution(execution_arn)
        for cluster_arn, task_arn in self._execution_tasks.pop(execution_arn, ()):
            forget_task(cluster_arn, task_arn)
            self.tasks.forget(task_arn)
        self.log_streams.forget_refused(execution_arn.rpartition(":")[2])
