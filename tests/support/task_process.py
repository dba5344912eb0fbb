"""One task as a process, with an AWS around it, for tests that look at what it leaves behind."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compose_runner.local.aws.emulator import EmbeddedAws
from compose_runner.local.aws.environment import process_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[2]
BUCKET = "results-bucket"
PREFIX = "compose-runner/results"
KEYS_PATH = "/test/jobs"
KEY = "nsc-marked-key-1f3a"


@contextmanager
def storage() -> Iterator[EmbeddedAws]:
    """Run an AWS with the bucket of results."""
    with EmbeddedAws() as aws:
        aws.client("s3").create_bucket(Bucket=BUCKET)
        yield aws


@dataclass
class Ended:
    """How a task ended."""

    exit_code: int
    text: str
    records: list[dict[str, Any]] = field(default_factory=list)

    @property
    def messages(self) -> list[str]:
        return [record["message"] for record in self.records]


@dataclass
class Surroundings:
    """What is around a task."""

    aws: EmbeddedAws
    job: str
    program: str

    def start(self, behaviour: str, **changes: str) -> subprocess.Popen[str]:
        """Start the task's process."""
        environment = {
            **process_environment(),
            **self.aws.variables,
            "PYTHONPATH": str(REPOSITORY),
            "BEHAVIOUR": behaviour,
            "ARTIFACT_PREFIX": self.job,
            "META_ANALYSIS_ID": "ataCTPAt2LMw",
            "ENVIRONMENT": "production",
            "NO_UPLOAD": "false",
            "N_CORES": "",
            "RESULTS_BUCKET": BUCKET,
            "RESULTS_PREFIX": PREFIX,
            "KEY_PARAMETERS_PATH": KEYS_PATH,
        }
        return subprocess.Popen(
            [sys.executable, "-c", self.program],
            env=environment | changes,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, behaviour: str = "succeed", **changes: str) -> Ended:
        """Run a task to its end."""
        return self.wait_for_end(self.start(behaviour, **changes))

    def wait_for_end(self, process: subprocess.Popen[str], before: str = "") -> Ended:
        """Wait for the end of a task and read its log, of which each line must be a JSON object."""
        text = before + process.communicate(timeout=60)[0]
        return Ended(process.returncode, text, [json.loads(line) for line in text.splitlines() if line.strip()])

    def objects(self) -> dict[str, str]:
        """Artifacts of the job with their content types."""
        s3 = self.aws.client("s3")
        folder = f"{PREFIX}/{self.job}/"
        keys = [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET, Prefix=folder).get("Contents", [])]
        return {key.removeprefix(folder): s3.head_object(Bucket=BUCKET, Key=key)["ContentType"] for key in sorted(keys)}

    def metadata(self) -> dict[str, Any]:
        """Read metadata.json."""
        body = self.aws.client("s3").get_object(Bucket=BUCKET, Key=f"{PREFIX}/{self.job}/metadata.json")["Body"]
        metadata: dict[str, Any] = json.loads(body.read())
        return metadata

    def send_key(self) -> None:
        """Leave a key for the task, as submit does."""
        self.aws.client("ssm").put_parameter(
            Name=f"{KEYS_PATH}/{self.job}/nsc_key", Value=KEY, Type="SecureString", Overwrite=True
        )

    def keys_left(self) -> int:
        """Count the keys that still wait."""
        found = self.aws.client("ssm").get_parameters_by_path(Path=f"{KEYS_PATH}/{self.job}")["Parameters"]
        return len(found)
