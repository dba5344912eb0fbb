"""Tell in a job's progress that its task waits for its turn, and how many tasks are before it."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from compose_runner.progress import ProgressRecord, Stage
from compose_runner.service.storage import JobPaths

if TYPE_CHECKING:
    from collections.abc import Callable

    from compose_runner.local.aws.containers import ContainerRun

log = logging.getLogger(__name__)


class WaitingRecords:
    """Keeps the progress objects of jobs whose task waits, from a thread of its own: who launches must not wait for S3.

    Parameters
    ----------
    client : callable
        Gives a client of a service by its name.
    """

    def __init__(self, client: Callable[[str], Any]) -> None:
        self._client = client
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="waiting")

    def tell(self, run: ContainerRun, before: int | None) -> None:
        """Note how many tasks are before one; None for a task that will never start."""
        variables = run.request.environment
        bucket, name = variables.get("RESULTS_BUCKET"), variables.get("ARTIFACT_PREFIX")
        # a task that computes a share of the permutations has a record of its own
        if not (bucket and name) or variables.get("SHARD"):
            return
        key = JobPaths(variables.get("RESULTS_PREFIX", ""), name).progress
        self._writer.submit(self._write, run, bucket, key, before)

    def close(self) -> None:
        """Write nothing more."""
        self._writer.shutdown(cancel_futures=True)

    def _write(self, run: ContainerRun, bucket: str, key: str, before: int | None) -> None:
        try:
            if before is None:
                self._client("s3").delete_object(Bucket=bucket, Key=key)
            elif not run.started:  # from then on the task tells its progress itself
                record = ProgressRecord(stage=Stage.WAITING, jobs_before=before).model_dump_json(exclude_none=True)
                self._client("s3").put_object(Bucket=bucket, Key=key, Body=record.encode())
        except (BotoCoreError, ClientError) as error:
            log.warning("it could not be noted that a job waits: %s", error)
