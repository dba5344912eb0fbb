"""The OpenAPI document tells the truth: it is current, and no request gets an answer outside of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from compose_runner.service import openapi
from tests.support import embedded_aws as embedded
from tests.support.function_urls import application

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parents[2]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
schema = schemathesis.openapi.from_wsgi("/openapi.json", application)


@pytest.fixture(scope="module", autouse=True)
def aws() -> Iterator[embedded.SampleAws]:
    with embedded.embedded_aws() as server:
        embedded.prepare(server)
        yield server


def test_the_document_in_the_repository_is_current() -> None:
    assert (REPOSITORY / "openapi.json").read_text() == openapi.text(), (
        "run: python -m compose_runner.service.openapi > openapi.json"
    )


def test_no_key_travels_in_an_address() -> None:
    parameters = openapi.document()["paths"]["/submit"]["get"]["parameters"]

    assert {"nsc_key", "nv_key"}.isdisjoint(parameter["name"] for parameter in parameters)


def test_the_document_has_every_function_by_post_and_get_and_the_stop_of_a_job() -> None:
    paths = openapi.document()["paths"]

    assert {path: set(methods) for path, methods in paths.items()} == {
        "/submit": {"post", "get"},
        "/status": {"post", "get", "delete"},
        "/logs": {"post", "get"},
        "/results": {"post", "get"},
    }


@pytest.mark.parametrize(
    ("path", "method", "fields", "status"),
    [
        ("/submit", "POST", {"body": {"meta_analysis_id": "mHtoV82Dmnm9"}}, 202),
        ("/submit", "GET", {"query": {"meta_analysis_id": "mHtoV82Dmnm9"}}, 202),
        ("/submit", "POST", {"body": {"meta_analysis_id": "x", "artifact_prefix": "sample-running"}}, 409),
        ("/status", "POST", {"body": {"job_id": f"{embedded.JOBS}sample-failed"}}, 200),
        ("/status", "GET", {"query": {"job_id": f"{embedded.JOBS}sample-succeeded"}}, 200),
        ("/status", "GET", {"query": {"job_id": f"{embedded.JOBS}sample-unknown"}}, 404),
        ("/logs", "POST", {"body": {"artifact_prefix": "sample-running", "start_time": 0}}, 200),
        ("/results", "GET", {"query": {"artifact_prefix": "sample-succeeded"}}, 200),
        ("/status", "DELETE", {"query": {"job_id": f"{embedded.JOBS}sample-succeeded"}}, 200),
    ],
)
def test_answers_about_jobs_that_exist_are_in_the_document(
    path: str, method: str, fields: dict[str, Any], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # drawn requests never name a job that exists
    monkeypatch.setenv("ALLOW_CANCEL", "true")
    headers = {"Content-Type": "application/json"} if "body" in fields else {}
    kind: dict[str, Any] = {"media_type": "application/json"} if "body" in fields else {}
    case = schema[path][method].Case(headers=headers, **kind, **fields)

    response = case.call()

    assert response.status_code == status
    case.validate_response(response, checks=CHECKS)


@schema.parametrize()
@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_in_the_document(case: schemathesis.Case[Any]) -> None:
    response = case.call()

    case.validate_response(response, checks=CHECKS)
