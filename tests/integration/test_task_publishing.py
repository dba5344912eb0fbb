"""A task that is killed around the one request that makes a result on Compose: there is one result in the end."""

from __future__ import annotations

import threading
import time
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.support import synthetic
from tests.support.compose_stand_in import RESULTS, Answer, ComposeStandIn
from tests.support.task_process import BUCKET, PREFIX, Surroundings, storage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compose_runner.local.aws.emulator import EmbeddedAws

STUDYSET = synthetic.random_studyset(n_studies=2)
META_ANALYSIS = {
    "id": "meta",
    "run_key": "a-run-key",
    "specification": synthetic.specification(),
    "neurostore_studyset": {"id": "storeset"},
    "neurostore_annotation": {"id": "storenote"},
    "results": ["before"],
}
# computes nothing; fetches, keeps and publishes as every job does
PROGRAM = """
import os, sys
from types import SimpleNamespace
import task.main
from compose_runner.analysis.fetch.bundle import fetch_bundle
from compose_runner.analysis.publish.publishing import prepare_publish, publish
from compose_runner.analysis.write.result_directory import ResultDirectory
from compose_runner.compose.environments import environment_named

def run_job(meta_analysis_id, *, environment, result_dir, nsc_key, after_artifacts, on_publish_change, **_):
    if os.environ["BEHAVIOUR"] == "publish only":
        raise RuntimeError("computed a second time")
    compose_environment, directory = environment_named(environment), ResultDirectory(result_dir)
    directory.clear()
    prepare_publish(result_dir, fetch_bundle(meta_analysis_id, compose_environment), compose_environment)
    directory.write("z.nii.gz", b"map")
    directory.write_metadata({"result_url": None, "seconds": {}, "artifacts": directory.artifacts()})
    after_artifacts(result_dir)
    done = publish(result_dir, upload_key=nsc_key, environment=compose_environment, on_change=on_publish_change)
    return SimpleNamespace(url=done.url)

task.main.run_job = run_job
sys.exit(task.main.main())
"""


@pytest.fixture(scope="module")
def aws() -> Iterator[EmbeddedAws]:
    with storage() as aws:
        yield aws


@pytest.fixture
def around(aws: EmbeddedAws) -> Surroundings:
    return Surroundings(aws, job=f"job-{uuid.uuid4()}", program=PROGRAM)


@pytest.fixture
def compose() -> Iterator[ComposeStandIn]:
    with ComposeStandIn() as server:
        server.put_meta_analysis(META_ANALYSIS, STUDYSET, synthetic.annotated(STUDYSET))
        yield server


def kill_while(
    method: str, name: str, answer: Answer, around: Surroundings, compose: ComposeStandIn, behaviour: str = "all"
) -> None:
    """Run a task until it waits for an answer of Compose, and kill it there."""
    compose.fail(method, name, answer)
    process = around.start(behaviour, META_ANALYSIS_ID="meta", **compose.variables())
    deadline = time.monotonic() + 60
    while not compose.asked(method):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
    process.kill()
    process.communicate()


def publish_state(around: Surroundings) -> str:
    key = f"{PREFIX}/.checkpoints/{around.job}/publish.json"
    return str(around.aws.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read(), "utf-8")


@pytest.mark.parametrize("made", [True, False])
def test_a_task_killed_while_compose_makes_the_result_leaves_one_result(
    made: bool, around: Surroundings, compose: ComposeStandIn
) -> None:
    never = threading.Event()
    kill_while("POST", RESULTS, Answer(hold=never, receive=made), around, compose)
    assert '"creating"' in publish_state(around)
    if made:
        compose.put("meta-analyses/meta", {**META_ANALYSIS, "results": ["before", "result1"]})
        compose.put(f"{RESULTS}/result1", {"id": "result1", "neurovault_collection": {"files": []}})

    ended = around.run("publish only", META_ANALYSIS_ID="meta", ATTEMPT="2", **compose.variables())

    assert ended.exit_code == 0, ended.text
    assert list(compose.results) == ["result1"]
    assert compose.asked("POST").total() == (1 if made else 2)
    assert set(compose.results["result1"].parts("statistical_maps")) == {"z.nii.gz"}
    never.set()


def test_a_task_killed_while_files_are_sent_fills_the_same_result(
    around: Surroundings, compose: ComposeStandIn
) -> None:
    never = threading.Event()
    kill_while("PUT", f"{RESULTS}/result1", Answer(hold=never), around, compose)
    assert '"created"' in publish_state(around)

    ended = around.run("publish only", META_ANALYSIS_ID="meta", ATTEMPT="2", **compose.variables())

    assert ended.exit_code == 0, ended.text
    assert compose.asked("POST").total() == 1
    assert len(compose.results["result1"].uploads) == 1
    never.set()
