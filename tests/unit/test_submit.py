"""What submit decides, with the engine, the keys and Compose in memory."""

from __future__ import annotations

import json
from typing import Any

import pytest

from compose_runner.contract import SubmitRequest
from compose_runner.errors import DocumentMissingError, ServiceUnavailableError
from compose_runner.jobs import submit as submit_module
from compose_runner.jobs.errors import EngineError, JobExistsError, RequestError
from compose_runner.jobs.ports import Execution
from compose_runner.jobs.submit import Submission
from tests.embedded_aws import IMPOSSIBLE_SPECIFICATION, LARGE_SPECIFICATION, STANDARD_SPECIFICATION
from tests.job_fakes import STARTED, ExecutionsInMemory, KeysInMemory, SpecificationsInMemory

JOB = {"meta_analysis_id": "abc"}


class Service:
    """A submission whose ports a test can look into."""

    def __init__(self, answer: Any = None) -> None:
        self.executions = ExecutionsInMemory()
        self.keys = KeysInMemory()
        self.compose = SpecificationsInMemory(answer)
        self._submission = Submission(self.executions, self.keys, self.compose, "bucket", "results")

    def submit(self, key: str | None = None, **fields: Any) -> Any:
        reply = self._submission.submit(SubmitRequest.model_validate({**JOB, **fields}), key)
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


def test_a_specification_that_cannot_run_is_refused_and_nothing_is_started() -> None:
    service = Service({"specification": IMPOSSIBLE_SPECIFICATION})

    with pytest.raises(RequestError, match="NoSuchEstimator"):
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
    ("word", "environment"),
    [
        ("staging", "staging"),
        ("Development", "development"),
        ("testing", "production"),
        (None, "production"),
        ("", "production"),
    ],
)
def test_an_unknown_environment_counts_as_production(word: str | None, environment: str) -> None:
    service = Service()

    service.submit(environment=word)

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
    service.executions.refuses = EngineError("The job cannot be started", "AccessDenied")

    with pytest.raises(EngineError, match="AccessDenied"):
        service.submit(nsc_key="secret")

    assert service.keys.kept == {}


def test_two_jobs_without_a_name_get_different_ones() -> None:
    service = Service()

    assert service.submit().artifact_prefix != service.submit().artifact_prefix


def test_a_taken_name_is_refused_even_for_the_same_request() -> None:
    service = Service()
    service.submit(artifact_prefix="mine")

    with pytest.raises(JobExistsError, match="artifact_prefix") as refused:
        service.submit(artifact_prefix="mine")

    assert refused.value.artifact_prefix == "mine"


def test_a_name_that_is_taken_between_look_and_start_is_refused() -> None:
    service = Service()
    service.executions.appears_while_starting = Execution("id-of-mine", "mine", "RUNNING", STARTED, input="{}")

    with pytest.raises(JobExistsError):
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

    with pytest.raises(JobExistsError, match="Idempotency-Key"):
        service.submit("request-1", no_upload=True)


def test_an_idempotency_key_does_not_open_a_job_of_another_making() -> None:
    service = Service()
    service.executions.kept["mine"] = Execution("id-of-mine", "mine", "RUNNING", STARTED, input="not JSON")

    with pytest.raises(JobExistsError):
        service.submit("request-1", artifact_prefix="mine")
