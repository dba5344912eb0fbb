"""The commands of ``compose-runner`` against a running service, as a person and a script use them."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("moto", reason="needs the local extra")

from tests.support.compose_stand_in import ComposeStandIn
from tests.support.running_service import COMMAND, RunningService, environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with (
        ComposeStandIn() as compose,
        RunningService(tmp_path_factory.mktemp("service"), "--compose-url", compose.compose_api) as running,
    ):
        yield running


def run(service: RunningService, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*COMMAND, *arguments],
        env=environment(COMPOSE_RUNNER_ENDPOINT=service.endpoint),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture(scope="module")
def job(service: RunningService) -> dict[str, str]:
    """A job that has succeeded."""
    submitted = service.submit("works")
    service.wait_for(submitted["job_id"])
    return submitted


def test_submit_prints_the_jobs_id(service: RunningService) -> None:
    done = run(service, "submit", "works", "--artifact-prefix", "from-a-shell")
    assert done.stdout.strip().endswith(":from-a-shell")


def test_submit_follow_shows_records_and_ends_with_the_job(service: RunningService) -> None:
    done = run(service, "submit", "works", "--follow")
    assert "workflow.start" in done.stderr
    assert "succeeded" in done.stderr
    assert len(done.stdout.strip().splitlines()) == 1


def test_submit_follow_tells_a_failure_with_its_reason_and_exit_code_1(service: RunningService) -> None:
    done = run(service, "submit", "impossible", "--follow", code=1)
    assert "The studyset has no analyses." in done.stderr


def test_submit_follow_json_is_one_document_a_line(service: RunningService) -> None:
    done = run(service, "submit", "works", "--follow", "--json")
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    assert documents[0]["type"] == "submit"
    assert documents[-1]["type"] == "status"
    assert documents[-1]["status"] == "SUCCEEDED"
    assert "workflow.success" in [json.loads(one["message"])["message"] for one in documents if one["type"] == "log"]


def test_status_is_readable_and_complete_in_json(service: RunningService, job: dict[str, str]) -> None:
    assert run(service, "status", job["job_id"]).stdout.splitlines()[0] == "SUCCEEDED"
    document = json.loads(run(service, "status", job["job_id"], "--json").stdout)
    assert document["artifact_prefix"] == job["artifact_prefix"]


def test_logs_take_the_jobs_name_or_its_id(service: RunningService, job: dict[str, str]) -> None:
    by_name = run(service, "logs", job["artifact_prefix"]).stdout
    assert "workflow.success" in by_name
    assert run(service, "logs", job["job_id"]).stdout == by_name
    assert run(service, "logs", job["job_id"], "--follow").stderr == by_name


def test_results_are_listed_and_downloaded(service: RunningService, job: dict[str, str], tmp_path: Path) -> None:
    listed = json.loads(run(service, "results", job["artifact_prefix"], "--json").stdout)
    assert [one["filename"] for one in listed] == ["metadata.json", "z_tab-clust.tsv"]
    done = run(service, "results", job["artifact_prefix"], "--download", str(tmp_path / "here"))
    assert done.stdout.strip() == str(tmp_path / "here")
    assert (tmp_path / "here" / "tables" / "z_tab-clust.tsv").is_file()


def test_an_unknown_name_is_told_to_be_one(service: RunningService) -> None:
    assert "no records" in run(service, "logs", "unknown-job").stderr
    assert "no files" in run(service, "results", "unknown-job").stderr


def test_a_port_that_is_in_use_is_named(service: RunningService, tmp_path: Path) -> None:
    port = service.endpoint.rpartition(":")[2]
    done = run(service, "serve", "--port", port, "--data", str(tmp_path), code=1)
    assert f"port {port} is in use already" in done.stderr


def test_cancel_stops_a_running_job(service: RunningService) -> None:
    waiting = service.submit("waits")
    service.wait_for_message(waiting["artifact_prefix"], "workflow.stage")
    run(service, "cancel", waiting["job_id"])
    assert service.wait_for(waiting["job_id"])["execution_status"] == "ABORTED"


def test_a_name_stands_for_the_id(service: RunningService, job: dict[str, str]) -> None:
    name = job["artifact_prefix"]
    assert f"artifact prefix: {name}" in run(service, "status", name).stdout
    assert "workflow.success" in run(service, "logs", name, "--follow").stderr
    assert run(service, "cancel", name).stdout == f"{name} had ended already: SUCCEEDED\n"


def test_a_name_that_is_taken_says_where_its_job_is(service: RunningService, job: dict[str, str]) -> None:
    name = job["artifact_prefix"]
    assert f"compose-runner status {name}" in run(service, "submit", "x", "--artifact-prefix", name, code=1).stderr


def test_a_waiting_job_says_that_it_waits_and_how_many_are_before_it(tmp_path: Path) -> None:
    options = ("--compose-url", "http://127.0.0.1:9/api", "--max-parallel-jobs", "1")
    with RunningService(tmp_path, *options) as alone:
        alone.submit("waits", artifact_prefix="first")
        alone.wait_for_message("first", "workflow.stage")
        alone.submit("waits", artifact_prefix="second")
        assert wait_for_waiting(alone, "second") == "It waits: 1 job is before it."
        alone.submit("waits", artifact_prefix="third")
        assert wait_for_waiting(alone, "third") == "It waits: 2 jobs are before it."
        run(alone, "cancel", "first")
        alone.wait_for_message("second", "workflow.stage")
        following = subprocess.Popen(
            [*COMMAND, "logs", "third", "--follow"],
            env=environment(COMPOSE_RUNNER_ENDPOINT=alone.endpoint),
            stderr=subprocess.PIPE,
            text=True,
        )
        with following:
            assert following.stderr is not None
            assert following.stderr.readline() == "third: It waits: 1 job is before it.\n"
            following.send_signal(signal.SIGINT)
            ended = following.stderr.read()
        assert following.returncode == 130
        assert ended == (
            "compose-runner: No longer following (Ctrl-C). The job goes on: compose-runner logs third --follow\n"
        )


def wait_for_waiting(service: RunningService, name: str) -> str:
    """Ask until the service has noted that the job waits."""
    while True:
        lines = run(service, "status", name).stdout.splitlines()
        assert lines[0] == "RUNNING"
        if found := [line for line in lines if line.startswith("It waits")]:
            return found[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("status", "nonsense"), "There is no such job"),
        (("status", "a b"), "artifact_prefix"),
        (("submit", "works", "--artifact-prefix", "a/b"), "artifact_prefix"),
        (("submit", "works", "--endpoint", "http://127.0.0.1:9"), "compose-runner serve"),
        (("status", "x", "--endpoint", "nonsense"), "must begin with https:// or http://"),
        (("results", "a/b"), "1 to 80 letters, digits, hyphens and underscores"),
        (("results", "unknown-job", "--download", "nowhere"), "no files"),
    ],
)
def test_what_goes_wrong_is_one_line_in_the_services_words(
    service: RunningService, arguments: tuple[str, ...], words: str
) -> None:
    done = run(service, *arguments, code=75 if "http://127.0.0.1:9" in arguments else 1)
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
