"""List a job's artifacts with addresses from which anyone can fetch them for a while."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from compose_runner.service import observability
from compose_runner.service.contract import Artifact, ResultsReply
from compose_runner.service.storage import JobPaths

if TYPE_CHECKING:
    from compose_runner.service.contract import ResultsRequest
    from compose_runner.service.ports import Artifacts


@dataclass(frozen=True, slots=True)
class ResultsService:
    """Lists artifacts.

    Parameters
    ----------
    artifacts : port
        The bucket of results.
    results_bucket, results_prefix : str
        Its name, and the prefix of all jobs.
    """

    artifacts: Artifacts
    results_bucket: str
    results_prefix: str

    def results(self, request: ResultsRequest) -> ResultsReply:
        """List everything below the job's folder; raises :class:`AwsServiceError`.

        ``filename`` is the last part of a key, as clients know it; ``path`` keeps the folders of a report's figures,
        so that a download to disk can be opened like the original.
        """
        observability.follow_job(request.artifact_prefix)
        folder = JobPaths(self.results_prefix, request.artifact_prefix).folder
        artifacts = [
            Artifact(
                key=stored.key,
                filename=stored.key.rpartition("/")[2],
                path=stored.key.removeprefix(f"{folder}/"),
                size=stored.size,
                last_modified=stored.last_modified,
                url=self.artifacts.address(stored.key, request.expires_in),
            )
            for stored in self.artifacts.below(folder)
            if not stored.key.endswith("/")  # what consoles make to show an empty folder
        ]
        return ResultsReply(
            artifact_prefix=request.artifact_prefix,
            artifacts=artifacts,
            bucket=self.results_bucket,
            prefix=folder,
        )
