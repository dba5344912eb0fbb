"""Every error of boto3, botocore and s3transfer, thrown where a request is sent, ends as an error of the runner."""

from __future__ import annotations

import itertools
import json
from inspect import isclass
from typing import TYPE_CHECKING, Any

import boto3.exceptions
import botocore.exceptions
import pytest
import s3transfer.exceptions
import urllib3.exceptions
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config

from compose_runner.analysis.write.result_directory import ResultDirectory
from compose_runner.errors import EXIT_CANNOT_RUN, EXIT_TRY_AGAIN, AnalysisError, ComposeRunnerError
from task import aws_errors, checkpoints, job_objects
from task.checkpoints import S3Checkpoints
from task.job_objects import JobKeyParameters, JobObjects
from task.settings import TaskSettings
from tests.support.aws_failures import Body, make_error, walk

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SETTINGS = TaskSettings("job", "abc", "production", True, None, "bucket", "results")
# what follows from the task's configuration alone, so that the next task would fail in the same way
MISCONFIGURED = {
    "ConfigNotFound",
    "ConfigParseError",
    "DataNotFoundError",
    "InvalidConfigError",
    "InvalidDNSNameError",
    "InvalidRegionError",
    "MissingDependencyException",
    "NoCredentialsError",
    "NoRegionError",
    "ParamValidationError",
    "PartialCredentialsError",
    "ProfileNotFound",
    "UnknownServiceError",
    "UnsupportedS3ArnError",
    "UnsupportedSignatureVersionError",
    "ValidationError",
}
RETRYABLE = {
    "ExpiredToken": 400,
    "RequestTimeout": 400,
    "RequestTimeTooSkewed": 403,
    "OperationAborted": 409,
    "ThrottlingException": 429,
    "InternalError": 500,
    "SlowDown": 503,
    "ServiceUnavailable": 503,
    "InsufficientStorage": 507,
    "ACodeThatNobodyHasHeardOf": 400,
}


def classes() -> list[type[BaseException]]:
    """All classes of errors that the three libraries define, and those of a connection below them."""
    found: dict[str, type[BaseException]] = {}
    roots = [botocore.exceptions.BotoCoreError, boto3.exceptions.Boto3Error, urllib3.exceptions.HTTPError]
    for kind in itertools.chain.from_iterable(walk(root) for root in roots):
        found[f"{kind.__module__}.{kind.__name__}"] = kind
    for module in (botocore.exceptions, s3transfer.exceptions):
        for kind in vars(module).values():
            if isclass(kind) and issubclass(kind, Exception) and not issubclass(kind, Warning):
                found[f"{kind.__module__}.{kind.__name__}"] = kind
    for kind in (ConnectionResetError, BrokenPipeError, TimeoutError):
        found[kind.__name__] = kind
    # never raised by a call: they tell that a client's description is wrong
    for name in ("UndefinedModelAttributeError", "MissingServiceIdError"):
        found.pop(f"botocore.exceptions.{name}", None)
    return [found[name] for name in sorted(found)]


@pytest.fixture
def no_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let botocore give up at once."""
    # a session keeps the credentials that it found first
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    # nothing is ever sent; should it be, nothing listens there
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for module in (job_objects, checkpoints):
        monkeypatch.setattr(module, "CONFIG", Config(retries={"total_max_attempts": 1}))


class Calls:
    """Every call that the task makes of AWS, with something in the place of the network."""

    def __init__(self, folder: Path, instead_of_network: Callable[..., Any]) -> None:
        self._folder = folder
        with ResultDirectory(folder).writing() as written:
            (written / "z.nii.gz").write_bytes(b"map")
        self._objects, self._keys = JobObjects(SETTINGS), JobKeyParameters(SETTINGS)
        self._checkpoints = S3Checkpoints(SETTINGS)
        for client in (self._objects._s3, self._keys._ssm, self._checkpoints._s3):
            client.meta.events.register("before-send", instead_of_network)

    def all(self) -> dict[str, Callable[[], object]]:
        return {
            "upload": lambda: self._objects.upload(self._folder),
            "metadata": lambda: self._objects.write_metadata({}),
            "progress": lambda: self._objects.write_progress("{}"),
            "forget": self._objects.forget_progress,
            "restore": lambda: self._objects.restore(self._folder / "restored", to_publish=True),
            "read a checkpoint": lambda: self._checkpoints.read("name"),
            "write a checkpoint": lambda: self._checkpoints.write("name", b""),
            "clear checkpoints": self._checkpoints.clear,
            "read keys": self._keys.read,
            "forget keys": self._keys.forget,
        }


@pytest.fixture
def refused(no_retries: None, tmp_path: Path) -> Callable[[Callable[..., Any]], dict[str, ComposeRunnerError]]:
    def refuse(instead_of_network: Callable[..., Any]) -> dict[str, ComposeRunnerError]:
        caught = {}
        for name, call in Calls(tmp_path, instead_of_network).all().items():
            with pytest.raises(ComposeRunnerError) as error:
                call()
            caught[name] = error.value
        return caught

    return refuse


@pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__name__)
def test_every_error_of_the_libraries_is_typed_and_passes_unless_it_is_known_not_to(
    kind: type[BaseException], refused: Any
) -> None:
    def fail(**_: Any) -> None:
        raise make_error(kind)

    stays = {one.__name__ for one in kind.__mro__} & MISCONFIGURED
    for name, error in refused(fail).items():
        assert error.exit_code == (EXIT_CANNOT_RUN if stays else EXIT_TRY_AGAIN), name
        assert str(error).startswith("The job's ")


def answering(code: str, status: int) -> Callable[..., Any]:
    def answer(request: Any, **_: Any) -> AWSResponse:
        if "ssm" in request.headers.get("X-Amz-Target", b"").decode().lower():
            body = f'{{"__type": "{code}", "message": "text"}}'
        else:
            body = f"<Error><Code>{code}</Code><Message>text</Message></Error>"
        # where a bucket is is answered with a redirect, and followed once
        return AWSResponse(
            request.url, status, HTTPHeaders.from_dict({"x-amz-bucket-region": "eu-west-1"}), Body(body.encode())
        )

    return answer


@pytest.mark.parametrize(("code", "status"), RETRYABLE.items())
def test_a_temporary_refusal_is_retried(code: str, status: int, refused: Any) -> None:
    errors = refused(answering(code, status))

    assert {error.exit_code for error in errors.values()} == {EXIT_TRY_AGAIN}
    assert "Trying again later may help" in str(errors["upload"])


@pytest.mark.parametrize("code", sorted(aws_errors.NEVER_PASSES - {"403"}))
def test_a_refusal_that_a_person_has_to_end_is_not_tried_again_and_names_the_reason(code: str, refused: Any) -> None:
    errors = refused(answering(code, 400))
    # a download asks for an object's head first, and its answer has no body that could name the reason
    del errors["restore"]

    assert {error.exit_code for error in errors.values()} == {EXIT_CANNOT_RUN}
    for error in errors.values():
        assert code in str(error) or "disk that keeps the service's data is full" in str(error)


def test_a_download_that_is_forbidden_is_not_tried_again(refused: Any) -> None:
    assert refused(answering("AccessDenied", 403))["restore"].exit_code == EXIT_CANNOT_RUN


def test_an_error_of_the_tasks_own_disk_or_code_is_left_to_the_task() -> None:
    for error in (OSError(28, "No space left on device"), FileNotFoundError("z.nii.gz"), KeyError("name")):
        with pytest.raises(type(error)), aws_errors.translating_aws_errors("The job's objects", "s3://bucket"):
            raise error


def test_an_error_of_the_runner_stays_what_it_is() -> None:
    with (
        pytest.raises(AnalysisError, match="as it is"),
        aws_errors.translating_aws_errors("The job's objects", "s3://bucket"),
    ):
        raise AnalysisError("as it is")


def test_numbers_that_json_has_not_are_null_in_metadata(no_retries: None, tmp_path: Path) -> None:
    sent = []

    def take(request: Any, **_: Any) -> AWSResponse:
        sent.append(request.body)
        return AWSResponse(request.url, 200, HTTPHeaders(), Body())

    Calls(tmp_path, take)._objects.write_metadata({"extra": [float("nan"), -float("inf"), 1.5]})
    (body,) = sent
    assert json.loads(body.read() if hasattr(body, "read") else body, parse_constant=pytest.fail) == {
        "extra": [None, None, 1.5]
    }
