"""What the state machine and the task definition tell the task, as typed values."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from compose_runner import __version__
from compose_runner.compose.environments import DEFAULT_ENVIRONMENT
from compose_runner.errors import MOST_SHARDS, AnalysisError
from compose_runner.service.storage import DEFAULT_KEY_PARAMETERS, JobPaths, is_artifact_prefix
from compose_runner.specification.limits import NO_LIMITS, JobLimits

if TYPE_CHECKING:
    from collections.abc import Mapping

# set by the embedded service alone: neither the state machine nor a request can name it
BUNDLE_FILE = "BUNDLE_FILE"
_TRUE = frozenset({"1", "true", "t", "yes", "y"})
_FALSE = frozenset({"0", "false", "f", "no", "n"})
# the task ends by itself this long before the state machine would stop it, to upload what it has
_MARGIN_SECONDS = 120.0
_MARGIN_SHARE = 0.05
# of a Fargate task, to the virtual CPU
_CPU_UNITS = 1024


class TaskSettingsError(AnalysisError):
    """The task was launched without a variable that it needs, or with one that makes no sense."""


@dataclass(frozen=True, slots=True)
class TaskSettings:
    """One job, as its task sees it.

    Parameters
    ----------
    artifact_prefix : str
        The job's name.
    meta_analysis_id : str
        What to run.
    environment : str
        Which Compose it is on.
    upload : bool
        Whether the result is published on Compose.
    n_cores : int or None
        Cores to use; None for all.
    results_bucket, results_prefix : str
        Where artifacts go.
    key_parameters_path : str
        Path in Parameter Store below which the job's keys wait.
    attempt : int
        1 for the first task of the job.
    deadline : datetime or None
        When the task has to have ended.
    task_size : str
        ``standard`` or ``large``; empty where nobody said.
    version : str
        What ``metadata.json`` gives as the version.
    shards : int
        How many tasks share the permutations.
    shard : int or None
        Which share this task computes, from 0; None for the job itself.
    rounds : int
        How often the job's permutations have been shared by several tasks already.
    max_shards : int
        How many tasks they may be shared by.
    shard_threshold_seconds : float
        Predicted time from which it is.
    shard_cores : int or None
        Cores of a task that computes a share; None where nobody said.
    limits : JobLimits
        What the deployment allows one job.
    report : bool
        Draw the figures; a test or an experiment may do without.
    bundle : str or None
        File of the job's inputs, which somebody sent to an embedded service; None for those on Compose.
    """

    artifact_prefix: str
    meta_analysis_id: str
    environment: str
    upload: bool
    n_cores: int | None
    results_bucket: str
    results_prefix: str
    key_parameters_path: str = DEFAULT_KEY_PARAMETERS
    attempt: int = 1
    deadline: datetime | None = None
    task_size: str = ""
    version: str = __version__
    shards: int = 1
    shard: int | None = None
    rounds: int = 0
    max_shards: int = 1
    shard_threshold_seconds: float = math.inf
    shard_cores: int | None = None
    limits: JobLimits = NO_LIMITS
    report: bool = True
    bundle: str | None = None

    @property
    def paths(self) -> JobPaths:
        """S3 keys of the job."""
        return JobPaths(self.results_prefix, self.artifact_prefix)

    @classmethod
    def read(cls, variables: Mapping[str, str] = os.environ) -> Self:
        """Read the settings from the environment.

        Raises
        ------
        TaskSettingsError
            With the name of the variable at fault.
        """
        prefix = _required(variables, "ARTIFACT_PREFIX")
        if not is_artifact_prefix(prefix):
            raise TaskSettingsError("ARTIFACT_PREFIX is not a name that a job can have.")
        return cls(
            artifact_prefix=prefix,
            meta_analysis_id=_required(variables, "META_ANALYSIS_ID"),
            environment=variables.get("ENVIRONMENT") or DEFAULT_ENVIRONMENT,
            upload=variables.get("NO_UPLOAD", "").strip().lower() not in _TRUE,
            n_cores=_count(variables, "N_CORES"),
            results_bucket=_required(variables, "RESULTS_BUCKET"),
            results_prefix=variables.get("RESULTS_PREFIX", "").strip("/ "),
            key_parameters_path=variables.get("KEY_PARAMETERS_PATH") or DEFAULT_KEY_PARAMETERS,
            attempt=_count(variables, "ATTEMPT") or 1,
            deadline=_deadline(variables),
            task_size=variables.get("TASK_SIZE", ""),
            version=variables.get("COMPOSE_RUNNER_VERSION") or __version__,
            limits=_limits(variables),
            report=variables.get("REPORT", "").strip().lower() not in _FALSE,
            bundle=variables.get(BUNDLE_FILE) or None,
            **_sharing(variables),
        )


def _sharing(variables: Mapping[str, str]) -> dict[str, Any]:
    """How the job is, or may be, shared by several tasks."""
    cpu = _count(variables, "LARGE_TASK_CPU")
    threshold = _count(variables, "SHARD_THRESHOLD_SECONDS", least=0)
    shards, shard = _count(variables, "SHARDS") or 1, _count(variables, "SHARD", least=0)
    if shard is not None and shard >= shards:
        raise TaskSettingsError(f"SHARD must be below SHARDS ({shards}), not {shard}.")
    return {
        "shards": shards,
        "shard": shard,
        "rounds": _count(variables, "SHARD_ROUNDS", least=0) or 0,
        "max_shards": min(_count(variables, "MAX_SHARDS") or 1, MOST_SHARDS),
        "shard_threshold_seconds": math.inf if threshold is None else float(threshold),
        "shard_cores": None if cpu is None else max(1, cpu // _CPU_UNITS),
    }


def _limits(variables: Mapping[str, str]) -> JobLimits:
    """What the deployment allows one job; 0 and nothing stand for no limit."""
    iterations = _amount(variables, "MAX_ITERATIONS")
    return JobLimits(
        iterations=int(iterations) if iterations else None,
        core_hours=_amount(variables, "MAX_PREDICTED_CORE_HOURS") or None,
    )


def _required(variables: Mapping[str, str], name: str) -> str:
    value = variables.get(name, "").strip()
    if not value:
        raise TaskSettingsError(f"The environment variable {name} must be set.")
    return value


def _count(variables: Mapping[str, str], name: str, least: int = 1) -> int | None:
    text = variables.get(name, "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and int(text) >= least):
        raise TaskSettingsError(f"{name} must be a whole number, {least} or more, not {text!r}.")
    return int(text)


def _amount(variables: Mapping[str, str], name: str) -> float:
    text = variables.get(name, "").strip() or "0"
    try:
        amount = float(text)
    except ValueError:
        amount = math.nan
    if not (math.isfinite(amount) and amount >= 0):
        raise TaskSettingsError(f"{name} must be a number, 0 or more, not {text!r}.")
    return amount


def _deadline(variables: Mapping[str, str]) -> datetime | None:
    seconds = _count(variables, "JOB_TIMEOUT_SECONDS")
    # the embedded interpreter hands the time on in quotes
    started = variables.get("JOB_STARTED", "").strip().strip('"')
    if seconds is None or not started:
        return None
    try:
        moment = datetime.fromisoformat(started)
    except ValueError:
        raise TaskSettingsError(f"JOB_STARTED must be a time in ISO 8601, not {started!r}.") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment + timedelta(seconds=seconds - min(_MARGIN_SECONDS, _MARGIN_SHARE * seconds))
