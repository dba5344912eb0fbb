"""Records and metrics say whose they are, also when requests share a process."""

from __future__ import annotations

import io
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from compose_runner.service import log_events, observability
from compose_runner.service.contract import SubmitRequest
from compose_runner.service.submit import SubmitService
from tests.support.job_fakes import ExecutionsInMemory, KeysInMemory, RecordsInMemory, SpecificationsInMemory
from tests.support.sample_specifications import IMPOSSIBLE_SPECIFICATION, LARGE_SPECIFICATION


def test_requests_in_parallel_keep_their_names_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = io.StringIO()
    monkeypatch.setattr(observability.logger.registered_handler, "stream", lines)
    together = threading.Barrier(4)

    def serve(name: str) -> None:
        observability.begin_request(f"request of {name}")
        observability.follow_job(name)
        together.wait()
        observability.logger.info("served", extra={"expected": name})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(serve, ["a", "b", "c", "d"]))

    records = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert len(records) == 4
    for record in records:
        assert record["artifact_prefix"] == record["expected"]
        assert record["function_request_id"] == f"request of {record['expected']}"


@pytest.mark.parametrize(
    ("message", "fields", "sentence"),
    [
        ("workflow.start", {}, "The analysis begins."),
        ("workflow.failed", {"error": "No study has {foci}."}, "The job failed: No study has {foci}."),
        ("workflow.stage", {"stage": "fit"}, "The job is at the stage: fit."),
        ("NiMARE's own words", {}, None),
    ],
)
def test_a_record_begins_with_its_message_and_says_an_event_in_words(
    monkeypatch: pytest.MonkeyPatch, message: str, fields: dict[str, str], sentence: str | None
) -> None:
    lines = io.StringIO()
    monkeypatch.setattr(observability.logger.registered_handler, "stream", lines)
    observability.logger.info(message, extra=fields)
    record = json.loads(lines.getvalue())
    # programs find an event by its name, which stays the whole message
    assert record["message"] == message
    assert record.get("sentence") == sentence
    assert list(record)[: 2 if sentence is None else 3] == (
        ["message", "level"] if sentence is None else ["message", "sentence", "level"]
    )


def test_every_event_has_a_sentence_whose_fields_are_optional() -> None:
    events = {
        value
        for name, value in vars(log_events).items()
        if name.isupper() and isinstance(value, str) and name != "ARTIFACT_PREFIX"
    }
    assert events == set(log_events.SENTENCES)


def read_metrics(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, object]]:
    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    return {document["_aws"]["CloudWatchMetrics"][0]["Metrics"][0]["Name"]: document for document in documents}


def submit_service(specification: object) -> SubmitService:
    compose = SpecificationsInMemory({"specification": specification})
    return SubmitService(ExecutionsInMemory(), KeysInMemory(), compose, RecordsInMemory(), "bucket", "results")


def test_a_submitted_job_is_counted_by_environment_and_size(capsys: pytest.CaptureFixture[str]) -> None:
    submit_service(LARGE_SPECIFICATION).submit(SubmitRequest(meta_analysis_id="abc", environment="staging"))

    counted = read_metrics(capsys)["JobsSubmitted"]
    assert counted["JobsSubmitted"] == [1.0]
    assert (counted["environment"], counted["task_size"]) == ("staging", "large")


def test_a_refused_job_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    submit_service(IMPOSSIBLE_SPECIFICATION).submit(SubmitRequest(meta_analysis_id="abc"))

    counted = read_metrics(capsys)
    assert counted["JobsRefused"]["environment"] == "production"
    assert "JobsSubmitted" not in counted
