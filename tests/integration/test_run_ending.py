"""How ``compose-run`` ends: on a terminal, into a pipe, and in the result directory."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from compose_runner.local.demo import studies

COMPOSE_RUN = str(Path(sys.executable).with_name("compose-run"))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    document = studies.bundle_document()
    document["specification"]["corrector"] = {"type": "FDRCorrector", "args": {"method": "indep", "alpha": 0.05}}
    path = tmp_path_factory.mktemp("bundle") / "bundle.json"
    path.write_text(json.dumps(document))
    return path


@pytest.fixture(scope="module")
def on_a_terminal(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, Path]:
    """Standard output, what the terminal showed, and the result directory."""
    results = tmp_path_factory.mktemp("run") / "results"
    arguments = [COMPOSE_RUN, "pain", "--bundle", str(bundle), "--result-dir", str(results), "--no-report"]
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "NO_COLOR": "1"}
    with subprocess.Popen(arguments, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 65536):
                shown += piece
        except OSError:  # the other end is closed
            pass
        assert process.stdout is not None
        answer = process.stdout.read().decode()
    os.close(ours)
    assert process.returncode == 0
    return answer, shown.decode(), results


def test_a_terminal_is_told_the_clusters_and_how_to_publish(on_a_terminal: tuple[str, str, Path]) -> None:
    answer, shown, results = on_a_terminal
    assert answer == f"{results}\n"
    ending = shown.replace("\r\n", "\n").rpartition("Write maps, tables, report")[2]
    assert "11 clusters where 21 studies converge; peaks in mm (MNI)" in ending
    assert "     38     2     2   z = 4.35     2,608 mm³" in ending
    assert f"To publish it: compose-runner publish {results}" in ending


def test_what_libraries_say_is_in_the_runs_log_and_not_on_the_terminal(on_a_terminal: tuple[str, str, Path]) -> None:
    _, shown, results = on_a_terminal
    assert "Performing meta-analysis" not in shown
    assert ".py:" not in shown
    assert "nimare.workflows.cbma: Performing meta-analysis" in (results / "run.log").read_text()


def test_every_artifact_is_described_and_the_guide_names_it(on_a_terminal: tuple[str, str, Path]) -> None:
    results = on_a_terminal[2]
    artifacts = json.loads((results / "metadata.json").read_bytes())["artifacts"]
    guide = (results / "README.txt").read_text()
    assert {"README.txt", "run.log"} <= {artifact["filename"] for artifact in artifacts}
    for artifact in artifacts:
        assert artifact["description"].endswith(".")
        assert artifact["filename"] in guide


def test_records_as_text_keep_their_fields_in_a_pipe_and_are_not_wrapped(bundle: Path, tmp_path: Path) -> None:
    broken = json.loads(bundle.read_bytes())
    broken["specification"]["conditions"] = ["no such value"]
    (tmp_path / "bundle.json").write_text(json.dumps(broken))
    arguments = ["pain", "--bundle", "bundle.json", "--log-format", "text"]
    ended = subprocess.run([COMPOSE_RUN, *arguments], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ended.returncode == 1
    assert "workflow.stage stage=fetch completed=0" in ended.stderr
    assert [line for line in ended.stderr.splitlines() if line.startswith(" ")] == []
