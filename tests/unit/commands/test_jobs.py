"""The commands about jobs of a service: the list, what a waiting job says, how following ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from compose_runner import cli
from compose_runner.client.models import JobEntry, JobStatus, LogRecord, Update
from compose_runner.commands import ending, following
from compose_runner.commands.jobs import format_age, table

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def entry(name: str, **fields: Any) -> JobEntry:
    known = {"status": "RUNNING", "started": NOW - timedelta(minutes=5), "title": "", "result": "", **fields}
    return JobEntry(artifact_prefix=name, document={}, **known)


def test_the_list_has_name_state_age_title_and_result_in_columns() -> None:
    lines = table([entry("pain", title="Pain\x1b[31m", result="fit"), entry("x" * 60, status="FAILED")], NOW, 80)
    assert lines[0].split() == ["NAME", "STATE", "AGE", "TITLE", "RESULT"]
    assert lines[1].split() == ["pain", "running", "5m", "Pain\\x1b[31m", "fit"]
    assert max(map(len, lines)) <= 80
    assert "…" in lines[2]


def test_nothing_is_cut_in_a_pipe() -> None:
    assert "r" * 300 in table([entry("x" * 60, result="r" * 300)], NOW, 0)[1]


@pytest.mark.parametrize(
    ("seconds", "age"), [(-3, "0s"), (59, "59s"), (60, "1m"), (3600, "1h"), (86400, "24h"), (172800, "2d")]
)
def test_an_age_is_told_in_its_largest_unit(seconds: float, age: str) -> None:
    assert format_age(seconds) == age


def status(state: str = "RUNNING", **progress: Any) -> JobStatus:
    return JobStatus(state, "job", progress or None, None, {})


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        ({}, "It waits for its task to begin."),
        ({"stage": "waiting", "jobs_before": 1}, "It waits: 1 job is before it."),
        ({"stage": "waiting", "jobs_before": 3}, "It waits: 3 jobs are before it."),
    ],
)
def test_a_waiting_job_says_how_many_are_before_it(progress: dict[str, Any], text: str) -> None:
    assert following.describe_waiting(status(**progress)) == text


def test_following_says_that_a_job_waits_once_and_not_at_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    record = LogRecord(0, "started")
    updates = [
        Update(status(), []),
        Update(status(), []),
        Update(status(stage="fit"), [record]),
        Update(status(), []),  # between the task's last word and the end of the job
        Update(status("SUCCEEDED"), []),
    ]
    following.follow_in_terminal(updates)
    assert [line.partition(" ")[2] for line in capsys.readouterr().err.splitlines()] == [
        "It waits for its task to begin.",
        "started",
    ]


def test_the_report_of_a_job_is_opened_in_a_browser(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []

    def open_browser(address: str) -> bool:
        opened.append(address)
        return True

    monkeypatch.setattr("webbrowser.open", open_browser)
    artifacts = [SimpleNamespace(path="report.html", url="http://x/report.html")]
    client: Any = SimpleNamespace(results=lambda _job: artifacts)
    ending.open_job_report(client, "job")
    assert opened == ["http://x/report.html"]
    artifacts.clear()
    ending.open_job_report(client, "job")
    assert capsys.readouterr().err.startswith("There is no report to open")
    monkeypatch.setattr("webbrowser.open", lambda _address: False)
    ending.open_page("http://x")
    assert "http://x" in capsys.readouterr().err


def test_open_without_follow_is_wrong_usage() -> None:
    assert CliRunner().invoke(cli.compose_runner, ["submit", "x", "--open"]).exit_code == 2
