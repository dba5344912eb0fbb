"""Whatever event arrives, a handler answers within the contract, and no key that it held is seen again."""

from __future__ import annotations

import importlib
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compose_runner.errors import ComposeRunnerError
from tests.support import embedded_aws as embedded
from tests.support.function_urls import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EXAMPLES = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=8,
)
FIELDS = (
    "meta_analysis_id", "environment", "no_upload", "artifact_prefix", "n_cores", "nsc_key", "nv_key",
    "job_id", "next_token", "start_time", "end_time", "expires_in",
)  # fmt: skip
plausible = (
    st.sampled_from(["mHtoV82Dmnm9", "sample-running", f"{embedded.JOBS}sample-running", "production", "", "W10="])
    | st.integers(-5, 2_000_000_000_000)
    | json_values
)
payloads = st.dictionaries(st.sampled_from(FIELDS), plausible, max_size=8)
events = st.fixed_dictionaries(
    {
        "requestContext": st.one_of(
            st.fixed_dictionaries(
                {"http": st.fixed_dictionaries({"method": st.sampled_from(["POST", "GET", "DELETE", "OPTIONS", "X"])})}
            ),
            json_values,
        )
    },
    optional={
        "body": payloads.map(json.dumps) | st.text() | json_values,
        "isBase64Encoded": st.booleans() | json_values,
        "rawQueryString": st.text() | st.sampled_from(["artifact_prefix=a&artifact_prefix=b", "job_id=%ff"]),
        "queryStringParameters": json_values,
        "rawPath": st.text() | st.just("/jobs/x"),
        "path": json_values,
        "httpMethod": json_values,
        "headers": st.dictionaries(st.sampled_from(["Idempotency-Key", "origin"]), st.text()) | json_values,
    },
)
CODES = {
    "submit": {202, 204, 400, 405, 409},
    "status": {200, 204, 400, 403, 404, 405},
    "logs": {200, 204, 400, 405},
    "results": {200, 204, 400, 405},
}


@pytest.fixture(scope="module")
def aws() -> Iterator[embedded.SampleAws]:
    with embedded.embedded_aws() as server:
        embedded.prepare(server)
        yield server


def load_handler(function: str) -> Callable[[Any, Any], dict[str, Any]]:
    handler: Callable[[Any, Any], dict[str, Any]] = importlib.import_module(f"functions.{function}.app").handler
    return handler


@pytest.mark.parametrize("function", FUNCTIONS)
def test_any_http_event_gets_an_answer_in_the_contract(function: str, aws: embedded.SampleAws) -> None:
    handler = load_handler(function)

    @EXAMPLES
    @given(event=events)
    def check(event: dict[str, Any]) -> None:
        answer = handler(event, None)

        assert answer["statusCode"] in CODES[function], answer
        if answer["statusCode"] == 204:
            return
        body = json.loads(answer["body"])
        if answer["statusCode"] >= 400:
            assert body["status"] == "FAILED"
            assert body["error"]
        json.dumps(answer)

    check()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_any_direct_invocation_gets_a_body_or_a_typed_error(function: str, aws: embedded.SampleAws) -> None:
    handler = load_handler(function)

    @EXAMPLES
    @given(payload=payloads | json_values)
    def check(payload: Any) -> None:
        if isinstance(payload, dict) and "requestContext" in payload:
            return
        with suppress(ComposeRunnerError):
            json.dumps(handler(payload, None))

    check()
