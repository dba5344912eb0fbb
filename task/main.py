"""What Fargate runs: one job, from its environment to its artifacts, and an exit code that tells whether to try again.

Artifacts go to S3 first and to Compose second: nothing that was computed is lost because Compose refused it. A task
that is asked to stop uploads what it has, says so, and exits with 75.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import tempfile
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compose_runner.analysis.compute.monte_carlo import MonteCarloOptions
from compose_runner.analysis.interpreter import own_process
from compose_runner.analysis.job import publish_again, run_job
from compose_runner.analysis.shard import run_shard
from compose_runner.analysis.write.result_directory import ResultDirectory
from compose_runner.errors import (
    EXIT_CANNOT_RUN,
    EXIT_DONE,
    EXIT_TRY_AGAIN,
    MOST_SHARDS,
    AnalysisError,
    ComposeRunnerError,
    InterruptedRunError,
    ShardingRequested,
)
from compose_runner.progress import LoggedProgress, Progress
from compose_runner.service import log_events
from compose_runner.service.observability import logger
from compose_runner.signals import SignalWatch, end_process
from task.aws_errors import translating_aws_errors
from task.checkpoints import S3Checkpoints
from task.job_objects import JobKeyParameters, JobObjects
from task.records import ProgressObject, begin_records
from task.settings import TaskSettings, TaskSettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from task.records import RedactedOutput

_STOPPED = "The task was asked to stop before the analysis was done; what it had was kept."
# a job has two Monte Carlo runs at most, and one of them may lose what its shards computed
_MAX_ROUNDS = 3
_DISK_FULL = (
    "The analysis needs more disk than the task has; what was finished before was kept. The operator of the service "
    "can give tasks more (TaskEphemeralStorage)."
)
_MEMORY_FULL = (
    "The analysis needs more memory than the task has. Fewer iterations (n_iters), fewer studies or a smaller kernel "
    "need less."
)
_TOO_LATE = "The analysis did not finish in the time that this service allows. Fewer iterations need less."


class Task:
    """One attempt at one job.

    Parameters
    ----------
    settings : TaskSettings
        The job.
    result_dir : Path
        Where the analysis writes.
    output : RedactedOutput
        Knows which texts must not leave the process.
    """

    def __init__(self, settings: TaskSettings, result_dir: Path, output: RedactedOutput) -> None:
        self.settings = settings
        self.result_dir = result_dir
        self._output = output
        self._objects = JobObjects(settings)
        self._parameters = JobKeyParameters(settings)
        self._checkpoints = S3Checkpoints(settings)
        # held by the first of the analysis and a stop from outside, so that only one of them ends the task
        self._ending = threading.Lock()
        # until this attempt has something of its own, what an earlier one left in S3 is the job's result
        self._earlier_stands = settings.attempt > 1

    def run(self) -> int:
        """Run the job to its end and give the exit code."""
        settings = self.settings
        logger.info(
            log_events.START,
            extra={
                "meta_analysis_id": settings.meta_analysis_id,
                "environment": settings.environment,
                "no_upload": not settings.upload,
                "attempt": settings.attempt,
                "task_size": settings.task_size,
                "shards": settings.shards,
                "compose_runner_version": settings.version,
                **({} if settings.shard is None else {"shard": settings.shard}),
            },
        )
        progress = ProgressObject(self._objects.write_progress, also=LoggedProgress())
        try:
            end = self._run(Progress(progress))
        except BaseException as error:
            progress.close(last=isinstance(error, ShardingRequested))
            self._ending.acquire()
            return self._fail(error)
        progress.close(last=settings.shard is not None)
        self._ending.acquire()
        return end()

    def stop(self, error: ComposeRunnerError) -> None:
        """End the process from another thread, whatever the analysis is doing."""
        if self._ending.acquire(blocking=False):
            code = self._fail(error)
            self._output.flush()
            end_process(code)

    def _run(self, progress: Progress) -> Callable[[], int]:
        """Do what this task is for, and give what ends it."""
        settings = self.settings
        if settings.shard is not None:
            # the keys are for the task that publishes
            run_shard(
                settings.meta_analysis_id,
                environment=settings.environment,
                result_dir=self.result_dir,
                n_cores=settings.n_cores,
                progress=progress,
                monte_carlo=self._monte_carlo(),
                **self._sent(),
            )
            return self._end_shard
        keys = self._parameters.read()
        self._output.hide(list(keys.values()))
        restored = settings.attempt > 1 and self._objects.restore(self.result_dir, to_publish=settings.upload)
        self._earlier_stands = False
        if restored and not settings.upload:
            return lambda: self._succeed(None)
        run = self._publish if restored else self._compute
        url = run(keys, progress)
        return lambda: self._succeed(url)

    def _monte_carlo(self) -> MonteCarloOptions:
        settings = self.settings
        # what cannot be shared after so many rounds is computed here, however long it takes
        may_shard = settings.shard is None and settings.rounds < _MAX_ROUNDS
        return MonteCarloOptions(
            backend=self._checkpoints,
            continues=settings.attempt > 1 or settings.rounds > 0 or settings.shard is not None,
            n_shards=settings.shards,
            shard=settings.shard,
            most_shards=settings.max_shards if may_shard else 1,
            threshold_seconds=settings.shard_threshold_seconds,
            task_cores=settings.shard_cores,
            limits=settings.limits,
        )

    def _compute(self, keys: dict[str, str], progress: Progress) -> str | None:
        return run_job(
            self.settings.meta_analysis_id,
            environment=self.settings.environment,
            result_dir=self.result_dir,
            nsc_key=keys.get("nsc_key"),
            nv_key=keys.get("nv_key"),
            n_cores=self.settings.n_cores,
            progress=progress,
            upload=self.settings.upload,
            report=self.settings.report,
            after_artifacts=self._keep_artifacts,
            on_publish_change=self._objects.keep_publish_record,
            monte_carlo=self._monte_carlo(),
            **self._sent(),
        ).url

    def _sent(self) -> dict[str, Any]:
        """Say where the inputs are that somebody sent, and that they may name public addresses alone."""
        bundle = self.settings.bundle
        return {} if bundle is None else {"bundle": bundle, "allow_hosts": None}

    def _publish(self, keys: dict[str, str], progress: Progress) -> str | None:
        return publish_again(
            self.result_dir,
            nsc_key=keys.get("nsc_key"),
            progress=progress,
            on_publish_change=self._objects.keep_publish_record,
        )

    def _keep_artifacts(self, result_dir: Path) -> None:
        logger.info(log_events.COMPLETED)
        names = self._objects.upload(result_dir)
        self._objects.write_metadata(self._metadata())
        self._objects.keep_publish_record(result_dir)
        logger.info(
            log_events.ARTIFACTS_UPLOADED,
            extra={
                "bucket": self.settings.results_bucket,
                "prefix": self.settings.results_prefix,
                "artifacts": len(names),
            },
        )

    def _succeed(self, url: str | None) -> int:
        if url is not None:
            logger.info(log_events.PUBLISHED, extra={"result_url": url})
        try:
            self._write_metadata(self._metadata(result_url=url))
        except ComposeRunnerError as error:
            return self._fail(error)
        logger.info(log_events.SUCCESS, extra={"result_url": url})
        self._clean_up(
            self._parameters.forget,
            self._objects.forget_progress,
            lambda: self._objects.forget_shard_progress(self.settings.shards if self.settings.rounds else 0),
            self._checkpoints.clear,
        )
        return EXIT_DONE

    def _end_shard(self) -> int:
        logger.info(log_events.SHARD_COMPLETED, extra={"shard": self.settings.shard, "shards": self.settings.shards})
        return EXIT_DONE

    def _request_shards(self, requested: ShardingRequested) -> int:
        if self.settings.rounds:
            self._clean_up(lambda: self._objects.forget_shard_progress(MOST_SHARDS))
        logger.info(
            log_events.SHARDED, extra={"shards": requested.n_shards, "predicted_seconds": round(requested.seconds)}
        )
        return requested.exit_code

    def _fail(self, error: BaseException) -> int:
        if isinstance(error, ShardingRequested):
            return self._request_shards(error)
        code, text = self._describe_error(error)
        record = log_events.INTERRUPTED if isinstance(error, InterruptedRunError) else log_events.FAILED
        if isinstance(error, ComposeRunnerError):
            logger.error(record, extra={"error": text, "exit_code": code})
        else:
            logger.exception(record, extra={"error": text, "exit_code": code}, exc_info=error)
        if self.settings.shard is not None:
            # the job's artifacts and keys belong to its last task; a shard leaves why the job cannot go on
            if code != EXIT_TRY_AGAIN:
                self._clean_up(lambda: self._write_metadata(self._metadata(error=text)))
            return code
        if self._earlier_stands:
            own = {"attempt": self.settings.attempt, "error": text}
            self._clean_up(
                lambda: self._write_metadata({**self._metadata(), **self._objects.read_metadata(), **own}),
            )
        else:
            self._clean_up(
                lambda: self._objects.upload(self.result_dir),
                lambda: self._objects.keep_publish_record(self.result_dir),
                lambda: self._write_metadata(self._metadata(error=text)),
            )
        if code != EXIT_TRY_AGAIN:
            self._clean_up(self._parameters.forget)
        return code

    def _describe_error(self, error: BaseException) -> tuple[int, str]:
        """Exit code and a sentence for a researcher."""
        text = self._output.redact(str(error))
        if isinstance(error, ComposeRunnerError):
            return error.exit_code, text
        if isinstance(error, MemoryError):
            return EXIT_CANNOT_RUN, _MEMORY_FULL
        if _is_disk_full(error):
            return EXIT_CANNOT_RUN, _DISK_FULL
        return EXIT_CANNOT_RUN, f"The analysis ended with an error that nobody foresaw: {type(error).__name__}: {text}"

    def _metadata(self, **changes: Any) -> dict[str, Any]:
        settings = self.settings
        written = ResultDirectory(self.result_dir).read_metadata() or {"result_url": None}
        # an earlier attempt's, which a later one has put right
        written.pop("error", None)
        return {
            **written,
            "artifact_prefix": settings.artifact_prefix,
            "meta_analysis_id": settings.meta_analysis_id,
            "artifacts_bucket": settings.results_bucket,
            "artifacts_prefix": settings.results_prefix,
            "compose_runner_version": settings.version,
            "metadata_key": settings.paths.metadata,
            "attempt": settings.attempt,
            "task_size": settings.task_size,
            **changes,
        }

    def _write_metadata(self, metadata: dict[str, Any]) -> None:
        self._objects.write_metadata(metadata)
        logger.info(
            log_events.METADATA_WRITTEN,
            extra={"bucket": self.settings.results_bucket, "prefix": self.settings.results_prefix},
        )

    def _clean_up(self, *steps: Callable[[], object]) -> None:
        """Do what can be done; the exit code is decided already."""
        for step in steps:
            try:
                step()
            except Exception as error:
                logger.error("Not everything could be kept", extra={"error": self._output.redact(str(error))})


def _is_disk_full(error: BaseException | None) -> bool:
    """Whether no space was left on a disk, whatever a library made of that."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


def watch_signals(task: Task) -> None:
    """Stop the task when SIGTERM comes, even while the main thread is inside a compiled loop."""
    SignalWatch([signal.SIGTERM], lambda _: task.stop(InterruptedRunError(_STOPPED)))


def watch_clock(task: Task, deadline: datetime) -> None:
    """Stop the task when the job's time is over."""
    seconds = max(0.0, (deadline - datetime.now(UTC)).total_seconds())
    timer = threading.Timer(seconds, task.stop, (AnalysisError(_TOO_LATE),))
    timer.daemon = True
    timer.start()


def main() -> int:
    """Run the job that the environment describes."""
    output = begin_records(os.environ.get("ARTIFACT_PREFIX", ""))
    try:
        settings = TaskSettings.read()
    except TaskSettingsError as error:
        logger.error(log_events.FAILED, extra={"error": str(error), "exit_code": error.exit_code})
        return error.exit_code
    with (
        own_process(),
        tempfile.TemporaryDirectory(prefix="compose-runner-", ignore_cleanup_errors=True) as folder,
    ):
        try:
            with translating_aws_errors("AWS cannot be called", settings.results_bucket):
                task = Task(settings, Path(folder) / settings.artifact_prefix, output)
        except ComposeRunnerError as error:
            logger.error(log_events.FAILED, extra={"error": output.redact(str(error)), "exit_code": error.exit_code})
            return error.exit_code
        watch_signals(task)
        if settings.deadline is not None:
            watch_clock(task, settings.deadline)
        return task.run()


if __name__ == "__main__":
    sys.exit(main())
