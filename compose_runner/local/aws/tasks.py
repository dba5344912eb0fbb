"""ECS tasks: each runs as a subprocess, and its record says how far that is."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from moto.core.utils import utcnow
from moto.ecs.exceptions import ECSException

from compose_runner.local.aws.containers import CANNOT_START, STOP_SECONDS, ContainerRequest, ContainerRunner
from compose_runner.local.aws.overrides import checked_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from compose_runner.local.aws.containers import ContainerRun
    from compose_runner.local.aws.log_streams import LogStreams


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


class Tasks:
    """Every task of an embedded AWS.

    Parameters
    ----------
    runner : ContainerRunner
        Runs their containers.
    log_streams : LogStreams
        Take their lines.

    Attributes
    ----------
    faults : deque of TaskFault
        What goes wrong with the tasks that are launched next, one each.
    """

    def __init__(self, runner: ContainerRunner, log_streams: LogStreams) -> None:
        self.faults: deque[TaskFault] = deque()
        self._runner = runner
        self._log_streams = log_streams
        self._override_names: frozenset[str] | None = None
        self._add_variables: Callable[[Mapping[str, str]], Mapping[str, str]] = lambda _environment: {}
        self._runs: dict[str, ContainerRun] = {}
        self._streams: dict[str, tuple[str, str]] = {}

    def restrict_overrides(self, names: Iterable[str] | None) -> None:
        """Let a launch override these variables of a container, and neither others nor its command.

        Parameters
        ----------
        names : iterable of str or None
            Such as those that the service's own state machine sets; None for anything that is safe.
        """
        self._override_names = None if names is None else frozenset(names)

    def add_variables(self, add: Callable[[Mapping[str, str]], Mapping[str, str]]) -> None:
        """Give containers variables that no launch can set.

        Parameters
        ----------
        add : callable
            Takes the variables that the launch set, and gives the further ones.
        """
        self._add_variables = add

    @property
    def running(self) -> list[ContainerRun]:
        """Tasks that run or wait for their turn."""
        return self._runner.unfinished

    def stop_all(self, reason: str, seconds: float = STOP_SECONDS) -> None:
        """Stop every task and wait until all have ended."""
        self._runner.stop_all(reason, seconds)

    def launch(self, task: Any, task_definition: Any) -> None:
        """Run a task's container as a subprocess, with the environment that Fargate would give it."""
        fault = self.faults.popleft() if self.faults else None
        if fault is not None:
            self._fail(task, fault)
            return
        definition = task_definition.container_definitions[0]
        override = _find_override(task, definition)
        environment = checked_environment(definition, override, self._override_names)
        environment.update(self._add_variables(environment))
        try:
            on_line = self._make_log_writer(task, definition)
        except LookupError as error:
            self._fail(task, TaskFault(f"ResourceInitializationError: {error}"))
            return
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

    def forget(self, task_arn: str) -> None:
        """Drop what is known of a task that ended, and its log stream."""
        self._runs.pop(task_arn, None)
        if task_arn in self._streams:
            self._log_streams.forget(*self._streams.pop(task_arn))

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
        put = self._log_streams.writer(group, stream)
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
