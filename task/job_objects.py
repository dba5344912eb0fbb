"""What the task keeps outside itself: the job's objects in S3, and its keys in Parameter Store."""

from __future__ import annotations

import json
import mimetypes
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from compose_runner.analysis.publish.record import RECORD_FILENAME
from compose_runner.analysis.write.result_directory import ResultDirectory
from compose_runner.compose.json_documents import strict_json
from compose_runner.service.storage import KEY_NAMES, METADATA_FILENAME, key_parameter
from task.aws_errors import MISSING, read_error_code, translating_aws_errors

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from task.settings import TaskSettings

_PARALLEL_UPLOADS = 4
CONFIG = Config(connect_timeout=10, read_timeout=60, retries={"total_max_attempts": 6, "mode": "standard"})


class JobObjects:
    """One job's objects in the bucket of results.

    What S3 refuses is raised as an error of the runner, whose exit code tells whether another task may succeed.

    Parameters
    ----------
    settings : TaskSettings
        Which job, and which bucket.
    """

    def __init__(self, settings: TaskSettings) -> None:
        self._bucket = settings.results_bucket
        self._paths = settings.paths
        self._shard = settings.shard
        self._s3 = boto3.client("s3", config=CONFIG)

    def upload(self, result_dir: Path) -> list[str]:
        """Upload every finished artifact; ``metadata.json`` is written by itself, after them.

        One that is refused keeps no other from being uploaded.

        Returns
        -------
        list of str
            Names of the artifacts.
        """
        names = [str(artifact["filename"]) for artifact in ResultDirectory(result_dir).artifacts()]
        with ThreadPoolExecutor(_PARALLEL_UPLOADS, thread_name_prefix="upload") as uploads:
            for _ in uploads.map(lambda name: self._upload(result_dir / name, self._paths.artifact(name)), names):
                pass
        return names

    def write_metadata(self, metadata: dict[str, Any]) -> None:
        """Write ``metadata.json``, which says that everything before it is there."""
        self._put(self._paths.metadata, strict_json(metadata, indent=2, default=str))

    def read_metadata(self) -> dict[str, Any]:
        """Read ``metadata.json`` as an earlier task left it; empty where there is none."""
        with self._translating_errors(self._paths.metadata):
            try:
                content = self._s3.get_object(Bucket=self._bucket, Key=self._paths.metadata)["Body"].read()
            except ClientError as error:
                if read_error_code(error) not in MISSING:
                    raise
                return {}
        metadata: dict[str, Any] = json.loads(content)
        return metadata

    def write_progress(self, record: str) -> None:
        """Replace the progress object of this task; ``record`` is a JSON document."""
        key = self._paths.progress if self._shard is None else self._paths.shard_progress(self._shard)
        self._put(key, record)

    def forget_shard_progress(self, shards: int) -> None:
        """Delete what tasks reported that computed earlier permutations of the job."""
        for shard in range(shards):
            self._delete(self._paths.shard_progress(shard))

    def keep_publish_record(self, result_dir: Path) -> None:
        """Keep how far the upload to Compose is, before and after each step, so that no task makes a second result."""
        record = result_dir / RECORD_FILENAME
        if record.exists():
            self._upload(record, self._publish_record)

    def restore(self, result_dir: Path, *, to_publish: bool) -> bool:
        """Bring back what an earlier task of the job left.

        Parameters
        ----------
        result_dir : Path
            Where to.
        to_publish : bool
            Whether the artifacts will be uploaded to Compose, which needs the record of that upload.

        Returns
        -------
        bool
            Whether all artifacts are there, so that nothing is left to compute.
        """
        with ResultDirectory(result_dir).writing() as folder:
            if not self._download(self._publish_record, folder / RECORD_FILENAME) and to_publish:
                return False
            complete = self._download_artifacts(folder)
            if not complete:
                for path in folder.iterdir():
                    if path.name != RECORD_FILENAME:
                        shutil.rmtree(path) if path.is_dir() else path.unlink()
        return complete

    def _download_artifacts(self, folder: Path) -> bool:
        """Bring back an earlier task's artifacts; whether they are all there, with the account of what made them."""
        if not self._download(self._paths.metadata, folder / METADATA_FILENAME):
            return False
        metadata = json.loads((folder / METADATA_FILENAME).read_bytes())
        names = [str(artifact["filename"]) for artifact in metadata.get("artifacts") or []]
        # artifacts of a task that was cut off carry no account of what made them
        if not (names and "seconds" in metadata):
            return False
        return all(self._download(self._paths.artifact(name), folder / name) for name in names)

    def forget_progress(self) -> None:
        """Delete what is of use only while the job runs."""
        for key in (self._paths.progress, self._publish_record):
            self._delete(key)

    @property
    def _publish_record(self) -> str:
        return f"{self._paths.checkpoints}/{RECORD_FILENAME}"

    def _upload(self, path: Path, key: str) -> None:
        with self._translating_errors(key):
            self._s3.upload_file(str(path), self._bucket, key, ExtraArgs={"ContentType": content_type(path.name)})

    def _put(self, key: str, document: str) -> None:
        with self._translating_errors(key):
            self._s3.put_object(Bucket=self._bucket, Key=key, Body=document.encode(), ContentType="application/json")

    def _delete(self, key: str) -> None:
        with self._translating_errors(key):
            self._s3.delete_object(Bucket=self._bucket, Key=key)

    def _download(self, key: str, path: Path) -> bool:
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._translating_errors(key):
            try:
                self._s3.download_file(self._bucket, key, str(path))
            except ClientError as error:
                if read_error_code(error) not in MISSING:
                    raise
                return False
        return True

    def _translating_errors(self, key: str) -> AbstractContextManager[None]:
        return translating_aws_errors("The job's objects cannot be reached", f"s3://{self._bucket}/{key}")


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
        self._address = f"Parameter Store, {settings.key_parameters_path}"
        self._ssm = boto3.client("ssm", config=CONFIG)

    def read(self) -> dict[str, str]:
        """Read the keys; those that nobody sent are not in the answer."""
        with translating_aws_errors("The job's keys cannot be read", self._address):
            found = self._ssm.get_parameters(Names=list(self._names), WithDecryption=True)["Parameters"]
        return {self._names[parameter["Name"]]: parameter["Value"] for parameter in found}

    def forget(self) -> None:
        """Delete the keys: the job is over."""
        with translating_aws_errors("The job's keys cannot be deleted", self._address):
            self._ssm.delete_parameters(Names=list(self._names))
