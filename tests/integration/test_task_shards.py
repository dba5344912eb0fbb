"""A task that asks for others, the tasks that share its permutations, and what they leave in S3."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import boto3
import pytest

pytest.importorskip("moto", reason="needs the local extra")

from compose_runner.errors import AnalysisError, ServiceUnavailableError
from task.checkpoints import S3Checkpoints
from task.settings import TaskSettings, TaskSettingsError
from tests.support.task_process import BUCKET, PREFIX, Surroundings, storage

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from compose_runner.local.aws.emulator import EmbeddedAws

# stands for the analysis: asks for three tasks when one would take too long, and puts together what they computed
STUB = """
import json, os, sys
from types import SimpleNamespace
import task.main
from compose_runner.analysis.write.result_directory import ResultDirectory
from compose_runner.errors import AnalysisError, ServiceUnavailableError, ShardingRequested
from compose_runner.progress import Stage

BEHAVIOUR = os.environ["BEHAVIOUR"]

def run_job(meta_analysis_id, *, result_dir, progress, after_artifacts, monte_carlo, nsc_key, **_):
    print(json.dumps({"continues": monte_carlo.continues, "most_shards": monte_carlo.most_shards,
                      "threshold": monte_carlo.threshold_seconds, "cores": monte_carlo.task_cores}))
    progress.start(Stage.CORRECT, 100)
    if monte_carlo.n_shards == 1 and monte_carlo.most_shards > 1:
        monte_carlo.backend.write("inputs.json.gz", b"inputs")
        progress.hand_over(3, 100, 60.0)
        raise ShardingRequested(3, 1234.5)
    parts = [monte_carlo.backend.read(f"mark/null-{shard}.npz") for shard in range(monte_carlo.n_shards)]
    directory = ResultDirectory(result_dir)
    directory.write("z.nii.gz", b"+".join(part or b"" for part in parts))
    directory.write_metadata({"result_url": None, "seconds": {}, "artifacts": directory.artifacts()})
    after_artifacts(result_dir)
    return SimpleNamespace(url="https://page" if nsc_key else None)

def run_shard(meta_analysis_id, *, result_dir, progress, monte_carlo, **_):
    progress.start(Stage.CORRECT, 34)
    progress.advance(17, 34)
    if BEHAVIOUR == "impossible":
        raise AnalysisError("The studyset is gone.")
    if BEHAVIOUR == "busy":
        raise ServiceUnavailableError("a checkpoint", "s3://bucket", "503")
    monte_carlo.backend.write(f"mark/null-{monte_carlo.shard}.npz", str(monte_carlo.shard).encode())
    progress.advance(34, 34)

task.main.run_job, task.main.run_shard = run_job, run_shard
sys.exit(task.main.main())
"""
VARIABLES = {
    "SHARDS": "1",
    "SHARD_ROUNDS": "0",
    "MAX_SHARDS": "16",
    "SHARD_THRESHOLD_SECONDS": "900",
    "LARGE_TASK_CPU": "16384",
}


class Shared(Surroundings):
    """What is around the tasks of one job."""

    def start(self, behaviour: str, **changes: str) -> subprocess.Popen[str]:
        return super().start(behaviour, **{**VARIABLES, **changes})

    def keys(self, folder: str) -> list[str]:
        """List the job's objects of one kind, without the folder."""
        prefix = f"{PREFIX}/{folder}/{self.job}"
        found = self.aws.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        return sorted(item["Key"].removeprefix(prefix) for item in found)

    def document(self, key: str) -> dict[str, Any]:
        """Read a JSON object."""
        body = self.aws.client("s3").get_object(Bucket=BUCKET, Key=f"{PREFIX}/{key}")["Body"]
        document: dict[str, Any] = json.loads(body.read())
        return document


@pytest.fixture(scope="module")
def aws() -> Iterator[EmbeddedAws]:
    with storage() as aws:
        yield aws


@pytest.fixture
def around(aws: EmbeddedAws) -> Shared:
    return Shared(aws, job=f"job-{uuid.uuid4()}", program=STUB)


def test_a_job_goes_over_its_shards_to_its_artifacts_and_leaves_nothing_else(around: Shared) -> None:
    around.send_key()
    first = around.run()
    assert first.exit_code == 103, first.text
    assert first.messages[-1] == "workflow.spread"
    record = around.document(f".progress/{around.job}.json")
    assert (record["shards"], record["completed"], record["total"]) == (3, 0, 100)
    assert around.objects() == {}
    assert around.keys_left() == 1

    for shard in ("2", "0", "1"):
        ended = around.run(SHARD=shard, SHARDS="3")
        assert ended.exit_code == 0, ended.text
        assert ended.messages[-1] == "workflow.shard_completed"
        record = around.document(f".progress/{around.job}/{shard}.json")
        assert (record["completed"], record["total"]) == (34, 34)
    assert around.keys_left() == 1
    assert around.objects() == {}

    last = around.run(SHARDS="3", SHARD_ROUNDS="1", NO_UPLOAD="true")
    assert last.exit_code == 0, last.text
    content = around.aws.client("s3").get_object(Bucket=BUCKET, Key=f"{PREFIX}/{around.job}/z.nii.gz")["Body"].read()
    assert content == b"0+1+2"
    assert around.keys_left() == 0
    assert (around.keys(".checkpoints"), around.keys(".progress")) == ([], [])


def test_a_shard_that_can_be_retried_leaves_the_jobs_account_alone(around: Shared) -> None:
    around.send_key()

    ended = around.run("busy", SHARD="0", SHARDS="3")

    assert ended.exit_code == 75
    assert around.objects() == {}
    assert around.keys_left() == 1


def test_a_shard_that_cannot_pass_leaves_the_reason(around: Shared) -> None:
    ended = around.run("impossible", SHARD="0", SHARDS="3")

    assert ended.exit_code == 1
    assert around.metadata()["error"] == "The studyset is gone."


def test_a_task_knows_how_far_and_from_when_on_a_job_may_be_spread(around: Shared) -> None:
    def sharding(**changes: str) -> dict[str, Any]:
        records: list[Any] = [record["message"] for record in around.run(NO_UPLOAD="true", **changes).records]
        options: dict[str, Any] = next(record for record in records if "most_shards" in record)
        return options

    assert sharding() == {"continues": False, "most_shards": 16, "threshold": 900.0, "cores": 16}
    assert sharding(ATTEMPT="2")["continues"] is True
    again = sharding(SHARD_ROUNDS="3", SHARDS="3")
    assert (again["continues"], again["most_shards"]) == (True, 1)


@pytest.fixture
def checkpoints(around: Shared, monkeypatch: pytest.MonkeyPatch) -> S3Checkpoints:
    for name, value in around.aws.variables.items():
        monkeypatch.setenv(name, value)
    # a session keeps the credentials that it found first
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    return S3Checkpoints(settings(around.job))


def settings(job: str, **variables: str) -> TaskSettings:
    return TaskSettings.read(
        {
            "ARTIFACT_PREFIX": job,
            "META_ANALYSIS_ID": "ataCTPAt2LMw",
            "RESULTS_BUCKET": BUCKET,
            "RESULTS_PREFIX": PREFIX,
            **variables,
        }
    )


def test_checkpoints_in_s3_are_read_replaced_and_cleared_with_those_of_no_other_job(
    around: Shared, checkpoints: S3Checkpoints
) -> None:
    other = S3Checkpoints(settings(f"{around.job}-2"))
    other.write("mark/null.npz", b"other")
    assert checkpoints.read("mark/null.npz") is None
    checkpoints.write("mark/null.npz", b"one")
    checkpoints.write("mark/null.npz", b"two")
    assert checkpoints.read("mark/null.npz") == b"two"
    checkpoints.clear()
    assert checkpoints.read("mark/null.npz") is None
    assert other.read("mark/null.npz") == b"other"


def test_what_s3_refuses_comes_up_as_an_error_that_tells_whether_to_try_again(
    around: Shared, checkpoints: S3Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = S3Checkpoints(settings(around.job, RESULTS_BUCKET="no-such-bucket"))
    with pytest.raises(AnalysisError, match="no-such-bucket"):
        nowhere.write("mark/null.npz", b"one")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(ServiceUnavailableError):
        S3Checkpoints(settings(around.job)).read("mark/null.npz")


@pytest.mark.parametrize(
    "variables",
    [{"SHARD": "3", "SHARDS": "3"}, {"SHARD": "0.5"}, {"MAX_SHARDS": "0"}, {"SHARD_THRESHOLD_SECONDS": "soon"}],
)
def test_variables_that_make_no_sense_are_named(variables: dict[str, str]) -> None:
    with pytest.raises(TaskSettingsError, match=next(iter(variables))):
        settings("job", **variables)


def test_a_task_that_nobody_told_anything_never_asks_for_shards() -> None:
    alone = settings("job")
    assert (alone.shards, alone.shard, alone.max_shards, alone.shard_cores) == (1, None, 1, None)
