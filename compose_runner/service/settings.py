"""What the template tells each function, as typed values, read from the environment when a request needs them.

Plain dataclasses: ``pydantic-settings`` costs a cold start 100 ms (it brings dotenv, argparse and typing machinery) for
four strings and two numbers.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

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


def _limit(variables: Mapping[str, str], name: str) -> int | None:
    """Read a limit; 0 and nothing stand for none."""
    text = variables.get(name, "").strip() or "0"
    try:
        # a template's number may be written as 1e5
        number = int(float(text))
    except (ValueError, OverflowError):
        number = -1
    if number < 0:
        raise FunctionSettingsError(f"{name} must be a number, 0 for no limit, not {text!r}.")
    return number or None


def _required(variables: Mapping[str, str], name: str) -> str:
    value = variables.get(name, "").strip()
    if not value:
        raise FunctionSettingsError(f"The environment variable {name} must be set.")
    return value


@dataclass(frozen=True, slots=True)
class SubmitSettings:
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

    state_machine_arn: str
    results_bucket: str
    results_prefix: str
    key_parameters_path: str
    log_group: str
    max_iterations: int | None
    max_running_jobs: int | None

    @classmethod
    def read(cls, variables: Mapping[str, str] = os.environ) -> Self:
        """Read the settings from the environment; raises :class:`FunctionSettingsError`."""
        return cls(
            state_machine_arn=_required(variables, STATE_MACHINE_ARN),
            results_bucket=_required(variables, RESULTS_BUCKET),
            results_prefix=variables.get(RESULTS_PREFIX, DEFAULT_RESULTS_PREFIX).strip("/ "),
            key_parameters_path=variables.get(KEY_PARAMETERS_PATH) or DEFAULT_KEY_PARAMETERS,
            log_group=_required(variables, RUNNER_LOG_GROUP),
            max_iterations=_limit(variables, MAX_ITERATIONS),
            max_running_jobs=_limit(variables, MAX_RUNNING_JOBS),
        )


@dataclass(frozen=True, slots=True)
class StatusSettings:
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
    """

    state_machine_arn: str
    results_bucket: str
    results_prefix: str
    allow_cancel: bool
    key_parameters_path: str

    @classmethod
    def read(cls, variables: Mapping[str, str] = os.environ) -> Self:
        """Read the settings from the environment; raises :class:`FunctionSettingsError`."""
        return cls(
            state_machine_arn=_required(variables, STATE_MACHINE_ARN),
            results_bucket=_required(variables, RESULTS_BUCKET),
            results_prefix=variables.get(RESULTS_PREFIX, DEFAULT_RESULTS_PREFIX).strip("/ "),
            allow_cancel=variables.get(ALLOW_CANCEL, "").strip().lower() == "true",
            key_parameters_path=variables.get(KEY_PARAMETERS_PATH) or DEFAULT_KEY_PARAMETERS,
        )


@dataclass(frozen=True, slots=True)
class LogsSettings:
    """What logs needs.

    Parameters
    ----------
    log_group : str
        The log group of the task.
    lookback_ms : int
        How far back to look when a request names no start, in milliseconds.
    """

    log_group: str
    lookback_ms: int

    @classmethod
    def read(cls, variables: Mapping[str, str] = os.environ) -> Self:
        """Read the settings from the environment; raises :class:`FunctionSettingsError`."""
        lookback = variables.get(DEFAULT_LOOKBACK_MS, "").strip() or str(ONE_HOUR_MS)
        if not (lookback.isascii() and lookback.isdigit()):
            raise FunctionSettingsError(f"{DEFAULT_LOOKBACK_MS} must be a number of milliseconds, not {lookback!r}.")
        return cls(log_group=_required(variables, RUNNER_LOG_GROUP), lookback_ms=int(lookback))


@dataclass(frozen=True, slots=True)
class ResultsSettings:
    """What results needs.

    Parameters
    ----------
    results_bucket, results_prefix : str
        Where jobs leave their artifacts.
    """

    results_bucket: str
    results_prefix: str

    @classmethod
    def read(cls, variables: Mapping[str, str] = os.environ) -> Self:
        """Read the settings from the environment; raises :class:`FunctionSettingsError`."""
        return cls(
            results_bucket=_required(variables, RESULTS_BUCKET),
            results_prefix=variables.get(RESULTS_PREFIX, DEFAULT_RESULTS_PREFIX).strip("/ "),
        )


def artifacts_endpoint(variables: Mapping[str, str] = os.environ) -> str | None:
    """Where presigned addresses lead; None, as on AWS, for S3's own address. The embedded service sets it."""
    return variables.get(ARTIFACTS_ENDPOINT, "").strip() or None


def cors_origins(variables: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Origins whose pages may call the functions; ``*`` stands for every origin, nothing for none."""
    return tuple(origin.strip().rstrip("/") for origin in variables.get(CORS_ORIGINS, "").split(",") if origin.strip())
