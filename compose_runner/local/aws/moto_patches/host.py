"""What the patches ask of the embedded AWS that is running, and which one that is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from compose_runner.local.aws.call_faults import CallFaults
    from compose_runner.local.aws.request_signatures import AccessKeys
    from compose_runner.local.aws.tasks import Tasks


class Store(Protocol):
    """What outlives moto's memory."""

    def want_objects(self, bucket: str, name: str | None) -> None:
        """Have objects in memory before they are asked for."""

    def keep_object(self, key: Any) -> None:
        """Take note of a new object."""

    def forget_object(self, bucket: str, name: str) -> None:
        """Take note that an object was deleted."""

    def keep_execution(self, execution: Any) -> None:
        """Take note that an execution began or ended."""

    def knows_execution(self, state_machine_arn: str, name: str) -> bool:
        """Whether an execution of this name ended and is no longer in memory."""

    def earlier_execution(self, execution_arn: str) -> Any:
        """Execution that ended and is no longer in memory; None if there is none."""

    def records(self, group: str, field: str, value: str) -> list[Any] | None:
        """Records of a log group in which a field has a value; None if they are in memory."""

    def keep_line(self, group: str, timestamp: int, line: str) -> bool:
        """Take note of a log record; False if memory is where it has to stay."""


class MemoryOnly:
    """A store that keeps nothing: what moto forgets is lost."""

    def want_objects(self, bucket: str, name: str | None) -> None:
        """Do nothing: every object is in memory."""

    def keep_object(self, key: Any) -> None:
        """Do nothing."""

    def forget_object(self, bucket: str, name: str) -> None:
        """Do nothing."""

    def keep_execution(self, execution: Any) -> None:
        """Do nothing."""

    def knows_execution(self, state_machine_arn: str, name: str) -> bool:
        """Return False: what is not in memory is unknown."""
        return False

    def earlier_execution(self, execution_arn: str) -> Any:
        """Return None."""
        return None

    def records(self, group: str, field: str, value: str) -> list[Any] | None:
        """Return None: records are in memory."""
        return None

    def keep_line(self, group: str, timestamp: int, line: str) -> bool:
        """Return False: the record stays in memory."""
        return False


class Host(Protocol):
    """What the patches ask of the embedded AWS that is running."""

    endpoint: str
    keys: AccessKeys
    call_faults: CallFaults
    tasks: Tasks
    store: Store

    def note_task(self, execution_arn: str, cluster_arn: str, task_arn: str) -> None:
        """Take note of a task that belongs to an execution."""

    def keep_execution(self, execution: Any) -> None:
        """Take note that an execution began or ended."""


_host: Host | None = None


def host() -> Host:
    """Embedded AWS that is running.

    Raises
    ------
    RuntimeError
        None is.
    """
    if _host is None:
        raise RuntimeError("no embedded AWS is running")
    return _host


def is_attached() -> bool:
    """Whether an embedded AWS is running; executions may end after it."""
    return _host is not None


def attach(running: Host | None) -> None:
    """Say which embedded AWS the patches serve; None when it has ended."""
    global _host
    _host = running
