"""Every sample event gets the answer that its name promises, from the handlers that are deployed."""

from __future__ import annotations

import importlib
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import embedded_aws as embedded
from tests.support.sample_events import NAMES, event, expected_status

if TYPE_CHECKING:
    from collections.abc import Iterator


def answer_to(name: str, sent: dict[str, Any] | None = None) -> dict[str, Any]:
    module = importlib.import_module(f"functions.{name.split('-')[0]}.app")
    answered: dict[str, Any] = module.handler(event(name) if sent is None else sent, None)
    return answered


def parse_body(answer: dict[str, Any]) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(answer["body"])
    return loaded


@pytest.fixture(scope="module")
def server() -> Iterator[embedded.SampleAws]:
    with embedded.embedded_aws() as aws:
        yield aws


@pytest.fixture(autouse=True)
def aws(server: embedded.SampleAws) -> embedded.SampleAws:
    embedded.prepare(server)
    return server


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith("-direct")])
def test_each_sample_event_gets_the_status_that_its_name_promises(name: str) -> None:
    answer = answer_to(name)

    assert answer["statusCode"] == expected_status(name), answer["body"]
    if answer["statusCode"] >= 400:
        body = parse_body(answer)
        assert body["status"] == "FAILED"
        assert body["error"]


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("-direct")])
def test_a_direct_invocation_gets_the_bare_body(name: str) -> None:
    answer = answer_to(name)

    assert "statusCode" not in answer
    assert answer["artifact_prefix"]


@pytest.mark.parametrize(
    ("function", "payload"), [("submit", {}), ("status", {}), ("logs", {}), ("results", {}), ("submit", [])]
)
def test_a_direct_invocation_sees_errors_raised(function: str, payload: Any) -> None:
    with pytest.raises(ValueError, match=r"required|JSON object"):
        importlib.import_module(f"functions.{function}.app").handler(payload, None)


def test_an_accepted_job_gets_the_contracts_answer_and_input(aws: embedded.SampleAws) -> None:
    body = parse_body(answer_to("submit-accepted"))

    name = body["artifact_prefix"]
    assert body == {
        "job_id": f"{embedded.JOBS}{name}",
        "artifact_prefix": name,
        "status": "SUBMITTED",
        "status_url": f"/jobs/{embedded.JOBS}{name}",
    }
    assert aws.inputs()[name] == {
        "artifact_prefix": name,
        "meta_analysis_id": "mHtoV82Dmnm9",
        "environment": "production",
        "no_upload": "true",
        "n_cores": "",
        "task_size": "standard",
        "results": {"bucket": embedded.BUCKET, "prefix": embedded.PREFIX},
    }


def test_a_monte_carlo_correction_gets_the_large_task(aws: embedded.SampleAws) -> None:
    answer = answer_to("submit-direct", {"meta_analysis_id": "large0000001"})

    assert aws.inputs()[answer["artifact_prefix"]]["task_size"] == "large"


def test_an_impossible_specification_is_a_job_that_fails_at_once_and_says_why(aws: embedded.SampleAws) -> None:
    body = parse_body(answer_to("submit-impossible-specification"))

    name = body["artifact_prefix"]
    assert body["status"] == "SUBMITTED"
    assert "NoSuchEstimator" in body["error"]
    assert aws.inputs()[name]["refused"] == {"error": "SpecificationRefused", "cause": body["error"]}
    logs = answer_to("logs-direct", {"artifact_prefix": name})
    (record,) = [json.loads(entry["message"]) for entry in logs["events"]]
    assert (record["message"], record["error"]) == ("workflow.failed", body["error"])


def test_a_log_that_takes_no_record_changes_nothing_of_a_refused_job(
    monkeypatch: pytest.MonkeyPatch, aws: embedded.SampleAws
) -> None:
    monkeypatch.setenv("RUNNER_LOG_GROUP", "/no/such/group")

    answer = answer_to("submit-impossible-specification")

    assert answer["statusCode"] == 202
    assert parse_body(answer)["artifact_prefix"] in aws.inputs()


def test_more_iterations_than_the_deployment_allows_are_a_job_that_fails_at_once(
    monkeypatch: pytest.MonkeyPatch, aws: embedded.SampleAws
) -> None:
    monkeypatch.setenv("MAX_ITERATIONS", "99")

    answer = answer_to("submit-direct", {"meta_analysis_id": "large0000001"})

    assert answer["error"].startswith("FWECorrector asks for 100 iterations (n_iters); this service allows 99.")
    assert aws.inputs()[answer["artifact_prefix"]]["refused"]["error"] == "LimitExceeded"


def test_further_jobs_are_turned_away_while_as_many_run_as_may(
    monkeypatch: pytest.MonkeyPatch, aws: embedded.SampleAws
) -> None:
    before = set(aws.inputs())
    monkeypatch.setenv("MAX_RUNNING_JOBS", "1")  # sample-running is one

    answer = answer_to("submit-accepted-with-keys")

    assert answer["statusCode"] == 429
    assert int(answer["headers"]["Retry-After"]) > 0
    assert parse_body(answer) == {
        "status": "FAILED",
        "error": "The service runs one job at a time, and no more can start now. Submit again later.",
    }
    assert set(aws.inputs()) == before
    assert aws.parameters() == {}
    monkeypatch.setenv("MAX_RUNNING_JOBS", "1000")
    assert answer_to("submit-accepted-with-keys")["statusCode"] == 202


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("submit-missing-id", "meta_analysis_id"),
        ("submit-wrong-type", "n_cores"),
        ("submit-malformed-prefix", "artifact_prefix"),
        ("status-missing-id", "job_id"),
        ("status-malformed-id", "job_id"),
        ("status-other-state-machine", "job_id"),
        ("logs-missing-prefix", "artifact_prefix"),
        ("logs-malformed-time", "start_time"),
        ("results-malformed-expiry", "expires_in"),
    ],
)
def test_a_refusal_names_the_field(name: str, field: str) -> None:
    assert field in parse_body(answer_to(name))["error"]


def test_a_taken_name_is_told_with_the_name(aws: embedded.SampleAws) -> None:
    assert parse_body(answer_to("submit-duplicate"))["artifact_prefix"] == "sample-running"


def test_keys_wait_in_the_parameter_store_and_nowhere_else(aws: embedded.SampleAws) -> None:
    answer_to("submit-accepted-with-keys")

    assert aws.parameters() == {
        f"{embedded.KEYS}/sample-with-keys/nsc_key": "sample-upload-key",
        f"{embedded.KEYS}/sample-with-keys/nv_key": "sample-neurovault-key",
    }
    assert "sample-upload-key" not in json.dumps(aws.inputs())


def test_a_repeated_request_with_an_idempotency_key_gets_the_first_answer(aws: embedded.SampleAws) -> None:
    first, second = answer_to("submit-idempotent"), answer_to("submit-idempotent")

    assert second == first
    started = [document for name, document in aws.inputs().items() if not name.startswith("sample-")]
    assert len(started) == 1


def test_another_request_with_the_same_idempotency_key_is_a_conflict() -> None:
    answer_to("submit-idempotent")
    other = event("submit-idempotent")
    other["body"] = json.dumps({**json.loads(other["body"]), "no_upload": False})

    assert answer_to("submit-idempotent", other)["statusCode"] == 409


def test_a_preflight_allows_the_configured_origin_only() -> None:
    allowed = answer_to("submit-preflight")["headers"]
    stranger = event("submit-preflight")
    stranger["headers"]["origin"] = "https://elsewhere.example"

    assert allowed["Access-Control-Allow-Origin"] == "https://compose.neurosynth.org"
    assert "Access-Control-Allow-Origin" not in answer_to("submit-preflight", stranger)["headers"]


def test_a_running_job_shows_its_progress() -> None:
    body = parse_body(answer_to("status-running"))

    assert body["status"] == "RUNNING"
    assert body["progress"]["percent"] == 25.0
    assert body["output"] == {}
    assert datetime.fromisoformat(body["start_time"]).utcoffset() is not None
    assert "stop_time" not in body


def test_a_succeeded_job_shows_its_metadata() -> None:
    body = parse_body(answer_to("status-succeeded"))

    assert (body["status"], body["result"]) == ("SUCCEEDED", embedded.METADATA)
    assert datetime.fromisoformat(body["stop_time"]).utcoffset() is not None


@pytest.mark.parametrize(
    ("name", "status", "sentence"),
    [
        ("status-failed", "FAILED", "Essential container in task exited, exit code 1"),
        ("status-timed-out", "TIMED_OUT", "took longer than it is allowed"),
        ("status-aborted", "ABORTED", "stopped before it was done. An operator stopped it."),
    ],
)
def test_every_bad_end_is_failed_with_a_sentence(name: str, status: str, sentence: str) -> None:
    body = parse_body(answer_to(name))

    assert (body["status"], body["execution_status"]) == ("FAILED", status)
    assert sentence in body["error"]


def test_a_browser_gets_a_page_that_holds_nothing_of_the_job() -> None:
    page = answer_to("status-page")

    assert page["headers"]["Content-Type"] == "text/html; charset=utf-8"
    assert page["body"].startswith("<!doctype html>")
    assert "sample-running" not in page["body"]
    assert page["headers"]["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha256-")


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "application/json, text/html", "text/plain", ""])
def test_every_other_client_gets_the_same_bytes_whatever_it_accepts(accept: str | None) -> None:
    event_ = event("status-page")
    del event_["headers"]["accept"]
    plain = answer_to("status-page", event_)
    if accept is not None:
        event_["headers"]["accept"] = accept

    assert answer_to("status-page", event_) == plain == answer_to("status-by-path")
    assert "logs" not in plain["body"]


def test_a_post_of_a_browser_gets_json() -> None:
    posted = event("status-succeeded")
    posted["headers"]["accept"] = event("status-page")["headers"]["accept"]

    assert answer_to("status-succeeded", posted) == answer_to("status-succeeded")


def test_status_includes_the_log_of_this_job_where_it_is_asked_for() -> None:
    body = parse_body(answer_to("status-with-logs"))

    logs = parse_body(answer_to("logs-records"))
    assert (body["status"], body["logs"]) == ("RUNNING", logs)
    assert "artifacts" not in body  # it runs


def test_status_includes_the_artifacts_of_a_job_that_has_ended() -> None:
    asked = event("status-succeeded")
    asked["body"] = json.dumps({**json.loads(asked["body"]), "include": "artifacts"})
    body = parse_body(answer_to("status-succeeded", asked))

    listed = parse_body(answer_to("results-listed"))["artifacts"]
    assert [one["path"] for one in body["artifacts"]] == [one["path"] for one in listed]
    assert all("X-Amz-Expires=3600" in one["url"] for one in body["artifacts"])
    assert "logs" not in body


def test_a_log_that_cannot_be_read_costs_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNNER_LOG_GROUP", "/no/such/group")
    body = parse_body(answer_to("status-with-logs"))

    assert body["status"] == "RUNNING"
    assert "logs" not in body


@pytest.mark.parametrize("name", ["status-by-query", "status-by-path"])
def test_status_answers_the_address_that_submit_gave(name: str) -> None:
    assert parse_body(answer_to(name))["job_id"] == f"{embedded.JOBS}sample-running"


def test_delete_stops_a_job_where_that_is_allowed(monkeypatch: pytest.MonkeyPatch, aws: embedded.SampleAws) -> None:
    monkeypatch.setenv("ALLOW_CANCEL", "true")
    for job in ("sample-running", "another"):
        aws.client("ssm").put_parameter(Name=f"{embedded.KEYS}/{job}/nsc_key", Value="a-key", Type="SecureString")

    body = parse_body(answer_to("status-cancel"))

    assert (body["status"], body["execution_status"]) == ("FAILED", "ABORTED")
    assert aws.execution("sample-running").status == "ABORTED"
    assert set(aws.parameters()) == {f"{embedded.KEYS}/another/nsc_key"}


def test_delete_leaves_a_job_alone_where_that_is_not_allowed(aws: embedded.SampleAws) -> None:
    answer_to("status-cancel")

    assert aws.execution("sample-running").status == "RUNNING"


def test_logs_hold_this_jobs_records_and_no_others() -> None:
    body = parse_body(answer_to("logs-records"))

    assert [json.loads(entry["message"])["message"] for entry in body["events"]] == [
        "workflow.start",
        "workflow.completed",
    ]
    assert body["events"][0]["timestamp"] == embedded.RECORDS_FROM
    assert body["next_token"] is None


def test_results_list_everything_of_this_job_and_nothing_of_one_that_begins_alike() -> None:
    body = parse_body(answer_to("results-listed"))

    assert [artifact["path"] for artifact in body["artifacts"]] == [
        "metadata.json",
        "report/figures/z.png",
        "z_corr-FDR_method-indep.nii.gz",
    ]
    assert body["artifacts"][1]["filename"] == "z.png"
    assert body["prefix"] == f"{embedded.PREFIX}/sample-succeeded"
    assert "X-Amz-Expires=3600" in body["artifacts"][0]["url"]
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in body["artifacts"][0]["url"]


def test_status_takes_the_jobs_name_in_place_of_its_id_which_counts_where_it_is_given() -> None:
    by_name = answer_to("status-direct", {"artifact_prefix": "sample-running"})
    assert by_name["artifact_prefix"] == "sample-running"
    assert by_name["status"] == "RUNNING"
    by_id = answer_to("status-direct", {"job_id": by_name["job_id"], "artifact_prefix": "another"})
    assert by_id == by_name
