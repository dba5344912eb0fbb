"""The task as Fargate runs it: a process with an environment, a log, an exit code, S3 and Parameter Store around it."""

from __future__ import annotations

import json
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.support.faulty_s3 import Fault, s3_with
from tests.support.task_process import BUCKET, KEY, PREFIX, Surroundings, storage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compose_runner.local.aws.emulator import EmbeddedAws

# stands for the analysis: writes what a run writes, then does what BEHAVIOUR says
STUB = """
import json, logging, os, sys, time, warnings
from types import SimpleNamespace
import task.main
from compose_runner.analysis.write.result_directory import ResultDirectory
from compose_runner.errors import AnalysisError, ServiceUnavailableError
from compose_runner.progress import Stage

def publish(result_dir, nsc_key):
    logging.getLogger("compose").info("publishing with %s", nsc_key)
    return "https://compose.neurosynth.org/meta-analyses/ataCTPAt2LMw"

def run_job(meta_analysis_id, *, result_dir, nsc_key, progress, upload, after_artifacts, n_cores, **_):
    behaviour = os.environ["BEHAVIOUR"]
    progress.start(Stage.FETCH)
    print("printed by a library")
    warnings.warn("a warning of NiMARE")
    if behaviour == "specification":
        raise AnalysisError("The estimator Foo does not exist.")
    if behaviour == "full disk":
        try:
            raise OSError(28, "No space left on device")
        except OSError as error:
            raise RuntimeError("a library could not write") from error
    if behaviour == "unforeseen":
        raise RuntimeError("broken with " + str(nsc_key))
    directory = ResultDirectory(result_dir)
    directory.write("z.nii.gz", b"map")
    if behaviour in ("sleep", "busy"):
        progress.start(Stage.CORRECT, 5000)
        print("ready")
        if behaviour == "busy":
            # one long call that never gives Python a chance to run a signal handler in this thread
            import ctypes
            ctypes.CDLL(None).sleep(600)
        time.sleep(600)
    directory.write("report.html", b"<html></html>")
    directory.write("publish.json", b"{}")
    metadata = {"result_url": None, "seconds": {}, "n_cores": n_cores, "artifacts": directory.artifacts()}
    directory.write_metadata(metadata)
    after_artifacts(result_dir)
    if behaviour == "compose":
        raise ServiceUnavailableError("result", "https://compose.neurosynth.org/api", "the service answered 503")
    return SimpleNamespace(url=publish(result_dir, nsc_key) if upload else None)

def publish_again(result_dir, *, nsc_key, progress, **_):
    progress.start(Stage.PUBLISH)
    assert (result_dir / "z.nii.gz").read_bytes() == b"map"
    assert (result_dir / "publish.json").exists()
    return publish(result_dir, nsc_key)

if "S3_ATTEMPTS" in os.environ:
    import task.job_objects
    from botocore.config import Config
    retries = {"total_max_attempts": int(os.environ["S3_ATTEMPTS"])}
    task.job_objects.CONFIG = Config(connect_timeout=5, read_timeout=5, retries=retries)

task.main.run_job, task.main.publish_again = run_job, publish_again
sys.exit(task.main.main())
"""


@pytest.fixture(scope="module")
def aws() -> Iterator[EmbeddedAws]:
    with storage() as aws:
        yield aws


@pytest.fixture
def around(aws: EmbeddedAws) -> Surroundings:
    return Surroundings(aws, job=f"job-{uuid.uuid4()}", program=STUB)


def test_a_job_leaves_artifacts_metadata_and_the_records_that_clients_look_for(around: Surroundings) -> None:
    around.send_key()

    ended = around.run(N_CORES="2")

    assert ended.exit_code == 0, ended.text
    names = [message for message in ended.messages if "." in message and " " not in message]
    assert [name for name in names if name not in ("workflow.stage", "workflow.progress")] == [
        "workflow.start",
        "workflow.completed",
        "artifacts.uploaded",
        "workflow.published",
        "metadata.written",
        "workflow.success",
    ]
    assert around.objects() == {
        "metadata.json": "application/json",
        "report.html": "text/html; charset=utf-8",
        "z.nii.gz": "application/gzip",
    }
    assert {
        "artifact_prefix": around.job,
        "meta_analysis_id": "ataCTPAt2LMw",
        "result_url": "https://compose.neurosynth.org/meta-analyses/ataCTPAt2LMw",
        "artifacts_bucket": BUCKET,
        "artifacts_prefix": PREFIX,
        "metadata_key": f"{PREFIX}/{around.job}/metadata.json",
        "n_cores": 2,
    }.items() <= around.metadata().items()
    assert "error" not in around.metadata()


def test_every_line_of_the_log_is_json_that_names_the_job(around: Surroundings) -> None:
    ended = around.run()

    assert {record["artifact_prefix"] for record in ended.records} == {around.job}
    assert "printed by a library" in ended.messages
    assert any("a warning of NiMARE" in message for message in ended.messages)


def test_a_key_is_used_deleted_and_never_written_anywhere(around: Surroundings) -> None:
    around.send_key()

    ended = around.run()

    assert "publishing with <key>" in ended.messages
    assert KEY not in ended.text
    assert KEY not in json.dumps(around.metadata())
    assert around.keys_left() == 0


def test_no_upload_leaves_artifacts_and_publishes_nothing(around: Surroundings) -> None:
    ended = around.run(NO_UPLOAD="true")

    assert ended.exit_code == 0
    assert "workflow.published" not in ended.messages
    assert around.metadata()["result_url"] is None


def test_an_analysis_that_cannot_run_says_why_and_exits_with_1(around: Surroundings) -> None:
    around.send_key()

    ended = around.run("specification")

    assert ended.exit_code == 1
    (failed,) = [record for record in ended.records if record["message"] == "workflow.failed"]
    assert failed["error"] == "The estimator Foo does not exist."
    assert around.metadata()["error"] == "The estimator Foo does not exist."
    assert around.keys_left() == 0


def test_a_full_disk_is_told_in_a_sentence_and_not_tried_again(around: Surroundings) -> None:
    ended = around.run("full disk")

    assert ended.exit_code == 1
    assert around.metadata()["error"].startswith("The analysis needs more disk than the task has")


def test_an_error_that_nobody_foresaw_is_logged_with_its_traceback_and_without_keys(around: Surroundings) -> None:
    around.send_key()

    ended = around.run("unforeseen")

    assert ended.exit_code == 1
    assert "RuntimeError: broken with <key>" in around.metadata()["error"]
    assert any("Traceback" in record.get("exception", "") for record in ended.records)
    assert KEY not in ended.text


def test_artifacts_are_safe_when_compose_refuses_and_the_next_attempt_only_publishes(around: Surroundings) -> None:
    around.send_key()

    first = around.run("compose")

    assert first.exit_code == 75
    assert "503" in around.metadata()["error"]
    assert set(around.objects()) == {"metadata.json", "report.html", "z.nii.gz"}
    assert around.keys_left() == 1

    # an attempt that computed again would fail
    second = around.run("specification", ATTEMPT="2")

    assert second.exit_code == 0, second.text
    assert "error" not in around.metadata()
    assert around.metadata()["result_url"]
    assert around.keys_left() == 0


@pytest.mark.parametrize("behaviour", ["sleep", "busy"])
def test_a_task_that_is_told_to_stop_uploads_what_it_has_and_exits_with_75(
    around: Surroundings, behaviour: str
) -> None:
    around.send_key()
    process = around.start(behaviour)
    assert process.stdout is not None
    read = ""
    while '"ready"' not in read:
        read += process.stdout.readline()

    process.terminate()
    ended = around.wait_for_end(process, before=read)

    assert ended.exit_code == 75
    assert "workflow.interrupted" in ended.messages
    assert set(around.objects()) == {"metadata.json", "z.nii.gz"}
    assert "asked to stop" in around.metadata()["error"]
    assert around.keys_left() == 1


def test_a_task_whose_time_is_over_says_so_and_is_not_tried_again(around: Surroundings) -> None:
    started = datetime.now(UTC) - timedelta(seconds=1000)

    ended = around.run("sleep", JOB_STARTED=f'"{started.isoformat()}"', JOB_TIMEOUT_SECONDS="1000")

    assert ended.exit_code == 1
    assert "did not finish in the time" in around.metadata()["error"]


def test_progress_is_kept_in_an_object_while_the_task_runs(around: Surroundings) -> None:
    process = around.start("sleep")
    key = f"{PREFIX}/.progress/{around.job}.json"
    s3 = around.aws.client("s3")
    deadline = time.monotonic() + 30
    while not s3.list_objects_v2(Bucket=BUCKET, Prefix=key).get("KeyCount"):
        assert time.monotonic() < deadline
        assert process.poll() is None
    record = json.loads(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())
    process.terminate()
    around.wait_for_end(process)

    assert record["stage"] in ("fetch", "correct")
    assert record["updated"]


@pytest.mark.parametrize("name", ["META_ANALYSIS_ID", "RESULTS_BUCKET", "ARTIFACT_PREFIX"])
def test_a_variable_that_is_missing_is_named(around: Surroundings, name: str) -> None:
    ended = around.run(**{name: ""})

    assert ended.exit_code == 1
    assert name in ended.records[-1]["error"]


def test_a_bucket_that_does_not_exist_is_not_tried_again(around: Surroundings) -> None:
    ended = around.run(RESULTS_BUCKET="no-such-bucket")

    assert ended.exit_code == 1
    assert "NoSuchBucket" in ended.text


def refused_at_first(aws: EmbeddedAws, around: Surroundings, kind: str, no_upload: str) -> None:
    """Let S3 refuse two artifacts of a task that computes."""
    around.send_key()

    with s3_with(aws, Fault(kind, times=2)) as fault:
        first = around.run(S3_ATTEMPTS="1", NO_UPLOAD=no_upload)

    assert fault.happened == 2
    assert first.exit_code == 75, first.text
    if " " in kind:
        assert kind.split()[1] in around.metadata()["error"]
    assert not any("exception" in record for record in first.records)
    # what S3 refused at first it took in the end
    assert set(around.objects()) == {"metadata.json", "report.html", "z.nii.gz"}
    assert around.keys_left() == 1


# what S3 answers, or something on the way to it does, when it may answer otherwise a minute later
@pytest.mark.parametrize(
    "kind", ["503 ServiceUnavailable", "500 InternalError", "400 RequestTimeout", "400 ExpiredToken", "page", "cut"]
)
def test_an_upload_that_s3_refuses_for_a_while_may_be_tried_again(
    aws: EmbeddedAws, around: Surroundings, kind: str
) -> None:
    refused_at_first(aws, around, kind, "true")


@pytest.mark.parametrize(("kind", "no_upload"), [("503 SlowDown", "true"), ("reset", "false")])
def test_nothing_that_s3_took_in_the_end_is_computed_twice(
    aws: EmbeddedAws, around: Surroundings, kind: str, no_upload: str
) -> None:
    refused_at_first(aws, around, kind, no_upload)

    # an attempt that computed again would fail
    second = around.run("specification", ATTEMPT="2", NO_UPLOAD=no_upload)

    assert second.exit_code == 0, second.text
    assert "error" not in around.metadata()
    assert (around.metadata()["result_url"] is None) is (no_upload == "true")
    assert around.keys_left() == 0


def test_faults_that_are_few_cost_nothing(aws: EmbeddedAws, around: Surroundings) -> None:
    with s3_with(aws, Fault("reset", times=1)) as fault:
        ended = around.run(NO_UPLOAD="true")

    assert (fault.happened, ended.exit_code) == (1, 0), ended.text


@pytest.mark.parametrize("kind", ["503 SlowDown", "cut"])
def test_a_result_that_cannot_be_brought_back_is_neither_lost_nor_computed_again(
    aws: EmbeddedAws, around: Surroundings, kind: str
) -> None:
    with s3_with(aws, Fault("503 SlowDown", times=2)):
        assert around.run(S3_ATTEMPTS="1", NO_UPLOAD="true").exit_code == 75
    before = around.objects()

    with s3_with(aws, Fault(kind, times=100, method="GET" if kind == "cut" else "HEAD")) as fault:
        second = around.run("specification", ATTEMPT="2", S3_ATTEMPTS="1", NO_UPLOAD="true")

    assert fault.happened
    assert second.exit_code == 75, second.text
    assert around.objects() == before
    assert around.metadata()["artifacts"]
    assert around.run("specification", ATTEMPT="3", NO_UPLOAD="true").exit_code == 0


def test_an_upload_of_which_s3_takes_nothing_is_computed_again(aws: EmbeddedAws, around: Surroundings) -> None:
    with s3_with(aws, Fault("503 SlowDown", times=1000)):
        first = around.run(S3_ATTEMPTS="1", NO_UPLOAD="true")
    assert first.exit_code == 75, first.text
    assert around.objects() == {}

    second = around.run(ATTEMPT="2", NO_UPLOAD="true")
    assert second.exit_code == 0, second.text
    assert "z.nii.gz" in around.objects()


@pytest.mark.parametrize("kind", ["403 AccessDenied"])
def test_a_refusal_that_stays_is_told_and_not_tried_again(aws: EmbeddedAws, around: Surroundings, kind: str) -> None:
    with s3_with(aws, Fault(kind, times=2)):
        ended = around.run(S3_ATTEMPTS="1", NO_UPLOAD="true")

    assert ended.exit_code == 1, ended.text
    assert kind.split()[1] in around.metadata()["error"]
    assert set(around.objects()) == {"metadata.json", "report.html", "z.nii.gz"}


def test_a_full_disk_below_s3_is_told_and_not_tried_again(aws: EmbeddedAws, around: Surroundings) -> None:
    with s3_with(aws, Fault("400 DiskFull", times=2)):
        ended = around.run(S3_ATTEMPTS="1")

    assert ended.exit_code == 1
    assert around.metadata()["error"].startswith("The disk that keeps the service's data is full")


def test_aws_that_does_not_answer_is_tried_again(around: Surroundings) -> None:
    unreachable = "http://127.0.0.1:9"

    ended = around.run(AWS_ENDPOINT_URL=unreachable, AWS_MAX_ATTEMPTS="1")

    assert ended.exit_code == 75
