"""What can go wrong, as types; each knows its exit code and speaks to a researcher.

An error's text names the thing at fault and what exists instead. It never holds a key: keys travel in headers only.
The exit codes are part of the contract with the state machine, which retries 75 and nothing else.
"""

from __future__ import annotations

EXIT_DONE = 0
EXIT_CANNOT_RUN = 1
EXIT_USAGE = 2
EXIT_TRY_AGAIN = 75
EXIT_INTERRUPTED = 130
# a task that wants its permutations computed by n tasks exits with this + n; n is 2 to 24, since Docker, shells and
# signals use the codes from 125 on
EXIT_SHARDS = 100
MOST_SHARDS = 24


class ComposeRunnerError(Exception):
    """Base of every error this package raises on purpose."""

    exit_code: int = EXIT_CANNOT_RUN


class AnalysisError(ComposeRunnerError):
    """The analysis cannot run: a person has to change something, trying again will not help."""

    exit_code = EXIT_CANNOT_RUN


class DocumentError(AnalysisError):
    """A document of Compose or NeuroStore cannot be used.

    Parameters
    ----------
    document : str
        What the document is, in the field's words, such as ``"studyset n45qe4g5nrFw"``.
    address : str
        Where it was asked for.
    reason : str
        What is wrong with it.
    """

    def __init__(self, document: str, address: str, reason: str) -> None:
        self.document = document
        self.address = address
        self.reason = reason
        super().__init__(f"{document}: {reason} ({address})")


class DocumentMissingError(DocumentError):
    """A document does not exist at its address."""


class DocumentMalformedError(DocumentError):
    """A document exists, but it is not what its place promises."""


class SpecificationError(AnalysisError):
    """The specification asks for something that does not exist or cannot be combined."""


class LimitExceededError(AnalysisError):
    """The job asks for more than the deployment allows one job."""


class SelectionError(AnalysisError):
    """The specification selects no usable group of analyses."""


class RefusedInputsError(AnalysisError):
    """The inputs are such that no meaningful result can come of them."""


class ImageError(AnalysisError):
    """The statistical maps of an image-based meta-analysis cannot be used."""


class EmptyResultError(AnalysisError):
    """The meta-analysis finished, but it has no value at any voxel."""


class ResultDirectoryError(AnalysisError):
    """The result directory holds something that is not this run's to change, or another process uses it."""


class PublishError(AnalysisError):
    """Compose refused the result; what was computed is safe in the result directory."""


class UploadKeyError(PublishError):
    """There is no upload key for the meta-analysis, or Compose does not take the one there is."""


class TemporaryError(ComposeRunnerError):
    """A temporary failure: the same job can be started again unchanged."""

    exit_code = EXIT_TRY_AGAIN


class ServiceUnavailableError(TemporaryError):
    """A service did not answer, or answered that it is busy, after all retries.

    Parameters
    ----------
    document : str
        What was asked for.
    address : str
        Where it was asked for.
    reason : str
        What the service answered, or why there was no answer.
    """

    def __init__(self, document: str, address: str, reason: str) -> None:
        self.document = document
        self.address = address
        self.reason = reason
        super().__init__(f"{document}: {reason} ({address}). Trying again later may help.")


class InterruptedRunError(TemporaryError):
    """The run was asked to stop before it was done."""


class ShardingRequested(ComposeRunnerError):
    """The permutations should be computed by several tasks, after which this one can be started again.

    Parameters
    ----------
    n_shards : int
        How many tasks, 2 to :data:`MOST_SHARDS`.
    seconds : float
        Predicted time on one task.
    """

    def __init__(self, n_shards: int, seconds: float) -> None:
        if not 2 <= n_shards <= MOST_SHARDS:
            raise ValueError(f"permutations can be shared by 2 to {MOST_SHARDS} tasks, not {n_shards}")
        self.n_shards = n_shards
        self.seconds = seconds
        self.exit_code = EXIT_SHARDS + n_shards
        super().__init__(
            f"The permutations would take about {seconds:.0f} s on one task; {n_shards} should share them."
        )


class TerminationRequested(KeyboardInterrupt):
    """SIGTERM or SIGHUP came.

    A ``KeyboardInterrupt``, so that no ``except Exception`` swallows it; logging has one around every record.
    """

    exit_code = EXIT_TRY_AGAIN
