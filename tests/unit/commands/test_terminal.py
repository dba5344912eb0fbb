"""Records as text and as JSON, on a terminal and elsewhere."""

from __future__ import annotations

import io
import json
import logging
import sys
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from compose_runner.commands import terminal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LIBRARY = logging.getLogger("nimare.workflows")
OWN = logging.getLogger("compose_runner.analysis")


def written(log_format: Any, on_terminal: bool = False, **options: Any) -> str:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=on_terminal, width=80, color_system=None)
    with terminal.records_on(stream, log_format, console, **options):
        LIBRARY.info("Performing meta-analysis...")
        LIBRARY.error("It cannot.")
        OWN.info("workflow.progress", extra={"stage": "correct", "completed": 3, "text": "x" * 100})
    return stream.getvalue()


@pytest.mark.parametrize("on_terminal", [False, True])
def test_a_person_sees_our_own_records_and_the_errors_of_libraries(on_terminal: bool) -> None:
    text = written("text", on_terminal)
    assert "Performing" not in text
    assert "It cannot." in text
    assert "stage=correct completed=3" in text
    assert "Performing" in written("text", on_terminal, verbose=True)


def test_a_record_in_a_pipe_is_one_line_however_long_it_is() -> None:
    (line,) = [line for line in written("text").splitlines() if "workflow.progress" in line]
    assert line.endswith(f"INFO    workflow.progress stage=correct completed=3 text={'x' * 100}")


def test_json_has_every_record_and_begins_with_its_message() -> None:
    records = [json.loads(line) for line in written("json").splitlines()]
    assert [record["message"] for record in records] == [
        "Performing meta-analysis...",
        "It cannot.",
        "workflow.progress",
    ]
    assert list(records[2])[:2] == ["message", "sentence"]
    assert records[2]["stage"] == "correct"


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Gives what is written without a choice of format, outside a container unless a variable says otherwise."""
    monkeypatch.setattr(terminal, "_IN_CONTAINERS", ())
    for name in terminal._OF_CONTAINERS:
        monkeypatch.delenv(name, raising=False)

    def write(**variables: str) -> str:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        stream = io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        with terminal.watching():
            OWN.warning("said")
        return stream.getvalue()

    return write


def test_text_is_the_default_outside_containers_and_json_inside(outside: Callable[..., str], tmp_path: Path) -> None:
    assert outside().endswith("WARNING said\n")
    assert json.loads(outside(ECS_CONTAINER_METADATA_URI_V4="http://169.254.170.2"))["message"] == "said"


def test_a_file_of_docker_tells_a_container(
    outside: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert not terminal.in_container()
    monkeypatch.setattr(terminal, "_IN_CONTAINERS", (str(tmp_path),))
    assert terminal.in_container()
