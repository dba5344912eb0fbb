"""Where one job's objects are kept: artifacts, progress and checkpoints in S3, keys in Parameter Store.

Progress and checkpoints live beside, not below, a job's artifacts, so that a listing of artifacts shows nothing else.
Their folders begin with a dot, which no ``artifact_prefix`` can hold, so they can never be taken for a job.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

DEFAULT_RESULTS_PREFIX = "compose-runner/results"
DEFAULT_KEY_PARAMETERS = "/compose-runner/jobs"
METADATA_FILENAME = "metadata.json"
# what a client may send along for one job, and nothing but the job may read
KEY_NAMES = ("nsc_key", "nv_key")

# the rules for the name of a Step Functions execution, which also make a safe S3 key and log filter
ARTIFACT_PREFIX_PATTERN = r"^[A-Za-z0-9_-]{1,80}$"
ARTIFACT_PREFIX_RULE = "it must be 1 to 80 letters, digits, hyphens and underscores"
_ARTIFACT_PREFIX = re.compile(ARTIFACT_PREFIX_PATTERN.removesuffix("$") + r"\Z")


def is_artifact_prefix(text: object) -> bool:
    """Whether ``text`` can name a job."""
    return isinstance(text, str) and _ARTIFACT_PREFIX.match(text) is not None


@dataclass(frozen=True, slots=True)
class JobPaths:
    """S3 keys of one job.

    Parameters
    ----------
    results_prefix : str
        Prefix of all jobs in the bucket, with or without slashes around it; may be empty.
    artifact_prefix : str
        The job's name.
    """

    results_prefix: str
    artifact_prefix: str

    def _below(self, *parts: str) -> str:
        return "/".join(part for part in (self.results_prefix.strip("/"), *parts) if part)

    @property
    def folder(self) -> str:
        """Prefix of the job's artifacts, without a slash at the end."""
        return self._below(self.artifact_prefix)

    def artifact(self, filename: str) -> str:
        """Key of one artifact; ``filename`` may hold folders."""
        return f"{self.folder}/{filename}"

    @property
    def metadata(self) -> str:
        """Key of ``metadata.json``."""
        return self.artifact(METADATA_FILENAME)

    @property
    def progress(self) -> str:
        """Key of the record that the running task keeps up to date."""
        return self._below(".progress", f"{self.artifact_prefix}.json")

    def shard_progress(self, shard: int) -> str:
        """Key of the record of one of the tasks that share the job's permutations; the first is 0."""
        return self._below(".progress", self.artifact_prefix, f"{shard}.json")

    @property
    def checkpoints(self) -> str:
        """Prefix of what an interrupted task goes on from, without a slash at the end."""
        return self._below(".checkpoints", self.artifact_prefix)


def key_parameter(parameters_path: str, artifact_prefix: str, key_name: str) -> str:
    """Name of the SecureString that holds one key of a job, one of :data:`KEY_NAMES`."""
    return f"{parameters_path.rstrip('/')}/{artifact_prefix}/{key_name}"
