"""What the task keeps outside itself: the job's objects in S3, and its keys in Parameter Store."""

from __future__ import annotations

import json
import mimetypes
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from compose_runner.analysis.publish_record import RECORD_FILENAME
from compose_runner.analysis.result_directory import ResultDirectory
from compose_runner.storage_keys import KEY_NAMES, METADATA_FILENAME, key_parameter

if TYPE_CHECKING:
    from pathlib import Path

    from task.settings import TaskSettings

AWS_ERRORS = (BotoCoreError, ClientError)
# another task would be refused in the same way
_NEVER_PASSES = frozenset({"403", "AccessDenied", "AccessDeniedException", "NoSuchBucket", "InvalidBucketName"})
MISSING = frozenset({"404", "NoSuchKey"})
_PARALLEL_UPLOADS = 4
CONFIG = Config(connect_timeout=10, read_timeout=60, retries={"total_max_attempts": 6, "mode": "standard"})


def may_pass(error: BaseException) -> bool:
    """Whether another task could do what AWS refused or did not answer."""
    return not (isinstance(error, ClientError) and error.response.get("Error", {}).get("Code") in _NEVER_PASSES)


class JobObjects:
    """One job's objects in the bucket of results.

    Parameters
    ----------
    settings : TaskSettings
        Which job, and which bucket.
    """

    def __init__(self, settings: TaskSettings) -> None:
        self._bucket = settings.results_bucket
        self._keys = settings.keys
        self._shard = settings.shard
        self._s3 = boto3.client("s3", config=CONFIG)

    def upload(self, result_dir: Path) -> list[str]:
        """Upload every finished artifact; ``metadata.json`` is written by itself, after them.

        Returns
        -------
        list of str
            Names of the artifacts.
        """
        names = [str(artifact["filename"]) for artifact in ResultDirectory(result_dir).artifacts()]
        with ThreadPoolExecutor(_PARALLEL_UPLOADS, thread_name_prefix="upload") as uploads:
            for _ in uploads.map(lambda name: self._upload(result_dir / name, self._keys.artifact(name)), names):
                pass
        return names

    def write_metadata(self, metadata: dict[str, Any]) -> None:
        """Write ``metadata.json``, which says that everything before it is there."""
        body = json.dumps(metadata, indent=2, default=str).encode()
        self._s3.put_object(Bucket=self._bucket, Key=self._keys.metadata, Body=body, ContentType="application/json")

    def write_progress(self, record: str) -> None:
        """Replace the progress object of this task; ``record`` is a JSON document."""
        key = self._keys.progress if self._shard is None else self._keys.shard_progress(self._shard)
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=record.encode(), ContentType="application/json")

    def forget_shard_progress(self, shards: int) -> None:
        """Delete what tasks told that computed earlier permutations of the job."""
        for shard in range(shards):
            self._s3.delete_object(Bucket=self._bucket, Key=self._keys.shard_progress(shard))

    def keep_publish_record(self, result_dir: Path) -> None:
        """Keep how far the upload to Compose is, before and after each step, so that no task makes a second result."""
        record = result_dir / RECORD_FILENAME
        if record.exists():
            self._upload(record, self._publish_record)

    def restore(self, result_dir: Path) -> bool:
        """Bring back what an earlier task of the job left.

        Returns
        -------
        bool
            Whether all artifacts are there, so that only the upload to Compose is left to do.
        """
        result_dir.mkdir(parents=True, exist_ok=True)
        if not self._download(self._publish_record, result_dir / RECORD_FILENAME):
            return False
        if not self._download(self._keys.metadata, result_dir / METADATA_FILENAME):
            return False
        metadata = ResultDirectory(result_dir).read_metadata() or {}
        names = [str(artifact["filename"]) for artifact in metadata.get("artifacts") or []]
        # artifacts of a task that was cut off carry no account of what made them
        complete = bool(names) and "seconds" in metadata
        if complete:
            complete = all(self._download(self._keys.artifact(name), result_dir / name) for name in names)
        if not complete:
            (result_dir / METADATA_FILENAME).unlink(missing_ok=True)
        return complete

    def forget_progress(self) -> None:
        """Delete what is of use only while the job runs."""
        for key in (self._keys.progress, self._publish_record):
            self._s3.delete_object(Bucket=self._bucket, Key=key)

    @property
    def _publish_record(self) -> str:
        return f"{self._keys.checkpoints}/{RECORD_FILENAME}"

    def _upload(self, path: Path, key: str) -> None:
        self._s3.upload_file(str(path), self._bucket, key, ExtraArgs={"ContentType": content_type(path.name)})

    def _download(self, key: str, path: Path) -> bool:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._s3.download_file(self._bucket, key, str(path))
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in MISSING:
                return False
            raise
        return True


def content_type(filename: str) -> str:
    """Content type of an artifact: with it the report opens in a browser instead of being downloaded."""
    guessed, encoding = mimetypes.guess_type(filename)
    if encoding == "gzip":
        # a compressed map is to arrive compressed: no Content-Encoding
        return "application/gzip"
    if guessed is None:
        return "application/octet-stream"
    return f"{guessed}; charset=utf-8" if guessed.startswith("text/") else guessed


class JobKeyParameters:
    """The keys that a client sent for one job.

    Parameters
    ----------
    settings : TaskSettings
        Which job, and where its keys are.
    """

    def __init__(self, settings: TaskSettings) -> None:
        self._names = {
            key_parameter(settings.key_parameters_path, settings.artifact_prefix, name): name for name in KEY_NAMES
        }
        self._ssm = boto3.client("ssm", config=CONFIG)

    def read(self) -> dict[str, str]:
        """Read the keys; those that nobody sent are not in the answer."""
        found = self._ssm.get_parameters(Names=list(self._names), WithDecryption=True)["Parameters"]
        return {self._names[parameter["Name"]]: parameter["Value"] for parameter in found}

    def forget(self) -> None:
        """Delete the keys: the job is over."""
        self._ssm.delete_parameters(Names=list(self._names))
