"""A bundle that is sent is checked before anything is kept or started."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from pydantic import ValidationError

from compose_runner.local.sent_bundles import SentBundles
from compose_runner.local.state.directory import StateDirectory
from compose_runner.service.errors import AwsServiceError, JobNameTakenError, RequestError, TooManyJobsError
from compose_runner.service.settings import SubmitSettings
from tests.support.pages_service import job_id
from tests.support.sample_specifications import (
    IMPOSSIBLE_SPECIFICATION,
    LARGE_SPECIFICATION,
    STANDARD_SPECIFICATION,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUNDLE = {"studyset": {"id": "s"}, "annotation": {"id": "a"}, "specification": STANDARD_SPECIFICATION}
VARIABLES = {
    "STATE_MACHINE_ARN": "machine",
    "RESULTS_BUCKET": "bucket",
    "RESULTS_PREFIX": "results",
    "RUNNER_LOG_GROUP": "/task",
}


class States:
    """Step Functions as far as a bundle needs it."""

    def __init__(self, code: str | None = None, running: int = 0) -> None:
        self.started: list[dict[str, Any]] = []
        self.running = running
        self.code = code

    def start_execution(self, **request: Any) -> None:
        if self.code:
            raise ClientError({"Error": {"Code": self.code, "Message": "no"}}, "StartExecution")
        self.started.append({**request, "input": json.loads(request["input"])})

    def list_executions(self, **_request: Any) -> dict[str, Any]:
        return {"executions": [{}] * self.running}


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[StateDirectory]:
    state_directory = StateDirectory(tmp_path)
    yield state_directory
    state_directory.close()


def make(directory: StateDirectory, states: States, **variables: str) -> SentBundles:
    return SentBundles(directory, states, job_id, SubmitSettings.read({**VARIABLES, **variables}))


def packed(**changes: Any) -> bytes:
    return json.dumps({**BUNDLE, **changes}).encode()


@pytest.mark.parametrize(
    ("specification", "size"), [(STANDARD_SPECIFICATION, "standard"), (LARGE_SPECIFICATION, "large")]
)
def test_a_bundle_is_kept_for_its_owner_alone_and_started_without_an_upload(
    directory: StateDirectory, specification: dict[str, Any], size: str
) -> None:
    states = States()
    content = packed(specification=specification, meta_analysis={"id": "abc123"})

    reply = make(directory, states).start(content, "mine", "2")

    path = directory.bundles.path("mine")
    assert path.read_bytes() == content
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (reply.job_id, reply.status_url) == (job_id("mine"), f"/jobs/{job_id('mine')}")
    (started,) = states.started
    assert started["name"] == "mine"
    assert started["input"] == {
        "artifact_prefix": "mine",
        "meta_analysis_id": "abc123",
        "environment": "production",
        "no_upload": "true",
        "n_cores": "2",
        "task_size": size,
        "results": {"bucket": "bucket", "prefix": "results"},
    }


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "no studyset"),
        (b"[" * 100_000, "nested"),
        (b'{"studyset": {}, "studyset": {}}', "stands twice"),
        (packed(annotation=None), "no annotation"),
        (packed(annotation=[]), "no annotation"),
        (packed(studyset="../../etc/passwd"), "no studyset"),
        (packed(specification={}), "specification"),
        (packed(specification=IMPOSSIBLE_SPECIFICATION), "NoSuchEstimator"),
        (packed(note=10**40), "64 bits"),
    ],
)
def test_what_is_no_bundle_is_refused_and_leaves_nothing(directory: StateDirectory, content: bytes, said: str) -> None:
    states = States()

    with pytest.raises(RequestError, match=said):
        make(directory, states).start(content, "mine")

    assert states.started == []
    assert list(directory.bundles.folder.iterdir()) == []


def test_more_iterations_than_are_allowed_are_refused(directory: StateDirectory) -> None:
    with pytest.raises(RequestError, match="this service allows 99"):
        make(directory, States(), MAX_ITERATIONS="99").start(packed(specification=LARGE_SPECIFICATION))


@pytest.mark.parametrize("name", ["../x", "a b", "a/b", "x" * 81, "a.json"])
def test_a_name_that_is_none_makes_no_file(directory: StateDirectory, name: str) -> None:
    with pytest.raises(ValidationError):
        make(directory, States()).start(packed(), name)

    assert list(directory.bundles.folder.iterdir()) == []


@pytest.mark.parametrize("about", [None, [], {"id": 3}, {"id": ""}, {"id": "x" * 200}, {"id": "a\nb"}, {"name": "n"}])
def test_a_label_that_is_none_is_left_out(directory: StateDirectory, about: Any) -> None:
    states = States()
    make(directory, states).start(packed(meta_analysis=about))

    assert states.started[0]["input"]["meta_analysis_id"] == "bundle"


def test_a_taken_name_keeps_its_bundle(directory: StateDirectory) -> None:
    directory.jobs.write({"name": "mine", "status": "RUNNING"})
    directory.bundles.write("mine", b"the first one")

    with pytest.raises(JobNameTakenError):
        make(directory, States()).start(packed(), "mine")

    assert directory.bundles.path("mine").read_bytes() == b"the first one"


@pytest.mark.parametrize(
    ("code", "error"), [("ExecutionAlreadyExists", JobNameTakenError), ("Throttled", AwsServiceError)]
)
def test_a_job_that_is_not_started_keeps_no_bundle(
    directory: StateDirectory, code: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        make(directory, States(code)).start(packed(), "mine")

    assert not directory.bundles.knows("mine")


def test_as_many_jobs_run_as_the_parameter_allows(directory: StateDirectory) -> None:
    with pytest.raises(TooManyJobsError):
        make(directory, States(running=2), MAX_RUNNING_JOBS="2").start(packed())
    make(directory, States(running=1), MAX_RUNNING_JOBS="2").start(packed())
