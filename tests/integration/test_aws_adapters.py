"""The adapters against an AWS over real HTTP: pages, refusals, keys, traces."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from compose_runner.compose.meta_analyses import ComposeSpecifications
from compose_runner.errors import DocumentMissingError, ServiceUnavailableError
from compose_runner.service.aws import clients, executions
from compose_runner.service.aws.artifacts import S3Artifacts
from compose_runner.service.aws.executions import StepFunctionsExecutions
from compose_runner.service.aws.keys import SsmUploadKeys
from compose_runner.service.aws.records import CloudWatchRecords
from compose_runner.service.errors import AwsServiceError, JobNameTakenError, RequestError
from compose_runner.service.ports import Window
from compose_runner.service.storage import JobPaths
from tests.support import embedded_aws as embedded
from tests.support.compose_stand_in import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def server() -> Iterator[embedded.SampleAws]:
    with embedded.embedded_aws() as aws:
        yield aws


@pytest.fixture
def aws(server: embedded.SampleAws) -> embedded.SampleAws:
    embedded.prepare(server)
    return server


def test_a_listing_follows_every_page(aws: embedded.SampleAws) -> None:
    folder = JobPaths(embedded.PREFIX, "many").folder
    names = {f"{folder}/{number:04d}" for number in range(1_005)}
    aws.put_quickly(*names)

    assert {stored.key for stored in S3Artifacts(embedded.BUCKET).below(folder)} == names


def test_anyone_can_fetch_a_presigned_address(aws: embedded.SampleAws) -> None:
    address = S3Artifacts(embedded.BUCKET).address(JobPaths(embedded.PREFIX, "sample-succeeded").metadata, 60)

    with urllib.request.urlopen(address) as answer:
        assert json.load(answer) == embedded.METADATA


def test_an_object_that_is_missing_differs_from_one_that_cannot_be_read(aws: embedded.SampleAws) -> None:
    aws.put("broken.json", b"{")

    assert S3Artifacts(embedded.BUCKET).document("missing.json") is None
    with pytest.raises(AwsServiceError, match="not JSON"):
        S3Artifacts(embedded.BUCKET).document("broken.json")
    with pytest.raises(AwsServiceError, match="NoSuchBucket"):
        S3Artifacts("no-such-bucket").document("metadata.json")
    with pytest.raises(AwsServiceError, match="NoSuchBucket"):
        list(S3Artifacts("no-such-bucket").below("folder"))


def test_an_object_that_must_not_be_read_counts_as_missing(
    aws: embedded.SampleAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = ClientError({"Error": {"Code": "AccessDenied", "Message": "not authorized"}}, "GetObject")

    def refused(**_: object) -> None:
        raise refusal

    monkeypatch.setattr(clients.client("s3"), "get_object", refused)

    assert S3Artifacts(embedded.BUCKET).document("missing.json") is None


def test_the_keys_of_a_job_are_encrypted_and_never_replaced(aws: embedded.SampleAws) -> None:
    store = SsmUploadKeys(embedded.KEYS)
    store.keep("job", {"nsc_key": "first"})

    with pytest.raises(JobNameTakenError):
        store.keep("job", {"nv_key": "second", "nsc_key": "second"})

    assert aws.parameters() == {f"{embedded.KEYS}/job/nsc_key": "first"}
    described = aws.client("ssm").get_parameter(Name=f"{embedded.KEYS}/job/nsc_key")["Parameter"]
    assert described["Type"] == "SecureString"
    assert described["Value"] != "first"


def test_forgetting_a_key_that_is_gone_is_no_error(aws: embedded.SampleAws, capsys: pytest.CaptureFixture[str]) -> None:
    store = SsmUploadKeys(embedded.KEYS)
    store.keep("job", {"nv_key": "left"})

    store.forget("job", ["nsc_key", "nv_key"])

    assert aws.parameters() == {}
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "job_id",
    [
        "",
        "sample-running",
        embedded.STATE_MACHINE,
        embedded.JOBS,
        f"{embedded.JOBS}a/b",
        f"{embedded.JOBS}sample-running:extra",
        embedded.JOBS.replace(":compose-runner:", ":compose-runner-2:") + "sample-running",
        embedded.JOBS.replace(embedded.ACCOUNT, "210987654321") + "sample-running",
    ],
)
def test_an_id_that_is_none_of_ours_never_reaches_the_engine(job_id: str, aws: embedded.SampleAws) -> None:
    with pytest.raises(RequestError, match="job_id"):
        StepFunctionsExecutions(embedded.STATE_MACHINE).parse_name(job_id)


def test_the_engine_tells_a_taken_name_and_a_missing_job(aws: embedded.SampleAws) -> None:
    jobs = StepFunctionsExecutions(embedded.STATE_MACHINE)

    with pytest.raises(JobNameTakenError):
        jobs.start("sample-running", {"different": True})
    assert jobs.find(jobs.job_id("sample-unknown")) is None
    with pytest.raises(AwsServiceError, match="cannot be stopped"):
        jobs.stop(jobs.job_id("sample-unknown"), "reason")


def test_running_executions_are_counted_over_pages_and_no_further_than_asked(
    aws: embedded.SampleAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = StepFunctionsExecutions(embedded.STATE_MACHINE)
    for number in range(6):
        aws.start(f"more-{number}")
    asked: list[int] = []
    clients.client("stepfunctions").meta.events.register(
        "before-call.stepfunctions.ListExecutions", lambda **_: asked.append(1)
    )

    # sample-running is the seventh; those that have ended do not count
    assert [jobs.running(most) for most in (1, 7, 20)] == [1, 7, 7]
    assert len(asked) == 3
    monkeypatch.setattr(executions, "_LARGEST_PAGE", 2)
    assert [jobs.running(most) for most in (3, 20)] == [3, 7]
    assert len(asked) == 3 + 2 + 4
    with pytest.raises(AwsServiceError, match="cannot be counted"):
        StepFunctionsExecutions(embedded.STATE_MACHINE.replace("compose-runner", "deleted")).running(1)


def test_the_record_of_a_job_without_a_task_is_written_once(aws: embedded.SampleAws) -> None:
    log = CloudWatchRecords(embedded.LOG_GROUP)
    text = embedded.record("refused", "workflow.failed")

    log.write("refused", text)
    log.write("refused", text)

    # the embedded CloudWatch gives the records of other jobs as well
    assert [line for _, line in log.page("refused", Window(0, None)).records if line == text] == [text]


def test_a_log_group_that_does_not_exist_is_an_error_of_the_deployment(aws: embedded.SampleAws) -> None:
    with pytest.raises(AwsServiceError, match="ResourceNotFoundException"):
        CloudWatchRecords("/no/such/group").page("job", Window(0, None))


def test_a_client_belongs_to_the_endpoint_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch, aws: embedded.SampleAws
) -> None:
    here = clients.client("logs")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")

    elsewhere = clients.client("logs")

    assert here.meta.endpoint_url == aws.endpoint
    assert elsewhere.meta.endpoint_url == "http://127.0.0.1:9"
    assert clients.client("logs") is elsewhere


def test_clients_made_after_forgetting_have_the_credentials_of_now(
    monkeypatch: pytest.MonkeyPatch, aws: embedded.SampleAws
) -> None:
    before = S3Artifacts(embedded.BUCKET).address("key", 60)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "RENEWED")
    clients.forget()

    after = S3Artifacts(embedded.BUCKET).address("key", 60)

    assert "Credential=RENEWED%2F" in after
    assert "RENEWED" not in before


def test_a_slow_compose_keeps_a_client_waiting_no_longer_than_the_deadline(aws: embedded.SampleAws) -> None:
    never = threading.Event()
    aws.compose.fail("GET", "meta-analyses/slow", Answer(hold=never))

    with pytest.raises(ServiceUnavailableError, match=r"no answer (within|\(it took too long)"):
        ComposeSpecifications(deadline_seconds=0.05).meta_analysis("slow", "production")
    never.set()


def test_an_id_cannot_lead_to_another_document(aws: embedded.SampleAws) -> None:
    with pytest.raises(DocumentMissingError):
        ComposeSpecifications().meta_analysis("../meta-analyses/mHtoV82Dmnm9", "production")


@pytest.mark.parametrize("function", ["submit", "status", "logs", "results"])
def test_a_function_loads_nothing_heavy(function: str) -> None:
    program = (
        f"import functions.{function}.app, gc, sys;"
        "assert gc.isenabled() and gc.get_freeze_count();"
        "heavy = {'nimare', 'numpy', 'pandas', 'aws_xray_sdk', 'pydantic_settings',"
        " 'compose_runner.analysis', 'compose_runner.local', 'click', 'rich'};"
        "sys.exit(str(sorted(heavy & set(sys.modules)) or ''))"
    )

    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=False)

    assert done.stderr.strip() == ""
