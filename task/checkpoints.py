"""Checkpoints of a job in S3, where the task that goes on with it finds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import ClientError

from task.aws_errors import MISSING, read_error_code, translating_aws_errors
from task.job_objects import CONFIG

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from task.settings import TaskSettings


class S3Checkpoints:
    """A :class:`compose_runner.analysis.compute.checkpoints.CheckpointBackend` below a job's prefix for checkpoints.

    What S3 refuses is raised as an error of the runner: it comes up in the middle of the analysis, where any other
    error would count as the analysis's own.

    Parameters
    ----------
    settings : TaskSettings
        Which job, and which bucket.
    """

    def __init__(self, settings: TaskSettings) -> None:
        self._bucket = settings.results_bucket
        self._prefix = settings.paths.checkpoints
        self._s3 = boto3.client("s3", config=CONFIG)

    def read(self, name: str) -> bytes | None:
        """Return a checkpoint's content, or None when there is none."""
        with self._translating_errors(name):
            try:
                content: bytes = self._s3.get_object(Bucket=self._bucket, Key=self._key(name))["Body"].read()
            except ClientError as error:
                if read_error_code(error) not in MISSING:
                    raise
                return None
        return content

    def write(self, name: str, content: bytes) -> None:
        """Replace a checkpoint; S3 shows either the old object or the new one."""
        with self._translating_errors(name):
            self._s3.put_object(Bucket=self._bucket, Key=self._key(name), Body=content)

    def clear(self) -> None:
        """Remove all of the job's checkpoints."""
        pages = self._s3.get_paginator("list_objects_v2")
        with self._translating_errors(""):
            for page in pages.paginate(Bucket=self._bucket, Prefix=f"{self._prefix}/"):
                for item in page.get("Contents", ()):
                    self._s3.delete_object(Bucket=self._bucket, Key=item["Key"])

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}"

    def _translating_errors(self, name: str) -> AbstractContextManager[None]:
        return translating_aws_errors(
            "The job's checkpoints cannot be reached", f"s3://{self._bucket}/{self._key(name)}"
        )
