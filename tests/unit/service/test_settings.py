"""What the template tells the functions is read when it is needed, and named when it is missing."""

from __future__ import annotations

from typing import Any

import pytest

from compose_runner.service.settings import (
    FunctionSettingsError,
    LogsSettings,
    ResultsSettings,
    StatusSettings,
    SubmitSettings,
    artifacts_endpoint,
    cors_origins,
)

VARIABLES = {"STATE_MACHINE_ARN": "arn", "RESULTS_BUCKET": "bucket", "RUNNER_LOG_GROUP": "group"}


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        (SubmitSettings, "STATE_MACHINE_ARN"),
        (SubmitSettings, "RESULTS_BUCKET"),
        (SubmitSettings, "RUNNER_LOG_GROUP"),
        (StatusSettings, "STATE_MACHINE_ARN"),
        (LogsSettings, "RUNNER_LOG_GROUP"),
        (ResultsSettings, "RESULTS_BUCKET"),
    ],
)
def test_a_missing_variable_is_named(settings: Any, missing: str) -> None:
    with pytest.raises(FunctionSettingsError, match=missing):
        settings.read({**VARIABLES, missing: " "})


def test_defaults_are_those_of_the_contract() -> None:
    assert SubmitSettings.read(VARIABLES).key_parameters_path == "/compose-runner/jobs"
    assert ResultsSettings.read(VARIABLES).results_prefix == "compose-runner/results"
    assert LogsSettings.read(VARIABLES).lookback_ms == 3_600_000
    assert StatusSettings.read(VARIABLES).allow_cancel is False
    assert cors_origins({}) == ()


def test_presigned_addresses_lead_to_s3_unless_the_embedded_service_says_otherwise() -> None:
    assert artifacts_endpoint({}) is None
    assert artifacts_endpoint({"ARTIFACTS_ENDPOINT": " "}) is None
    assert artifacts_endpoint({"ARTIFACTS_ENDPOINT": "http://127.0.0.1:1"}) == "http://127.0.0.1:1"


@pytest.mark.parametrize(("value", "allowed"), [("true", True), ("True", True), ("false", False), ("yes", False)])
def test_stopping_jobs_is_allowed_by_true_only(value: str, allowed: bool) -> None:
    assert StatusSettings.read({**VARIABLES, "ALLOW_CANCEL": value}).allow_cancel is allowed


@pytest.mark.parametrize(("text", "limit"), [("", None), ("0", None), ("20", 20), ("1e5", 100_000)])
def test_a_limit_of_0_or_nothing_is_none(text: str, limit: int | None) -> None:
    read = SubmitSettings.read({**VARIABLES, "MAX_ITERATIONS": text, "MAX_RUNNING_JOBS": text})

    assert (read.max_iterations, read.max_running_jobs) == (limit, limit)


@pytest.mark.parametrize("text", ["many", "-1", "inf", "nan"])
@pytest.mark.parametrize("name", ["MAX_ITERATIONS", "MAX_RUNNING_JOBS"])
def test_a_limit_that_is_no_number_is_named(name: str, text: str) -> None:
    with pytest.raises(FunctionSettingsError, match=name):
        SubmitSettings.read({**VARIABLES, name: text})


def test_a_look_back_that_is_no_number_is_named() -> None:
    with pytest.raises(FunctionSettingsError, match="DEFAULT_LOOKBACK_MS"):
        LogsSettings.read({**VARIABLES, "DEFAULT_LOOKBACK_MS": "an hour"})
