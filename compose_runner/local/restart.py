"""Between moto's memory and the archive: what is kept while the service runs, and what a restarted one is told."""

from __future__ import annotations

import contextlib
import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from moto.logs.models import logs_backends
from moto.s3.models import s3_backends
from moto.stepfunctions.parser.api import ExecutionStatus
from moto.stepfunctions.parser.backend.execution import Execution
from moto.stepfunctions.parser.models import stepfunctions_parser_backends

from compose_runner.local.archive import FileBuffer, content_type_of
from compose_runner.log_events import ARTIFACT_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable

    from compose_runner.local.archive import Archive

log = logging.getLogger("compose_runner.serve")

_RESTORED_STREAM = "kept"


class Keeper:
    """Keeps one bucket and one state machine in an archive.

    Parameters
    ----------
    archive : Archive
        Where.
    bucket, results_prefix : str
        Where jobs leave their objects.
    state_machine_arn : str
        Whose executions are jobs.
    """

    def __init__(self, archive: Archive, bucket: str, results_prefix: str, state_machine_arn: str) -> None:
        self.archive = archive
        self.bucket = bucket
        self.results_prefix = results_prefix
        self.state_machine_arn = state_machine_arn
        self._told: set[int | None] = set()

    # -- keeping -------------------------------------------------------------------------------------------------

    def keep_object(self, key: Any) -> None:
        """Move an object's content from memory into its file.

        Parameters
        ----------
        key : moto.s3.models.FakeKey
            The newest version; earlier ones are dropped.
        """
        path = self.archive.file_of(key.name, self.results_prefix) if key.bucket_name == self.bucket else None
        if path is None:
            return
        content = key.value
        tag = key.etag.strip('"')
        buffer = FileBuffer(path)
        buffer.write(content)
        key._value_buffer.close()
        key._value_buffer, key._etag, key.multipart = buffer, tag, None
        self._keys(key.account_id, key.region_name).setlist(key.name, [key])

    def forget_object(self, bucket: str, name: str) -> None:
        """Remove an object's file."""
        path = self.archive.file_of(name, self.results_prefix) if bucket == self.bucket else None
        if path is None:
            return
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # it holds other objects
            while path.parent != self.archive.artifacts:
                path = path.parent
                path.rmdir()

    def keep_execution(self, execution: Any) -> None:
        """Record how an execution is."""
        if execution.state_machine_arn != self.state_machine_arn:
            return
        output = execution.output
        self._record(
            self.archive.record_job,
            {
                "name": execution.name,
                "status": execution.status,
                "startDate": execution.start_date.isoformat(),
                "stopDate": execution.stop_date.isoformat() if execution.stop_date else None,
                "input": execution.execution_input,
                "output": output if output is None or isinstance(output, str) else json.dumps(output),
                "error": execution.error,
                "cause": execution.cause,
            },
        )

    def keep_line(self, group: str, timestamp: int, line: str) -> None:
        """Keep a log record that names its job."""
        try:
            record = json.loads(line)
        except ValueError:
            return
        if isinstance(record, dict) and isinstance(record.get(ARTIFACT_PREFIX), str):
            self._record(self.archive.record_line, record[ARTIFACT_PREFIX], group, timestamp, line)

    def _record(self, record: Callable[..., None], *fields: Any) -> None:
        """Record what the running service knows anyway; a disk that takes no more is told once, and stops nothing."""
        try:
            record(*fields)
        except OSError as error:
            if error.errno not in self._told:
                self._told.add(error.errno)
                log.error("Jobs and logs cannot be kept for the next start: %s", error)

    # -- telling -------------------------------------------------------------------------------------------------

    def restore(self, account: str, region: str) -> int:
        """Tell a new moto what the archive holds; returns the number of jobs.

        Parameters
        ----------
        account, region : str
            Where bucket and state machine were made.
        """
        self._restore_objects(account, region)
        self._restore_log_records(account, region)
        return self._restore_executions(account, region)

    def _keys(self, account: str, region: str) -> Any:
        return s3_backends[account]["aws"].get_bucket(self.bucket).keys

    def _restore_objects(self, account: str, region: str) -> None:
        backend = s3_backends[account]["aws"]
        prefix = self.results_prefix.strip("/")
        for below, path in self.archive.files():
            if path.name.endswith(".part"):  # the service was killed while it wrote
                path.unlink(missing_ok=True)
                continue
            key = backend.put_object(self.bucket, f"{prefix}/{below}" if prefix else below, b"")
            key._value_buffer.close()
            key._value_buffer, key._etag = FileBuffer(path), None
            status = path.stat()
            key.contentsize = status.st_size
            key.last_modified = datetime.fromtimestamp(status.st_mtime, UTC).replace(tzinfo=None)
            key.set_metadata({"Content-Type": content_type_of(path)})

    def _restore_log_records(self, account: str, region: str) -> None:
        backend = logs_backends[account][region]
        for job, record in self.archive.lines():
            group = backend.groups.get(record.get("group"))
            if group is None:
                continue
            stream = f"{_RESTORED_STREAM}/{job}"
            if stream not in group.streams:
                group.create_log_stream(stream)
            group.put_log_events(stream, [{"timestamp": record["timestamp"], "message": record["message"]}])

    def _restore_executions(self, account: str, region: str) -> int:
        backend = stepfunctions_parser_backends[account][region]
        machine = backend.describe_state_machine(self.state_machine_arn)
        records = self.archive.jobs()
        for record in records:
            execution = Execution(
                name=record["name"],
                sm_type=machine.sm_type,
                role_arn=machine.roleArn,
                exec_arn=f"{self.state_machine_arn.replace(':stateMachine:', ':execution:')}:{record['name']}",
                account_id=account,
                region_name=region,
                state_machine=machine,
                start_date=datetime.fromisoformat(record["startDate"]),
                cloud_watch_logging_session=None,
                activity_store={},
                input_data=record["input"],
            )
            execution.exec_status = ExecutionStatus(record["status"])
            execution.stop_date = datetime.fromisoformat(record["stopDate"]) if record.get("stopDate") else None
            execution.output, execution.error, execution.cause = (
                record.get("output"),
                record.get("error"),
                record.get("cause"),
            )
            machine.executions.append(execution)
        return len(records)
