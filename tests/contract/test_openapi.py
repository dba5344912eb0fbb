"""The OpenAPI document tells the truth: it is current, and no request gets an answer outside of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

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

from compose_runner import openapi
from tests import embedded_aws as embedded
from tests.function_urls import application

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
def aws() -> Iterator[embedded.EmbeddedAws]:
    with embedded.embedded_aws() as server:
        embedded.prepare(server)
        yield server


def test_the_document_in_the_repository_is_current() -> None:
    assert (REPOSITORY / "openapi.json").read_text() == openapi.text(), (
        "run: python -m compose_runner.openapi > openapi.json"
    )


def test_no_key_travels_in_an_address() -> None:
    parameters = openapi.document()["paths"]["/submit"]["get"]["parameters"]

    assert {"nsc_key", "nv_key"}.isdisjoint(parameter["name"] for parameter in parameters)


@schema.parametrize()
@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_in_the_document(case: schemathesis.Case) -> None:
    response = case.call()

    case.validate_response(response, checks=CHECKS)
