"""What the template tells each function, as typed values, read from the environment when a request needs them.

``pydantic-settings`` costs a cold start 100 ms (it brings dotenv, argparse and typing machinery) for four strings and
two numbers; the models of pydantic, which the contract needs anyway, do.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from compose_runner.service.storage import DEFAULT_KEY_PARAMETERS, DEFAULT_RESULTS_PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

STATE_MACHINE_ARN = "STATE_MACHINE_ARN"
RESULTS_BUCKET = "RESULTS_BUCKET"
RESULTS_PREFIX = "RESULTS_PREFIX"
RUNNER_LOG_GROUP = "RUNNER_LOG_GROUP"
DEFAULT_LOOKBACK_MS = "DEFAULT_LOOKBACK_MS"
KEY_PARAMETERS_PATH = "KEY_PARAMETERS_PATH"
ALLOW_CANCEL = "ALLOW_CANCEL"
CORS_ORIGINS = "CORS_ORIGINS"
ARTIFACTS_ENDPOINT = "ARTIFACTS_ENDPOINT"
MAX_ITERATIONS = "MAX_ITERATIONS"
MAX_RUNNING_JOBS = "MAX_RUNNING_JOBS"

ONE_HOUR_MS = 3_600_000


class FunctionSettingsError(RuntimeError):
    """The function was deployed without a variable that it needs, or with one that makes no sense."""


def _limit(text: str) -> int | None:
    """Read a limit; 0 and nothing stand for none."""
    text = text.strip() or "0"
    try:
        # a template's number may be written as 1e5
        number = int(float(text))
    except (ValueError, OverflowError):
        number = -1
    if number < 0:
        raise ValueError(f"a number, 0 for no limit, not {text!r}")
    return number or None


def _milliseconds(text: str) -> int:
    text = text.strip() or str(ONE_HOUR_MS)
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"a number of milliseconds, not {text!r}")
    return int(text)


# each with the variable that holds it
StateMachineArn = Annotated[str, Field(alias=STATE_MACHINE_ARN, min_length=1)]
ResultsBucket = Annotated[str, Field(alias=RESULTS_BUCKET, min_length=1)]
ResultsPrefix = Annotated[str, Field(alias=RESULTS_PREFIX), AfterValidator(lambda prefix: prefix.strip("/ "))]
KeyParametersPath = Annotated[
    str, Field(alias=KEY_PARAMETERS_PATH), AfterValidator(lambda path: path or DEFAULT_KEY_PARAMETERS)
]
LogGroup = Annotated[str, Field(alias=RUNNER_LOG_GROUP, min_length=1)]
AllowCancel = Annotated[bool, Field(alias=ALLOW_CANCEL), BeforeValidator(lambda text: text.strip().lower() == "true")]
MaxIterations = Annotated[int | None, Field(alias=MAX_ITERATIONS), BeforeValidator(_limit)]
MaxRunningJobs = Annotated[int | None, Field(alias=MAX_RUNNING_JOBS), BeforeValidator(_limit)]
# status needs it for those alone who ask for records as well
IncludedLogGroup = Annotated[str, Field(alias=RUNNER_LOG_GROUP)]
LookbackMs = Annotated[int, Field(alias=DEFAULT_LOOKBACK_MS), BeforeValidator(_milliseconds)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, str_strip_whitespace=True)

    @classmethod
    def read(cls, variables: Mapping[str, str] = os.environ) -> Self:
        """Read the settings from the environment.

        Raises
        ------
        FunctionSettingsError
            A variable is missing, or its value makes no sense.
        """
        try:
            return cls.model_validate(dict(variables))
        except ValidationError as error:
            wrong = error.errors()[0]
            name = wrong["loc"][0]
            if wrong["type"] == "value_error":
                raise FunctionSettingsError(f"{name} must be {wrong['ctx']['error']}.") from None
            raise FunctionSettingsError(f"The environment variable {name} must be set.") from None


class SubmitSettings(_Settings):
    """What submit needs.

    Parameters
    ----------
    state_machine_arn : str
        The state machine that runs jobs.
    results_bucket, results_prefix : str
        Where jobs leave their artifacts.
    key_parameters_path : str
        Path in Parameter Store below which a job's keys wait for its task.
    log_group : str
        The log group of the task, which gets the record of a job that is refused.
    max_iterations : int or None
        Most iterations that a specification may ask for.
    max_running_jobs : int or None
        Most jobs that run at a time.
    """

    state_machine_arn: StateMachineArn
    results_bucket: ResultsBucket
    results_prefix: ResultsPrefix = DEFAULT_RESULTS_PREFIX
    key_parameters_path: KeyParametersPath = DEFAULT_KEY_PARAMETERS
    log_group: LogGroup
    max_iterations: MaxIterations = None
    max_running_jobs: MaxRunningJobs = None


class StatusSettings(_Settings):
    """What status needs.

    Parameters
    ----------
    state_machine_arn : str
        The state machine whose executions are jobs.
    results_bucket, results_prefix : str
        Where jobs leave their artifacts.
    allow_cancel : bool
        Whether DELETE may stop a running job.
    key_parameters_path : str
        Path in Parameter Store below which a job's keys wait for its task; a job that is stopped needs them no more.
    log_group : str
        The log group of the task; without one no records can be included.
    """

    state_machine_arn: StateMachineArn
    results_bucket: ResultsBucket
    results_prefix: ResultsPrefix = DEFAULT_RESULTS_PREFIX
    allow_cancel: AllowCancel = False
    key_parameters_path: KeyParametersPath = DEFAULT_KEY_PARAMETERS
    log_group: IncludedLogGroup = ""


class LogsSettings(_Settings):
    """What logs needs.

    Parameters
    ----------
    log_group : str
        The log group of the task.
    lookback_ms : int
        How far back to look when a request names no start, in milliseconds.
    """

    log_group: LogGroup
    lookback_ms: LookbackMs = ONE_HOUR_MS


class ResultsSettings(_Settings):
    """What results needs.

    Parameters
    ----------
    results_bucket, results_prefix : str
        Where jobs leave their artifacts.
    """

    results_bucket: ResultsBucket
    results_prefix: ResultsPrefix = DEFAULT_RESULTS_PREFIX


def artifacts_endpoint(variables: Mapping[str, str] = os.environ) -> str | None:
    """Where presigned addresses lead; None, as on AWS, for S3's own address. The embedded service sets it."""
    return variables.get(ARTIFACTS_ENDPOINT, "").strip() or None


def cors_origins(variables: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Origins whose pages may call the functions; ``*`` stands for every origin, nothing for none."""
    return tuple(origin.strip().rstrip("/") for origin in variables.get(CORS_ORIGINS, "").split(",") if origin.strip())
