"""The embedded service: everything in one process tree, from its start to a clean end."""

from __future__ import annotations

import json
import logging
import os
import shlex
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import platformdirs

from compose_runner.local.aws.artifact_server import ArtifactServer
from compose_runner.local.aws.emulator import EmbeddedAws
from compose_runner.local.aws.environment import process_environment
from compose_runner.local.aws.overrides import override_names
from compose_runner.local.demo.compose import DemoCompose
from compose_runner.local.functions.gateway import Gateway
from compose_runner.local.functions.pool import Function, default_processes
from compose_runner.local.pages.routes import Routes
from compose_runner.local.sent_bundles import SentBundles
from compose_runner.local.stack.application import TEMPLATE, application_root
from compose_runner.local.stack.resources import Stack
from compose_runner.local.state.cleaner import Cleaner
from compose_runner.local.state.directory import StateDirectory
from compose_runner.local.state.jobs import SERVICE_STOPPED, SERVICE_STOPPED_CAUSE
from compose_runner.local.state.listing import JobList
from compose_runner.local.state.removal import JobNotRemovedError, days_ago, ended_before, remove_job
from compose_runner.local.state.restart import StatePersister
from compose_runner.local.visitors import LOOPBACK, is_loopback
from compose_runner.service import settings
from compose_runner.service.log_events import ARTIFACT_PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from compose_runner.local.functions.pool import FunctionCode

log = logging.getLogger("compose_runner.serve")

DEFAULT_PORT = 8642
# replaces the task's own command: a test or an experiment may want another
TASK_COMMAND = "COMPOSE_RUNNER_TASK_COMMAND"
# how long tasks may take to save what they have when the service stops
STOP_SECONDS = 30.0
# what differs from a deployment: jobs may be cancelled, since the service belongs to its user; there is no
# image; pages of no other site may call, unless the operator names them; nothing is gained by long waits between
# attempts; nobody pays by the hour, and jobs wait for one another
PARAMETERS = {
    "AllowCancel": "true",
    "CorsOrigins": "",
    "MaxIterations": "10000000",
    "MaxPredictedCoreHours": "1000",
    "MaxRunningJobs": "0",
    "RetrySeconds": "2",
    "TaskImage": f"embedded@sha256:{'0' * 64}",
}
_TASK_MODULE = "task.main"
# what the task reads its inputs from, where somebody sent them
BUNDLE_FILE = "BUNDLE_FILE"


def default_data_directory() -> Path:
    """Where the service keeps artifacts by default."""
    return platformdirs.user_data_path("compose-runner", appauthor=False) / "service"


def default_parallel_jobs() -> int:
    """How many jobs run at a time: each uses every core while it computes, so about one for every four cores."""
    return max(1, (os.cpu_count() or 1) // 4)


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """How the service runs.

    Parameters
    ----------
    data : Path
        Where artifacts, jobs and logs are kept.
    port : int
        Port of the functions' addresses; 0 for any free one.
    host : str
        Where addresses and artifacts are served.
    token : str or None
        What every request must carry; needed wherever others than this machine reach ``host``.
    max_parallel_jobs : int
        Tasks that run at the same time.
    compose_url, neurostore_url : str or None
        Replace the hosts of every environment.
    demo : bool
        Bring a Compose along that serves the demonstration.
    artifacts_port : int
        Port of artifacts; 0 for any free one.
    artifacts_url : str or None
        Where browsers and clients reach that port, when that is a proxy in front of it.
    keep_days : float or None
        Days after its end when a job is removed; None keeps all.
    task_command : sequence of str
        What runs a job; the deployed task by default.
    parameters : mapping
        Values for the template's parameters, such as ``ShardThresholdSeconds``.
    """

    data: Path = field(default_factory=default_data_directory)
    port: int = DEFAULT_PORT
    host: str = LOOPBACK
    token: str | None = field(default=None, repr=False)
    max_parallel_jobs: int = field(default_factory=default_parallel_jobs)
    compose_url: str | None = None
    neurostore_url: str | None = None
    demo: bool = False
    artifacts_port: int = 0
    artifacts_url: str | None = None
    keep_days: float | None = None
    task_command: Sequence[str] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)


class TokenMissingError(ValueError):
    """The service would answer every client that reaches it."""


class Service:
    """The embedded service; a context manager.

    Parameters
    ----------
    options : ServiceOptions
        How it runs.

    Attributes
    ----------
    urls : dict of str to str
        Addresses of ``submit``, ``status``, ``logs`` and ``results``, once it has started.
    """

    def __init__(self, options: ServiceOptions) -> None:
        self.options = options
        self.urls: dict[str, str] = {}
        self.demo: DemoCompose | None = None
        self._root = application_root()
        self._state_directory: StateDirectory | None = None
        self._aws: EmbeddedAws | None = None
        self._functions: dict[str, Function] = {}
        self._artifacts: ArtifactServer | None = None
        self._gateway: Gateway | None = None
        self._state_machine_arn = ""
        self._persister: StatePersister | None = None
        self._cleaner: Cleaner | None = None
        self._removing = threading.Lock()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close(seconds=0)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start everything; returns when every address answers.

        Raises
        ------
        OSError
            The port or the data directory is in use.
        TokenMissingError
            Others than this machine would reach the service without a token.
        compose_runner.local.stack.template.TemplateError
            The template asks for something that is not known here.
        compose_runner.local.functions.pool.FunctionError
            A function cannot be imported.
        """
        options = self.options
        if not is_loopback(options.host) and not options.token:
            raise TokenMissingError(
                f"everybody who reaches {options.host} could start jobs: set COMPOSE_RUNNER_TOKEN (or --token) to a "
                "long random text, and give it to clients"
            )
        self._state_directory = StateDirectory(options.data)
        if options.demo:
            self.demo = DemoCompose(uploads=self._state_directory.uploads)
            self.demo.start()
        self._aws = EmbeddedAws(
            self._task_command(),
            environment=self._python_environment(),
            max_parallel_tasks=options.max_parallel_jobs,
            on_line=log_readable,
        ).start()
        stack = Stack(self._aws, self._root / TEMPLATE, {**PARAMETERS, **self._hosts(), **options.parameters})
        stack.create()
        codes = stack.functions()
        self._keep(stack, codes)
        bucket = codes["results"].environment[settings.RESULTS_BUCKET]
        self._artifacts = ArtifactServer(
            self._aws.client("s3"),
            bucket,
            self._aws.keys,
            options.host,
            port=options.artifacts_port,
            public_url=options.artifacts_url,
        )
        self._artifacts.start()
        self._start_functions(codes)
        self._gateway = Gateway(
            {name: function.invoke for name, function in self._functions.items()},
            options.port,
            options.host,
            token=options.token,
            origins=settings.cors_origins(codes["submit"].environment),
            routes=self._routes(codes),
        )
        self._gateway.start()
        if options.keep_days is not None:
            self._cleaner = Cleaner(lambda: self._remove_older(options.keep_days or 0.0))
            self._cleaner.start()
        self.urls = self._gateway.urls

    def close(self, seconds: float = STOP_SECONDS) -> None:
        """Take no more requests, stop running jobs, and end.

        Parameters
        ----------
        seconds : float
            How long tasks may take to save what they have.
        """
        if self._gateway is not None:
            self._gateway.close()
        if self._cleaner is not None:
            self._cleaner.close()
        if self._aws is not None:
            self._stop_jobs(self._aws, seconds)
        for function in self._functions.values():
            function.close()
        if self._artifacts is not None:
            self._artifacts.close()
        if self._aws is not None:
            self._aws.close(seconds=seconds)
        if self.demo is not None:
            self.demo.close()
        if self._state_directory is not None:
            self._state_directory.close()
        self._gateway = self._artifacts = self._aws = self.demo = self._state_directory = None
        self._cleaner = None
        self._functions = {}

    def force_stop(self) -> None:
        """Kill the tasks that are being stopped."""
        if self._aws is not None:
            for run in self._aws.tasks.running:
                run.kill()

    # -- parts ---------------------------------------------------------------------------------------------------

    def _hosts(self) -> dict[str, str]:
        demo = self.demo.url if self.demo is not None else None
        hosts = {
            "ComposeApiUrl": self.options.compose_url or demo,
            "NeurostoreApiUrl": self.options.neurostore_url or demo,
        }
        return {name: value for name, value in hosts.items() if value}

    def _python_environment(self) -> dict[str, str]:
        # the root first: it holds the task and, in a checkout, the package
        path = [str(self._root), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {"PYTHONPATH": os.pathsep.join(path), "PYTHONUNBUFFERED": "1"}

    def _task_command(self) -> list[str]:
        if self.options.task_command:
            return list(self.options.task_command)
        if given := os.environ.get(TASK_COMMAND):
            return shlex.split(given)
        return [sys.executable, "-m", _TASK_MODULE]

    def _keep(self, stack: Stack, codes: Mapping[str, FunctionCode]) -> None:
        assert self._state_directory is not None
        assert self._aws is not None
        variables = codes["results"].environment
        self._state_machine_arn = stack.made(stack.only("AWS::StepFunctions::StateMachine")).reference
        machine = self._aws.client("stepfunctions").describe_state_machine(stateMachineArn=self._state_machine_arn)
        self._aws.tasks.restrict_overrides(override_names(machine["definition"]))
        persister = self._persister = StatePersister(
            self._state_directory,
            variables["RESULTS_BUCKET"],
            variables.get("RESULTS_PREFIX", ""),
            self._state_machine_arn,
        )
        jobs = self._aws.keep_in(persister)
        bundles = self._state_directory.bundles
        self._aws.tasks.add_variables(
            lambda launch: (
                {BUNDLE_FILE: str(bundles.path(launch["ARTIFACT_PREFIX"]))}
                if bundles.knows(launch.get("ARTIFACT_PREFIX", ""))
                else {}
            )
        )
        log.info("artifacts are kept in %s (%d earlier jobs)", self._state_directory.directory, jobs)

    def _job_id(self, name: str) -> str:
        return f"{self._state_machine_arn.replace(':stateMachine:', ':execution:', 1)}:{name}"

    def _routes(self, codes: Mapping[str, FunctionCode]) -> Routes:
        assert self._aws is not None
        assert self._state_directory is not None
        directory = self._state_directory
        bundles = SentBundles(
            directory,
            self._aws.client("stepfunctions"),
            self._job_id,
            settings.SubmitSettings.read(codes["submit"].environment),
        )
        return Routes(JobList(directory, self._job_id).newest, bundles.start, self._remove, self._job_id)

    def _remove(self, name: str) -> list[Path]:
        """Remove a job that has ended, from the disk and from memory."""
        assert self._state_directory is not None
        with self._removing:
            return remove_job(self._state_directory, name, self._forget_job)

    def _forget_job(self, name: str) -> None:
        assert self._aws is not None
        assert self._persister is not None
        self._persister.forget_job(name)
        self._aws.forget_execution(self._job_id(name))

    def _remove_older(self, days: float) -> None:
        assert self._state_directory is not None
        for name in list(ended_before(self._state_directory, days_ago(days))):
            # somebody else may have removed it in the meantime
            with suppress(JobNotRemovedError):
                self._remove(name)

    def _start_functions(self, codes: Mapping[str, FunctionCode]) -> None:
        assert self._aws is not None
        assert self._artifacts is not None
        environment = {
            **process_environment(),
            **self._python_environment(),
            **self._aws.variables,
            settings.ARTIFACTS_ENDPOINT: self._artifacts.public_endpoint,
            # there is no X-Ray daemon here
            "POWERTOOLS_TRACE_DISABLED": "true",
        }
        processes = default_processes()
        for name, code in codes.items():
            self._functions[name] = Function(
                code,
                environment,
                self._aws.log_streams.writer(code.log_group, "embedded") if code.log_group else lambda _line: None,
                max_processes=processes,
            )
        errors: list[BaseException] = []

        def start(function: Function) -> None:
            try:
                function.start()
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=start, args=(function,)) for function in self._functions.values()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]

    def _stop_jobs(self, aws: EmbeddedAws, seconds: float) -> None:
        if not self._state_machine_arn:
            return
        states = aws.client("stepfunctions")
        running = states.list_executions(stateMachineArn=self._state_machine_arn, statusFilter="RUNNING")["executions"]
        if running:
            log.info("stopping %d running jobs; press Ctrl-C again to kill them", len(running))
        for execution in running:
            states.stop_execution(
                executionArn=execution["executionArn"], error=SERVICE_STOPPED, cause=SERVICE_STOPPED_CAUSE
            )
        aws.tasks.stop_all("The service was stopped", seconds)
        for execution in running:
            aws.wait_for(execution["executionArn"])


def log_readable(group: str, line: str) -> None:
    """Log a line of a task or function so that a person can read it.

    Parameters
    ----------
    group : str
        The line's log group.
    line : str
        JSON of this package's loggers, or anything else.
    """
    try:
        record: Any = json.loads(line)
    except ValueError:
        record = None
    source = group.rpartition("/")[2]
    if not isinstance(record, dict) or "message" not in record:
        if not (isinstance(record, dict) and "_aws" in record):  # metrics are for machines
            log.info("%s: %s", source, line)
        return
    job = str(record.get(ARTIFACT_PREFIX) or "")
    details = [f"{name}={record[name]}" for name in ("stage", "completed", "total", "error") if record.get(name)]
    level = logging.getLevelNamesMapping().get(str(record.get("level", "INFO")), logging.INFO)
    log.log(level, "%s %s: %s", job[:12] or "-", source, " ".join([str(record["message"]), *details]))
