"""Checkpoints of a job in S3, where the task that goes on with it finds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3

from compose_runner.errors import AnalysisError, ComposeRunnerError, ServiceUnavailableError
from task.job_objects import AWS_ERRORS, CONFIG, MISSING, may_pass

if TYPE_CHECKING:
    from task.settings import TaskSettings


class S3Checkpoints:
    """A :class:`compose_runner.analysis.checkpoints.CheckpointPlace` below a job's prefix for checkpoints.

    What S3 refuses is raised as an error of the runner: it comes up in the middle of the analysis, where any other
    error would count as the analysis's own.

    Parameters
    ----------
    settings : TaskSettings
        Which job, and which bucket.
    """

    def __init__(self, settings: TaskSettings) -> None:
        self._bucket = settings.results_bucket
        self._prefix = settings.keys.checkpoints
        self._s3 = boto3.client("s3", config=CONFIG)

    def read(self, name: str) -> bytes | None:
        """Return a checkpoint's content, or None when there is none."""
        try:
            content: bytes = self._s3.get_object(Bucket=self._bucket, Key=self._key(name))["Body"].read()
        except AWS_ERRORS as error:
            if getattr(error, "response", {}).get("Error", {}).get("Code") in MISSING:
                return None
            raise self._refused(name, error) from error
        return content

    def write(self, name: str, content: bytes) -> None:
        """Replace a checkpoint; S3 shows either the old object or the new one."""
        try:
            self._s3.put_object(Bucket=self._bucket, Key=self._key(name), Body=content)
        except AWS_ERRORS as error:
            raise self._refused(name, error) from error

    def clear(self) -> None:
        """Remove all of the job's checkpoints."""
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=f"{self._prefix}/"):
            for item in page.get("Contents", ()):
                self._s3.delete_object(Bucket=self._bucket, Key=item["Key"])

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}"

    def _refused(self, name: str, error: BaseException) -> ComposeRunnerError:
        address = f"s3://{self._bucket}/{self._key(name)}"
        if may_pass(error):
            return ServiceUnavailableError("a checkpoint", address, str(error))
        return AnalysisError(f"The job's checkpoints cannot be reached: {error} ({address})")
