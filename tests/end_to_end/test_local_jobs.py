"""Real jobs through the embedded service: the demo, recorded meta-analyses, and failures that only a real task has."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("moto", reason="needs the local extra")

from compose_runner import demo
from compose_runner.client import Client
from tests.compose_stand_in import Answer, ComposeStandIn
from tests.running_service import COMMAND, RunningService, environment

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

ITERATIONS = 20
JOB_SECONDS = 240


@pytest.fixture(scope="module")
def compose() -> Iterator[ComposeStandIn]:
    """A Compose that has the demo's meta-analysis, and one whose studyset is missing."""
    studyset = demo.pain_studyset()
    note = demo.annotation(studyset)
    with ComposeStandIn() as stand_in:
        for name, studyset_id in ((demo.META_ANALYSIS_ID, demo.STUDYSET_ID), ("lost", "lostStudyset")):
            stand_in.put(
                f"meta-analyses/{name}",
                {
                    "id": name,
                    "specification": demo.specification(ITERATIONS),
                    "neurostore_studyset": {"id": studyset_id},
                    "neurostore_annotation": {"id": demo.ANNOTATION_ID},
                    "run_key": "a-run-key",
                },
            )
        impossible = {**demo.specification(), "estimator": {"type": "Nonsense", "args": {}}}
        stand_in.put("meta-analyses/impossible", {"id": "impossible", "specification": impossible})
        stand_in.put(f"studysets/{demo.STUDYSET_ID}", studyset, host=stand_in.store_host)
        stand_in.put(f"annotations/{demo.ANNOTATION_ID}", note, host=stand_in.store_host)
        yield stand_in


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, compose: ComposeStandIn) -> Iterator[RunningService]:
    hosts = ("--compose-url", compose.compose_api, "--neurostore-url", compose.neurostore_api)
    with RunningService(tmp_path_factory.mktemp("service"), *hosts, stub=False) as running:
        yield running


def names_of(service: RunningService, artifact_prefix: str) -> set[str]:
    artifacts = service.post("results", artifact_prefix=artifact_prefix).document["artifacts"]
    return {artifact["filename"] for artifact in artifacts}


def test_the_demo_runs_from_submit_to_a_report_that_a_browser_shows_as_a_page(tmp_path: Path) -> None:
    with RunningService(tmp_path / "data", "--demo", stub=False) as service:
        submitted = service.submit(demo.META_ANALYSIS_ID)
        ended = service.wait_for(submitted["job_id"], JOB_SECONDS)
        assert ended["status"] == "SUCCEEDED", ended
        client = Client.configured(endpoint=service.endpoint)
        client.download(submitted["artifact_prefix"], tmp_path / "results")
        (report,) = (one for one in client.results(submitted["artifact_prefix"]) if one.path == "report.html")
        answer = service.pool.request("GET", report.url)
        uploads = json.loads((tmp_path / "data" / "demo-uploads" / "demoResult1.json").read_text())
    assert answer.headers["content-type"].startswith("text/html")
    assert "content-disposition" not in answer.headers
    assert (tmp_path / "results" / "report.html").read_bytes() == answer.data
    assert any(name.endswith("_tab-clust.tsv") for name in uploads["files"])
    assert ended["result"]["result_url"]


def test_an_impossible_specification_is_refused_with_its_reason(service: RunningService) -> None:
    answer = service.post("submit", meta_analysis_id="impossible")
    assert answer.status == 400
    assert "Nonsense" in answer.document["error"]


def test_a_wrong_id_fails_once_with_its_reason(service: RunningService) -> None:
    submitted = service.submit("noSuchAnalysis")
    ended = service.wait_for(submitted["job_id"], JOB_SECONDS)
    assert ended["status"] == "FAILED"
    assert "noSuchAnalysis" in ended["error"]
    messages = service.messages(submitted["artifact_prefix"])
    assert messages.count("workflow.start") == 1
    assert "workflow.failed" in messages


def test_an_upload_that_compose_refuses_fails_with_its_words_and_keeps_the_artifacts(
    service: RunningService, compose: ComposeStandIn
) -> None:
    compose.fail("POST", "meta-analysis-results", Answer(422, {"detail": "the collection cannot be made"}))
    submitted = service.submit(demo.META_ANALYSIS_ID)
    ended = service.wait_for(submitted["job_id"], JOB_SECONDS)
    assert ended["status"] == "FAILED"
    assert "the collection cannot be made" in ended["error"]
    assert {"z.nii.gz", "report.html", "metadata.json"} <= names_of(service, submitted["artifact_prefix"])
    assert service.messages(submitted["artifact_prefix"]).count("workflow.start") == 1


def task_of(artifact_prefix: str) -> int:
    """Process that runs a job."""
    wanted = f"ARTIFACT_PREFIX={artifact_prefix}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                return int(folder.name)
        except OSError:
            continue
    raise AssertionError(f"no task runs {artifact_prefix}")


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the task's process in /proc")
def test_a_task_that_is_killed_once_is_repeated_and_ends_well(service: RunningService) -> None:
    submitted = service.submit(demo.META_ANALYSIS_ID, no_upload=True)
    service.wait_for_message(submitted["artifact_prefix"], "workflow.start", JOB_SECONDS)
    os.kill(task_of(submitted["artifact_prefix"]), signal.SIGKILL)
    ended = service.wait_for(submitted["job_id"], JOB_SECONDS)
    assert ended["status"] == "SUCCEEDED", ended
    assert service.messages(submitted["artifact_prefix"]).count("workflow.start") == 2


@pytest.mark.parametrize(
    ("meta_analysis_id", "compose_host", "store_host"),
    [
        ("ataCTPAt2LMw", "compose.neurosynth.org", "neurostore.org"),
        ("mHtoV82Dmnm9", "compose.neurosynth.org", "neurostore.org"),
        ("jeqZ65Bsnniw", "dev.synth.neurostore.xyz", "dev.neurostore.xyz"),
    ],
)
def test_a_recorded_meta_analysis_gives_the_artifacts_that_the_command_line_gives(
    meta_analysis_id: str, compose_host: str, store_host: str, recorded: Path, tmp_path: Path
) -> None:
    with ComposeStandIn(recorded, compose_host=compose_host, store_host=store_host) as stand_in:
        hosts = ("--compose-url", stand_in.compose_api, "--neurostore-url", stand_in.neurostore_api)
        command = [
            *COMMAND,
            "run",
            meta_analysis_id,
            "--no-upload",
            "--no-report",
            "--result-dir",
            str(tmp_path / "local"),
        ]
        # both at the same time: each leaves a core idle most of the time
        with (
            (tmp_path / "local.log").open("w") as log,
            subprocess.Popen(command, env=environment(**stand_in.variables()), stdout=log, stderr=log) as local,
            RunningService(tmp_path / "data", *hosts, stub=False) as service,
        ):
            submitted = service.submit(meta_analysis_id, no_upload=True)
            ended = service.wait_for(submitted["job_id"], JOB_SECONDS)
            local.wait(JOB_SECONDS)
    assert ended["status"] == "SUCCEEDED", ended
    assert local.returncode == 0, (tmp_path / "local.log").read_text()

    def contents(folder: Path) -> dict[str, Any]:
        return {
            path.name: path.read_bytes()
            for path in folder.iterdir()
            if path.name.endswith((".nii.gz", ".tsv", ".txt", ".bib"))
        }

    assert contents(tmp_path / "data" / "artifacts" / submitted["artifact_prefix"]) == contents(tmp_path / "local")
