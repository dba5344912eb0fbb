"""The HTTP client over real connections: what it retries, what it refuses, and the words it finds for both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from compose_runner.compose import http_client
from compose_runner.errors import DocumentMalformedError, DocumentMissingError, ServiceUnavailableError
from tests.support.compose_stand_in import Answer, ComposeStandIn

if TYPE_CHECKING:
    from collections.abc import Iterator

STUDYSET_PATH = "studysets/s1"


@pytest.fixture
def compose() -> Iterator[ComposeStandIn]:
    with ComposeStandIn() as stand_in:
        yield stand_in


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)


def _address(compose: ComposeStandIn) -> str:
    return f"{compose.compose_api}/{STUDYSET_PATH}"


def test_a_document_is_fetched(compose: ComposeStandIn) -> None:
    compose.put(STUDYSET_PATH, {"id": "s1"})
    assert http_client.get_json(_address(compose), "studyset s1") == {"id": "s1"}


@pytest.mark.parametrize(
    "passing", [Answer(429, headers={"Retry-After": "0"}), Answer(500), Answer(502), Answer(503), Answer(drop=True)]
)
def test_a_temporary_failure_is_retried(compose: ComposeStandIn, passing: Answer) -> None:
    compose.put(STUDYSET_PATH, {"id": "s1"})
    compose.fail("GET", STUDYSET_PATH, passing, passing)
    assert http_client.get_json(_address(compose), "studyset s1") == {"id": "s1"}
    assert len(compose.requests) == 3


def test_a_service_that_stays_busy_is_a_temporary_error_that_names_document_and_address(
    compose: ComposeStandIn,
) -> None:
    compose.fail("GET", STUDYSET_PATH, *[Answer(503)] * 9)
    with pytest.raises(ServiceUnavailableError) as raised:
        http_client.get_json(_address(compose), "studyset s1", attempts=2)
    assert raised.value.exit_code == 75
    assert "studyset s1" in str(raised.value)
    assert _address(compose) in str(raised.value)
    assert "503 Service Unavailable" in str(raised.value)
    assert len(compose.requests) == 3


def test_a_service_that_is_not_there_is_a_temporary_error() -> None:
    with ComposeStandIn() as gone:
        address = _address(gone)
    with pytest.raises(ServiceUnavailableError, match="no answer"):
        http_client.get_json(address, "studyset s1", attempts=1)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_refusal_is_not_tried_again(compose: ComposeStandIn, status: int) -> None:
    compose.fail("GET", STUDYSET_PATH, Answer(status))
    with pytest.raises(DocumentMissingError, match=str(status)) as raised:
        http_client.get_json(_address(compose), "studyset s1")
    assert raised.value.exit_code == 1
    assert len(compose.requests) == 1


@pytest.mark.parametrize("body", [b"<html>", b"", b"\xff\xfe", b"{"])
def test_an_answer_that_is_not_json_is_malformed(compose: ComposeStandIn, body: bytes) -> None:
    compose.fail("GET", STUDYSET_PATH, Answer(200, body=body))
    with pytest.raises(DocumentMalformedError, match="not JSON"):
        http_client.get_json(_address(compose), "studyset s1")
