"""Why a request is not served; each kind becomes one HTTP status in :mod:`compose_runner.service.lambda_http`.

A text is for the person who made the request, and never repeats a value that could be a key.
"""

from __future__ import annotations

from compose_runner.errors import ComposeRunnerError


class RequestError(ComposeRunnerError, ValueError):
    """The request is malformed."""


class CancelForbiddenError(ComposeRunnerError):
    """Clients may not stop jobs of this deployment."""


class JobMissingError(ComposeRunnerError, LookupError):
    """No such job."""


class JobNameTakenError(ComposeRunnerError, ValueError):
    """The name is taken by another job.

    Parameters
    ----------
    artifact_prefix : str
        The name.
    reason : str, optional
        Which rule the request broke.
    """

    def __init__(
        self, artifact_prefix: str, reason: str = "A job with the provided artifact_prefix already exists."
    ) -> None:
        self.artifact_prefix = artifact_prefix
        super().__init__(reason)


class TooManyJobsError(ComposeRunnerError):
    """As many jobs run as the deployment allows.

    Parameters
    ----------
    allowed : int
        How many that is.
    retry_seconds : int
        When to ask again.
    """

    def __init__(self, allowed: int, retry_seconds: int) -> None:
        self.allowed = allowed
        self.retry_seconds = retry_seconds
        jobs = "one job" if allowed == 1 else f"{allowed} jobs"
        super().__init__(f"The service runs {jobs} at a time, and no more can start now. Submit again later.")


class AwsServiceError(ComposeRunnerError, RuntimeError):
    """An AWS service did not do what it was asked for.

    Parameters
    ----------
    task : str
        What was to be done, as a sentence: ``"The job cannot be started"``.
    code : str
        The service's name for the reason. Its message is left out, because services repeat parameters in it.
    """

    def __init__(self, task: str, code: str) -> None:
        self.code = code
        super().__init__(f"{task} ({code}). Trying again later may help.")
