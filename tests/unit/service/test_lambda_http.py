"""What events become requests, and what errors become statuses."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest

from compose_runner.service import lambda_http, observability
from compose_runner.service.contract import (
    MAX_KEY_CHARACTERS,
    LogsRequest,
    Request,
    ResultsReply,
    ResultsRequest,
    StatusReply,
    StatusRequest,
    SubmitReply,
    SubmitRequest,
)
from compose_runner.service.errors import (
    AwsServiceError,
    CancelForbiddenError,
    JobMissingError,
    JobNameTakenError,
    RequestError,
    TooManyJobsError,
)
from compose_runner.service.lambda_events import MAX_CHARACTERS, Call
from compose_runner.service.operations import RESULTS, STATUS, SUBMIT
from compose_runner.service.settings import FunctionSettingsError

REPLY = SubmitReply(job_id="arn:job", artifact_prefix="job", status_url="/jobs/arn:job")


@lambda_http.serves(RESULTS)
def echo(request: ResultsRequest, call: Call) -> ResultsReply:
    return ResultsReply(
        artifact_prefix=request.artifact_prefix, artifacts=[], bucket=call.method, prefix=str(request.expires_in)
    )


def failing(error: Exception) -> Any:
    @lambda_http.serves(RESULTS)
    def fail(request: ResultsRequest, call: Call) -> ResultsReply:
        raise error

    return fail


def url_event(method: str = "POST", **fields: Any) -> dict[str, Any]:
    return {"version": "2.0", "requestContext": {"http": {"method": method}}, **fields}


def parse_body(answer: dict[str, Any]) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(answer["body"])
    return loaded


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    lines = io.StringIO()
    monkeypatch.setattr(observability.logger.registered_handler, "stream", lines)
    return lines


JSON_BODY = json.dumps({"artifact_prefix": "job", "expires_in": 60})


@pytest.mark.parametrize(
    "event",
    [
        url_event(body=JSON_BODY),
        url_event(body=JSON_BODY, rawPath="/any/path/at/all"),
        url_event(body=base64.b64encode(JSON_BODY.encode()).decode(), isBase64Encoded=True),
        url_event("GET", rawQueryString="artifact_prefix=job&expires_in=60"),
        url_event("GET", queryStringParameters={"artifact_prefix": "job", "expires_in": "60"}),
        {"httpMethod": "POST", "requestContext": {"stage": "v1"}, "body": JSON_BODY, "headers": None},
        {"requestContext": {}, "body": JSON_BODY},
    ],
)
def test_every_kind_of_http_event_reaches_the_logic(event: dict[str, Any]) -> None:
    answer = echo(event, None)

    assert answer["statusCode"] == 200
    assert answer["headers"]["Content-Type"] == "application/json"
    assert (parse_body(answer)["artifact_prefix"], parse_body(answer)["prefix"]) == ("job", "60")


@pytest.mark.parametrize(
    "event",
    [
        url_event(body="{"),
        url_event(body="[]"),
        url_event(body="null"),
        url_event(body='"job"'),
        url_event(body="not base64!", isBase64Encoded=True),
        url_event(body="[" * 100_000),
        url_event(body={"artifact_prefix": "job"}),
        url_event(),
        url_event("GET", rawQueryString="expires_in=5"),
        url_event(body=json.dumps({"artifact_prefix": "job", "unknown": "x" * MAX_CHARACTERS})),
        url_event(body="A" * (MAX_CHARACTERS + 1), isBase64Encoded=True),
        url_event("GET", rawQueryString="artifact_prefix=job&unknown=" + "x" * MAX_CHARACTERS),
        url_event("GET", rawQueryString="&".join(f"a{number}=1" for number in range(10_000))),
        url_event(body=json.dumps({"artifact_prefix": "job", "expires_in": True})),
        url_event(body=json.dumps({"artifact_prefix": "job\n"})),
        url_event(body=json.dumps({"artifact_prefix": "a" * 81})),
    ],
)
def test_what_is_malformed_is_refused(event: dict[str, Any]) -> None:
    answer = echo(event, None)

    assert answer["statusCode"] == 400
    assert parse_body(answer)["status"] == "FAILED"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RequestError("wrong"), 400),
        (CancelForbiddenError("no"), 403),
        (JobMissingError("no such job"), 404),
        (JobNameTakenError("job", "taken"), 409),
        (TooManyJobsError(20, 60), 429),
        (AwsServiceError("The job cannot be started", "AccessDenied"), 500),
    ],
)
def test_every_error_has_its_status_and_its_reason_is_in_the_log(
    error: Exception, code: int, records: io.StringIO
) -> None:
    answer = failing(error)(url_event(body=JSON_BODY), None)

    assert (answer["statusCode"], parse_body(answer)["error"]) == (code, str(error))
    record = json.loads(records.getvalue().splitlines()[-1])
    assert (record["error"], record["artifact_prefix"]) == (str(error), "job")


def test_a_service_that_is_full_says_when_to_ask_again() -> None:
    answer = failing(TooManyJobsError(20, 60))(url_event(body=JSON_BODY), None)

    assert answer["headers"]["Retry-After"] == "60"
    assert "20 jobs at a time" in parse_body(answer)["error"]
    assert "Retry-After" not in failing(RequestError("wrong"))(url_event(body=JSON_BODY), None)["headers"]


@pytest.mark.parametrize("request_type", [SubmitRequest, StatusRequest, LogsRequest, ResultsRequest])
def test_every_text_of_a_request_has_a_greatest_length(request_type: type[Request]) -> None:
    schema = request_type.model_json_schema()
    for name, described in schema["properties"].items():
        for kind in described.get("anyOf", [described]):
            if kind.get("type") == "string":
                assert kind.get("maxLength") or "{1,80}" in kind.get("pattern", ""), name
            if kind.get("type") == "integer":
                assert "maximum" in kind, name


def test_the_longest_request_that_a_model_admits_is_short_enough_to_be_read() -> None:
    longest = {
        "meta_analysis_id": "x" * 128,
        "artifact_prefix": "x" * 80,
        "environment": "x" * 64,
        "nsc_key": "x" * MAX_KEY_CHARACTERS,
        "nv_key": "x" * MAX_KEY_CHARACTERS,
    }
    submit = lambda_http.serves(SUBMIT)(lambda request, call: REPLY)

    assert submit(url_event(body=json.dumps(longest)), None)["statusCode"] == 202


@pytest.mark.parametrize("error", [KeyError("detail"), FunctionSettingsError("detail")])
def test_an_error_that_nobody_foresaw_tells_the_client_nothing_and_the_log_everything(
    error: Exception, records: io.StringIO
) -> None:
    answer = failing(error)(url_event(body=JSON_BODY), None)

    assert answer["statusCode"] == 500
    assert parse_body(answer) == {"status": "FAILED", "error": lambda_http.INTERNAL_ERROR}
    assert "detail" in records.getvalue()


def test_a_direct_invocation_gets_the_body_or_the_error_itself() -> None:
    assert echo({"artifact_prefix": "job"}, None)["prefix"] == "900"
    with pytest.raises(JobMissingError):
        failing(JobMissingError("no such job"))({"artifact_prefix": "job"}, None)


def test_a_method_that_a_function_has_not_is_told_with_those_it_has() -> None:
    answer = echo(url_event("PATCH", body=JSON_BODY), None)

    assert (answer["statusCode"], answer["headers"]["Allow"]) == (405, "POST, GET, OPTIONS")


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        ("", "https://a.example", None),
        ("*", "https://a.example", "*"),
        ("https://a.example, https://b.example", "https://b.example", "https://b.example"),
        ("https://a.example/", "https://a.example", "https://a.example"),
        ("https://a.example", "https://evil.example", None),
        ("https://a.example", None, None),
    ],
)
def test_only_the_configured_origins_may_read_answers(
    monkeypatch: pytest.MonkeyPatch, origins: str, origin: str | None, allowed: str | None
) -> None:
    monkeypatch.setenv("CORS_ORIGINS", origins)
    headers = {} if origin is None else {"Origin": origin}

    for event in (url_event(body=JSON_BODY, headers=headers), url_event("OPTIONS", headers=headers)):
        assert echo(event, None)["headers"].get("Access-Control-Allow-Origin") == allowed


def test_the_last_part_of_the_path_may_be_the_job() -> None:
    seen: list[str] = []

    @lambda_http.serves(STATUS)
    def status(request: StatusRequest, call: Call) -> StatusReply:
        seen.append(request.job_id)
        raise JobMissingError("no such job")

    status(url_event("GET", rawPath="/jobs/arn%3Aaws%3Astates"), None)
    status(url_event("GET", rawPath="/jobs/arn:aws:states"), None)

    assert seen == ["arn:aws:states"] * 2


def test_a_number_that_json_has_not_becomes_null() -> None:
    @lambda_http.serves(STATUS)
    def status(request: StatusRequest, call: Call) -> StatusReply:
        return StatusReply.model_construct(
            _fields_set={"result"}, job_id="", artifact_prefix="", status="SUCCEEDED", result={"z": float("nan")}
        )

    assert '"z":null' in status(url_event(body='{"job_id": "x"}'), None)["body"]


def test_the_keys_of_one_request_are_not_in_the_records_of_the_next(records: io.StringIO) -> None:
    echo(url_event(body=json.dumps({"artifact_prefix": "first"})), None)
    echo(url_event(body="{"), None)

    assert "first" not in records.getvalue()


@pytest.mark.parametrize("key", ["", "x" * 256, "line\nbreak", "é"])
def test_an_idempotency_key_of_another_form_is_refused_by_name(key: str) -> None:
    with pytest.raises(RequestError, match="Idempotency-Key"):
        lambda_http.read_idempotency_key(Call(headers={"idempotency-key": key}))


def test_null_and_empty_count_as_absent() -> None:
    request = SubmitRequest.model_validate(
        {"meta_analysis_id": "abc", "environment": None, "no_upload": None, "artifact_prefix": "", "n_cores": "",
         "nsc_key": "", "nv_key": None}
    )  # fmt: skip

    assert request == SubmitRequest(meta_analysis_id="abc")


@pytest.mark.parametrize(
    "field",
    [
        {"meta_analysis_id": " "},
        {"meta_analysis_id": 5},
        {"meta_analysis_id": "a\x00b"},
        {"environment": ["production"]},
        {"no_upload": "maybe"},
        {"artifact_prefix": "a/b"},
        {"artifact_prefix": 7},
        {"n_cores": 0},
        {"n_cores": -1},
        {"n_cores": 1.5},
        {"n_cores": True},
        {"n_cores": "two"},
        {"nsc_key": 1},
        {"nv_key": "two\nlines"},
    ],
)
def test_a_field_of_the_wrong_type_or_form_is_named_and_its_value_is_not_repeated(field: dict[str, Any]) -> None:
    submit = lambda_http.serves(SUBMIT)(lambda request, call: REPLY)

    answer = submit(url_event(body=json.dumps({"meta_analysis_id": "abc", **field})), None)

    assert answer["statusCode"] == 400
    assert next(iter(field)) in parse_body(answer)["error"]
