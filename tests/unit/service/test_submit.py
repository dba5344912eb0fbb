"""What submit decides, with executions, keys and Compose in memory."""

from __future__ import annotations

import json
from typing import Any

import pytest

from compose_runner.errors import DocumentMissingError, ServiceUnavailableError
from compose_runner.service import submit as submit_module
from compose_runner.service.contract import SubmitRequest
from compose_runner.service.errors import AwsServiceError, JobNameTakenError, TooManyJobsError
from compose_runner.service.ports import Execution
from compose_runner.service.submit import SubmitService
from compose_runner.specification.limits import JobLimits
from tests.support.job_fakes import (
    STARTED,
    ExecutionsInMemory,
    KeysInMemory,
    RecordsInMemory,
    SpecificationsInMemory,
)
from tests.support.sample_specifications import IMPOSSIBLE_SPECIFICATION, LARGE_SPECIFICATION, STANDARD_SPECIFICATION

JOB = {"meta_analysis_id": "abc"}


class Service:
    """A submit service whose ports a test can look into."""

    def __init__(self, answer: Any = None, **limits: Any) -> None:
        self.executions = ExecutionsInMemory()
        self.keys = KeysInMemory()
        self.compose = SpecificationsInMemory(answer)
        self.records = RecordsInMemory()
        self._service = SubmitService(
            self.executions, self.keys, self.compose, self.records, "bucket", "results", **limits
        )

    def submit(self, key: str | None = None, **fields: Any) -> Any:
        reply = self._service.submit(SubmitRequest.model_validate({**JOB, **fields}), key)
        kept = self.executions.kept[reply.artifact_prefix]
        document = self.executions.documents.get(reply.artifact_prefix)
        if document is not None:
            self.executions.kept[reply.artifact_prefix] = Execution(
                kept.job_id, kept.name, "RUNNING", STARTED, input=json.dumps(document)
            )
        return reply

    @property
    def only_document(self) -> dict[str, Any]:
        (document,) = self.executions.documents.values()
        return document


@pytest.mark.parametrize(
    ("answer", "size"),
    [
        ({"specification": LARGE_SPECIFICATION}, "large"),
        ({"specification": STANDARD_SPECIFICATION}, "standard"),
        ({"specification": "an id instead of a document"}, "standard"),
        ({"specification": None}, "standard"),
        ([], "standard"),
        (ServiceUnavailableError("meta-analysis abc", "http://compose", "no answer"), "standard"),
        (DocumentMissingError("meta-analysis abc", "http://compose", "the service answered 404"), "standard"),
    ],
)
def test_the_specification_chooses_the_size_and_whatever_cannot_be_read_is_standard(answer: Any, size: str) -> None:
    service = Service(answer)

    service.submit()

    assert service.only_document["task_size"] == size


IMPOSSIBLE = {"specification": IMPOSSIBLE_SPECIFICATION}
IN_EXCESS = {
    "specification": {
        **LARGE_SPECIFICATION,
        "corrector": {"type": "FWECorrector", "args": {"method": "montecarlo", "n_iters": 10**7}},
    }
}


@pytest.mark.parametrize(
    ("answer", "name", "text"),
    [
        (IMPOSSIBLE, "SpecificationRefused", "NoSuchEstimator"),
        (IN_EXCESS, "LimitExceeded", "this service allows 5,000"),
    ],
    ids=["cannot-run", "too-much"],
)
def test_what_cannot_run_is_a_job_that_carries_why_and_keeps_no_key(answer: Any, name: str, text: str) -> None:
    service = Service(answer, limits=JobLimits(5000))

    reply = service.submit(nsc_key="key")

    assert (reply.status, reply.job_id) == ("SUBMITTED", f"id-of-{reply.artifact_prefix}")
    refused = service.only_document["refused"]
    assert (refused["error"], refused["cause"]) == (name, reply.error)
    assert text in reply.error
    assert service.keys.kept == {}


def test_what_cannot_run_leaves_one_record_in_the_form_of_the_tasks() -> None:
    service = Service(IMPOSSIBLE)

    reply = service.submit(nsc_key="secret")

    ((job, text),) = service.records.written
    record = json.loads(text)
    assert job == record["artifact_prefix"] == reply.artifact_prefix
    assert (record["message"], record["error"], record["level"]) == ("workflow.failed", reply.error, "ERROR")
    assert "secret" not in text


def test_a_repetition_of_what_cannot_run_gets_the_first_answer_even_after_it_was_mended() -> None:
    service = Service(IMPOSSIBLE)
    first = service.submit("request-1")
    service.compose.answer = {"specification": STANDARD_SPECIFICATION}

    assert service.submit("request-1") == first
    assert first.error
    assert len(service.records.written) == 1


def test_a_job_that_runs_carries_no_refusal_and_the_submission_writes_no_record() -> None:
    service = Service({"specification": LARGE_SPECIFICATION}, limits=JobLimits(100), max_running_jobs=5)

    reply = service.submit()

    assert "error" not in reply.model_dump(exclude_unset=True)
    assert "refused" not in service.only_document
    assert service.records.written == []


def test_the_name_of_what_cannot_run_is_taken() -> None:
    service = Service(IMPOSSIBLE)
    service.submit(artifact_prefix="mine")

    with pytest.raises(JobNameTakenError):
        service.submit(artifact_prefix="mine")
    assert len(service.records.written) == 1


def test_no_more_jobs_run_than_are_allowed_and_no_key_of_a_further_one_is_kept() -> None:
    service = Service(max_running_jobs=2)
    service.submit()
    service.submit()

    with pytest.raises(TooManyJobsError, match="2 jobs at a time") as refused:
        service.submit(nsc_key="key")

    assert refused.value.retry_seconds > 0
    assert len(service.executions.documents) == 2
    assert service.keys.kept == {}


def test_a_job_that_ends_makes_way_for_another() -> None:
    service = Service(max_running_jobs=1)
    first = service.submit()
    service.executions.stop(first.job_id, "done")

    assert service.submit().job_id != first.job_id


def test_a_repetition_of_a_job_that_runs_is_answered_although_no_more_may_run() -> None:
    service = Service(max_running_jobs=1)
    first = service.submit("request-1")

    assert service.submit("request-1") == first


def test_what_cannot_run_takes_nobodys_turn() -> None:
    service = Service({"specification": STANDARD_SPECIFICATION}, max_running_jobs=1)
    service.submit()
    service.compose.answer = IMPOSSIBLE

    assert service.submit().error


@pytest.mark.parametrize(
    ("code", "error"),
    [("ThrottlingException", TooManyJobsError), ("AccessDeniedException", AwsServiceError)],
)
def test_jobs_that_cannot_be_counted_are_not_started(code: str, error: type[Exception]) -> None:
    service = Service(max_running_jobs=1)
    service.executions.cannot_count = AwsServiceError("The running jobs cannot be counted", code)

    with pytest.raises(error):
        service.submit(nsc_key="key")
    assert service.executions.documents == {}
    assert service.keys.kept == {}


def test_a_check_that_breaks_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(document: object) -> None:
        raise KeyError("unforeseen")

    monkeypatch.setattr(submit_module, "parse_specification", broken)
    service = Service({"specification": LARGE_SPECIFICATION})

    service.submit()

    assert service.only_document["task_size"] == "large"


@pytest.mark.parametrize(
    ("name", "environment"),
    [
        ("staging", "staging"),
        ("Development", "development"),
        ("testing", "production"),
        (None, "production"),
        ("", "production"),
    ],
)
def test_an_unknown_environment_counts_as_production(name: str | None, environment: str) -> None:
    service = Service()

    service.submit(environment=name)

    assert service.only_document["environment"] == environment
    assert service.compose.asked == [("abc", environment)]


@pytest.mark.parametrize(("cores", "text"), [(None, ""), ("", ""), (4, "4"), ("4", "4")])
def test_cores_travel_as_a_word(cores: Any, text: str) -> None:
    service = Service()

    service.submit(n_cores=cores)

    assert service.only_document["n_cores"] == text


def test_keys_are_kept_before_the_start_and_are_not_in_the_input() -> None:
    service = Service()

    reply = service.submit(nsc_key="secret-1", nv_key="secret-2")

    assert service.keys.kept == {reply.artifact_prefix: {"nsc_key": "secret-1", "nv_key": "secret-2"}}
    assert "secret" not in json.dumps(service.only_document)


def test_keys_are_taken_back_when_the_start_fails() -> None:
    service = Service()
    service.executions.refuses = AwsServiceError("The job cannot be started", "AccessDenied")

    with pytest.raises(AwsServiceError, match="AccessDenied"):
        service.submit(nsc_key="secret")

    assert service.keys.kept == {}


def test_two_jobs_without_a_name_get_different_ones() -> None:
    service = Service()

    assert service.submit().artifact_prefix != service.submit().artifact_prefix


def test_a_taken_name_is_refused_even_for_the_same_request() -> None:
    service = Service()
    service.submit(artifact_prefix="mine")

    with pytest.raises(JobNameTakenError, match="artifact_prefix") as refused:
        service.submit(artifact_prefix="mine")

    assert refused.value.artifact_prefix == "mine"


def test_a_name_that_is_taken_between_look_and_start_is_refused() -> None:
    service = Service()
    service.executions.appears_while_starting = Execution("id-of-mine", "mine", "RUNNING", STARTED, input="{}")

    with pytest.raises(JobNameTakenError):
        service.submit(artifact_prefix="mine", nsc_key="secret")

    assert service.keys.kept == {}


def test_the_same_request_with_the_same_idempotency_key_gets_the_first_answer() -> None:
    service = Service({"specification": LARGE_SPECIFICATION})
    first = service.submit("request-1")
    service.compose.answer = ServiceUnavailableError("meta-analysis abc", "http://compose", "no answer")

    assert service.submit("request-1") == first
    assert service.submit("request-2") != first


def test_another_request_with_the_same_idempotency_key_is_refused() -> None:
    service = Service()
    service.submit("request-1")

    with pytest.raises(JobNameTakenError, match="Idempotency-Key"):
        service.submit("request-1", no_upload=True)


def test_an_idempotency_key_does_not_open_a_job_of_another_making() -> None:
    service = Service()
    service.executions.kept["mine"] = Execution("id-of-mine", "mine", "RUNNING", STARTED, input="not JSON")

    with pytest.raises(JobNameTakenError):
        service.submit("request-1", artifact_prefix="mine")
