"""What AWS refuses the task, or does not answer, as errors of the runner: with a sentence, and with an exit code.

Every refusal counts as temporary unless it is known to last. An unknown one that is tried again costs a few attempts;
one that is given up costs what was computed.
"""

from __future__ import annotations

import errno
import socket
import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING

import boto3.exceptions
import botocore.exceptions
import s3transfer.exceptions
import urllib3.exceptions
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from compose_runner.errors import AnalysisError, ComposeRunnerError, ServiceUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

AWS_ERRORS: tuple[type[BaseException], ...] = (
    BotoCoreError,
    ClientError,
    botocore.exceptions.EventStreamError,
    boto3.exceptions.Boto3Error,
    s3transfer.exceptions.CancelledError,
    s3transfer.exceptions.RetriesExceededError,
    s3transfer.exceptions.S3UploadFailedError,
    s3transfer.exceptions.S3DownloadFailedError,
    s3transfer.exceptions.S3CopyFailedError,
    s3transfer.exceptions.S3ValidationError,
    s3transfer.exceptions.InvalidSubscriberMethodError,
    s3transfer.exceptions.TransferNotDoneError,
    # a connection that breaks while a body is read
    urllib3.exceptions.HTTPError,
    ConnectionError,
    TimeoutError,
    socket.gaierror,
    ssl.SSLError,
)
MISSING = frozenset({"404", "NoSuchKey"})
DISK_FULL = "DiskFull"
# codes of AWS that another task would meet as well; the operator of the service has to change something
NEVER_PASSES = frozenset(
    {
        "403",
        "AccessDenied",
        "AccessDeniedException",
        "AccountProblem",
        "AllAccessDisabled",
        "EntityTooLarge",
        "InvalidAccessKeyId",
        "InvalidBucketName",
        "InvalidBucketState",
        "InvalidClientTokenId",
        "InvalidKeyId",
        "KMS.DisabledException",
        "KMS.KMSInvalidStateException",
        "KMS.NotFoundException",
        "KeyTooLongError",
        "MethodNotAllowed",
        "NoSuchBucket",
        "NotSignedUp",
        "PermanentRedirect",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
        "ValidationException",
        # of the embedded service alone
        DISK_FULL,
    }
)
# errors of botocore that come from the task's own configuration, before anything is sent
_MISCONFIGURED: tuple[type[BaseException], ...] = (
    botocore.exceptions.ConfigNotFound,
    botocore.exceptions.ConfigParseError,
    botocore.exceptions.DataNotFoundError,
    botocore.exceptions.InvalidConfigError,
    botocore.exceptions.InvalidDNSNameError,
    botocore.exceptions.InvalidRegionError,
    botocore.exceptions.MissingDependencyException,
    botocore.exceptions.NoCredentialsError,
    botocore.exceptions.NoRegionError,
    botocore.exceptions.ParamValidationError,
    botocore.exceptions.PartialCredentialsError,
    botocore.exceptions.ProfileNotFound,
    botocore.exceptions.UnknownServiceError,
    botocore.exceptions.UnsupportedS3ArnError,
    botocore.exceptions.UnsupportedSignatureVersionError,
    botocore.exceptions.ValidationError,
)
_FULL = (
    "The disk that keeps the service's data is full, so that the job's results could not be kept. Free space on it, or "
    "start the service with another --data, and submit the job again."
)


def read_error_code(error: BaseException) -> str | None:
    """Find AWS's code of a refusal, in the error or in what led to it; None where AWS said nothing."""
    for one in _chain(error):
        if isinstance(one, ClientError):
            return str(one.response.get("Error", {}).get("Code") or "")
    return None


def is_retryable(error: BaseException) -> bool:
    """Whether another task could do what AWS refused or did not answer."""
    if read_error_code(error) in NEVER_PASSES:
        return False
    return not any(isinstance(one, _MISCONFIGURED) for one in _chain(error))


@contextmanager
def translating_aws_errors(what: str, address: str) -> Iterator[None]:
    """Turn what AWS refuses into an error of the runner.

    Parameters
    ----------
    what : str
        What was to be done, as the beginning of a sentence: ``"The job's artifacts cannot be kept"``.
    address : str
        Where.

    Raises
    ------
    ServiceUnavailableError
        It is temporary.
    AnalysisError
        A person has to change something.
    """
    try:
        yield
    except ComposeRunnerError:
        raise
    except Exception as error:
        # a full disk of the task's own is reported by the task
        if not _is_of_aws(error) or _is_full(error):
            raise
        raise refusal(what, address, error) from error


def refusal(what: str, address: str, error: BaseException) -> ComposeRunnerError:
    """Make the error of the runner for one of AWS."""
    if read_error_code(error) == DISK_FULL:
        return AnalysisError(_FULL)
    reason = str(error) or type(error).__name__
    if is_retryable(error):
        return ServiceUnavailableError(what, address, reason)
    return AnalysisError(f"{what}: {reason} ({address}). The operator of the service must look at this.")


def _is_of_aws(error: BaseException) -> bool:
    return any(isinstance(one, AWS_ERRORS) for one in _chain(error))


def _is_full(error: BaseException) -> bool:
    return any(isinstance(one, OSError) and one.errno in (errno.ENOSPC, errno.EDQUOT) for one in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Walk from an error to what led to it; boto3 wraps an error in a text, and s3transfer keeps the last one."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        last = one.kwargs.get("error") if isinstance(one, HTTPClientError) else getattr(one, "last_exception", None)
        waiting += [one.__cause__ or one.__context__, last if isinstance(last, BaseException) else None]
