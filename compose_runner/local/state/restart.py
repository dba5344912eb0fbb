"""Between moto's memory and the state directory: what is kept as files, and what moto gets back when it is asked for.

Running jobs and the :data:`MEMORY_JOBS` that were asked for last are in moto's memory; every other job is read from its
files again when a request names it, whether it ended a moment ago or before the service was started. So memory does not
grow with the number of jobs.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from moto.s3.models import FakeKey, s3_backends
from moto.stepfunctions.parser.api import ExecutionStatus
from moto.stepfunctions.parser.backend.execution import Execution
from moto.stepfunctions.parser.models import stepfunctions_parser_backends

from compose_runner.local.aws.moto_patches.s3 import put_object_in_memory
from compose_runner.local.state.faults import StorageError
from compose_runner.local.state.objects import FileBuffer, guess_content_type
from compose_runner.local.state.records import RUNNING
from compose_runner.service.log_events import ARTIFACT_PREFIX
from compose_runner.service.storage import is_artifact_prefix

if TYPE_CHECKING:
    from pathlib import Path

    from compose_runner.local.state.directory import StateDirectory
    from compose_runner.local.state.records import LogLine

# ended jobs whose objects are in memory
MEMORY_JOBS = 32
# folders beside the jobs' own, in which each job has a file or a folder of its name
_BESIDE = (".progress", ".checkpoints")
# a file may carry any time, also one that no calendar has
_LAST_SECOND = datetime(9999, 1, 1, tzinfo=UTC).timestamp()


class StatePersister:
    """Keeps one bucket and one state machine in a state directory.

    Parameters
    ----------
    state_directory : StateDirectory
        Where.
    bucket, results_prefix : str
        Where jobs leave their objects.
    state_machine_arn : str
        Whose executions are jobs.
    """

    def __init__(
        self, state_directory: StateDirectory, bucket: str, results_prefix: str, state_machine_arn: str
    ) -> None:
        self.state_directory = state_directory
        self.bucket = bucket
        self.results_prefix = results_prefix.strip("/")
        self.state_machine_arn = state_machine_arn
        self._account = self._region = ""
        self._lock = threading.RLock()
        self._running: set[str] = set()
        self._in_memory: OrderedDict[str, None] = OrderedDict()

    def open(self, account: str, region: str) -> int:
        """Look at what the state directory holds; returns the number of jobs.

        Parameters
        ----------
        account, region : str
            Where bucket and state machine were made.
        """
        self._account, self._region = account, region
        self.state_directory.check()
        return self.state_directory.jobs.fail_running()

    # -- objects -------------------------------------------------------------------------------------------------

    def keep_object(self, key: Any) -> None:
        """Move an object's content from memory into its file.

        Parameters
        ----------
        key : moto.s3.models.FakeKey
            The newest version; earlier ones are dropped.

        Raises
        ------
        StorageError
            The file cannot be written; the object is then as it was before.
        """
        path = self._find_file(key.bucket_name, key.name)
        if path is None:
            return
        keys = self._keys()
        try:
            buffer = self.state_directory.objects.write(path, key.value)
        except StorageError:
            self._drop(key.name)
            if path.is_file():
                self._remember(key.name, path)
            raise
        tag = key.etag.strip('"')
        key._value_buffer.close()
        key._value_buffer, key._etag, key.multipart = buffer, tag, None
        keys.setlist(key.name, [key])

    def forget_object(self, bucket: str, name: str) -> None:
        """Remove an object's file, and the mark that a bucket with versions leaves in its place."""
        path = self._find_file(bucket, name)
        if path is not None:
            self.state_directory.objects.forget(path)
            self._drop(name)

    def want_objects(self, bucket: str, name: str | None) -> None:
        """Have a job's objects in memory before they are listed, read or replaced.

        Parameters
        ----------
        bucket : str
            Theirs.
        name : str or None
            Key of one of them, or what their keys begin with; a list that is of no single job has those in memory.
        """
        job = self._find_job(name or "") if bucket == self.bucket else None
        if job is not None:
            self._want(job)

    def _find_file(self, bucket: str, name: str) -> Path | None:
        return self.state_directory.objects.find_path(name, self.results_prefix) if bucket == self.bucket else None

    def _find_job(self, name: str) -> str | None:
        prefix = f"{self.results_prefix}/" if self.results_prefix else ""
        if not name.startswith(prefix):
            return None
        parts = name.removeprefix(prefix).split("/")
        if parts[0] in _BESIDE:
            job = parts[1].removesuffix(".json") if len(parts) > 1 else ""
        else:  # the name alone could be the beginning of several
            job = parts[0] if len(parts) > 1 else ""
        return job if is_artifact_prefix(job) else None

    def _want(self, job: str) -> None:
        with self._lock:
            if job not in self._in_memory:
                for prefix in (job, *(f"{folder}/{job}{end}" for folder in _BESIDE for end in ("", ".json"))):
                    for below, path in self.state_directory.objects.files(prefix):
                        name = f"{self.results_prefix}/{below}" if self.results_prefix else below
                        if name not in self._keys():
                            self._remember(name, path)
            self._in_memory[job] = None
            self._in_memory.move_to_end(job)
            self._drop_objects()

    def forget_job(self, job: str) -> None:
        """Drop the objects of a job that has ended from memory; their files are not touched."""
        with self._lock:
            self._in_memory.pop(job, None)
            for name in list(dict.keys(self._keys())):
                if self._find_job(name) == job:
                    self._drop(name)

    def _drop_objects(self) -> None:
        ended = [job for job in self._in_memory if job not in self._running]
        for job in ended[: max(0, len(ended) - MEMORY_JOBS)]:
            del self._in_memory[job]
            for name in list(dict.keys(self._keys())):
                if self._find_job(name) == job:
                    self._drop(name)

    def _drop(self, name: str) -> None:
        for version in dict.pop(self._keys(), name, ()):
            if isinstance(version, FakeKey):  # and not the mark of one that was deleted
                version.dispose()

    def _remember(self, name: str, path: Path) -> None:
        backend = s3_backends[self._account]["aws"]
        key = put_object_in_memory(backend, self.bucket, name, b"")
        key._value_buffer.close()
        key._value_buffer, key._etag = FileBuffer(path, self.state_directory.objects), None
        status = path.lstat()
        key.contentsize = status.st_size
        seconds = min(max(status.st_mtime, 0.0), _LAST_SECOND)
        key.last_modified = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
        key.set_metadata({"Content-Type": guess_content_type(path)})
        self._keys().setlist(name, [key])

    def _keys(self) -> Any:
        return s3_backends[self._account]["aws"].get_bucket(self.bucket).keys

    # -- executions ----------------------------------------------------------------------------------------------

    def keep_execution(self, execution: Any) -> None:
        """Record how an execution is."""
        if execution.state_machine_arn != self.state_machine_arn:
            return
        # a record of a job that runs must not be written over the one of its end
        with self._lock:
            output = execution.output
            record = {
                "name": execution.name,
                "status": execution.status,
                "startDate": execution.start_date.isoformat(),
                "stopDate": execution.stop_date.isoformat() if execution.stop_date else None,
                "input": execution.execution_input,
                "output": None if output is None else json.dumps(output),
                "error": execution.error,
                "cause": execution.cause,
            }
            if execution.status == RUNNING:
                self._running.add(execution.name)
            else:
                self._running.discard(execution.name)
                self._drop_uploads(execution.name)
                self._want(execution.name)
            # without its record a job goes on, but a restarted service will not know it
            with suppress(StorageError):
                self.state_directory.jobs.write(record)

    def _drop_uploads(self, job: str) -> None:
        """Forget the parts of uploads that a task which was killed did not complete."""
        parts = s3_backends[self._account]["aws"].get_bucket(self.bucket).multiparts
        for identity, upload in list(parts.items()):
            if self._find_job(upload.key_name) == job:
                parts.pop(identity, None)

    def knows_execution(self, state_machine_arn: str, name: str) -> bool:
        """Whether a job of this name ran before."""
        return state_machine_arn == self.state_machine_arn and self.state_directory.jobs.knows(name)

    def earlier_execution(self, execution_arn: str) -> Any:
        """Read an execution that is not in memory any more; None if there is none."""
        executions = self.state_machine_arn.replace(":stateMachine:", ":execution:", 1)
        if not execution_arn.startswith(f"{executions}:"):
            return None
        record = self.state_directory.jobs.read(execution_arn.removeprefix(f"{executions}:"))
        if record is None or record.status == RUNNING:
            return None
        machine = stepfunctions_parser_backends[self._account][self._region].describe_state_machine(
            self.state_machine_arn
        )
        execution = Execution(
            name=record.name,
            sm_type=machine.sm_type,
            role_arn=machine.roleArn,
            exec_arn=execution_arn,
            account_id=self._account,
            region_name=self._region,
            state_machine=machine,
            start_date=record.startDate,
            cloud_watch_logging_session=None,
            activity_store={},
            input_data=record.input,
        )
        execution.exec_status = ExecutionStatus(record.status)
        execution.stop_date, execution.error, execution.cause = record.stopDate, record.error, record.cause
        execution.output = json.loads(record.output) if record.output is not None else None
        return execution

    # -- log records ---------------------------------------------------------------------------------------------

    def keep_line(self, group: str, timestamp: int, line: str) -> bool:
        """Keep a log record that names its job; nobody can ask for others."""
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            return True
        if isinstance(record, dict) and isinstance(record.get(ARTIFACT_PREFIX), str):
            self.state_directory.logs.add(record[ARTIFACT_PREFIX], group, timestamp, line)
        return True

    def records(self, group: str, field: str, value: str) -> list[LogLine]:
        """A job's records in a log group, in the order in which they came; records are kept by job alone."""
        if field != ARTIFACT_PREFIX or not is_artifact_prefix(value):
            return []
        return [record for record in self.state_directory.logs.read(value) if record.group == group]
