"""Nothing becomes public without a person's yes, where there is a person: commands on a real pseudo-terminal."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from compose_runner.analysis.fetch.bundle import Bundle, Origin
from compose_runner.analysis.publish.publishing import prepare_publish
from compose_runner.analysis.write.result_directory import ResultDirectory
from compose_runner.compose.environments import environment_named
from tests.support import synthetic
from tests.support.compose_stand_in import Answer, ComposeStandIn
from tests.support.running_command import COMPOSE_RUN, COMPOSE_RUNNER, PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

QUESTION = "Go on? [y/N]"
STUDYSET = synthetic.random_studyset(8, foci_per_analysis=5)
META_ANALYSIS: dict[str, Any] = {
    "id": "meta",
    "run_key": "a-run-key",
    "specification": synthetic.specification("MKDADensity", corrector="FDRCorrector", corrector_args={}),
    "neurostore_studyset": {"id": "storeset"},
    "neurostore_annotation": {"id": "storenote"},
}


class OnTerminal:
    """A command whose standard input and standard error are a terminal; a context manager.

    Parameters
    ----------
    compose : ComposeStandIn
        What it takes for Compose.
    *arguments : object
        The command and its arguments.
    """

    def __init__(self, compose: ComposeStandIn, *arguments: object, stdin: bool = True, stderr: bool = True) -> None:
        self._master, slave = os.openpty()
        self.process = subprocess.Popen(
            [str(argument) for argument in arguments],
            stdin=slave if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=slave if stderr else subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            env={**os.environ, **compose.variables(), "TERM": "xterm", "COLUMNS": "200"},
        )
        os.close(slave)
        self.shown = ""
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> OnTerminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        self._reader.join()
        os.close(self._master)

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # the other side is closed
            while content := os.read(self._master, 4096):
                with self._changed:
                    self.shown += content.decode(errors="replace")
                    self._changed.notify_all()

    def wait_for(self, words: str) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: words in self.shown, PATIENCE_SECONDS), self.shown

    def wait_until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert self.process.poll() is None, self.shown
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def end(self) -> tuple[int, str]:
        out, _ = self.process.communicate(timeout=PATIENCE_SECONDS)
        self._reader.join()
        return self.process.returncode, out.strip()


@pytest.fixture
def compose() -> Iterator[ComposeStandIn]:
    with ComposeStandIn() as server:
        server.put_meta_analysis(META_ANALYSIS, STUDYSET, synthetic.annotated(STUDYSET))
        yield server


@pytest.fixture
def result(tmp_path: Path) -> Path:
    """A finished result of a run that did not upload."""
    directory = ResultDirectory(tmp_path / "results")
    bundle = Bundle(STUDYSET, synthetic.annotated(STUDYSET), META_ANALYSIS["specification"], Origin.DISK, "meta")
    prepare_publish(directory, bundle, environment_named("production"))
    directory.write("z.nii.gz", b"map")
    directory.write_metadata({"artifacts": directory.artifacts()})
    return directory.path


@pytest.mark.slow
def test_who_says_no_gets_the_result_looks_at_it_and_publishes_it_later(
    compose: ComposeStandIn, tmp_path: Path
) -> None:
    result_dir = tmp_path / "results"
    with OnTerminal(compose, COMPOSE_RUN, "meta", "--result-dir", result_dir, "--no-report") as terminal:
        terminal.wait_for(QUESTION)
        assert f"{compose.environment().find_page('meta')}, for everyone to see" in terminal.shown
        assert not compose.requests
        terminal.type("n\n")
        code, out = terminal.end()
    assert (code, out) == (0, str(result_dir)), terminal.shown
    assert terminal.shown.count(QUESTION) == 1
    assert f"compose-runner publish {result_dir}" in terminal.shown
    assert not compose.asked("POST")

    (result_dir / "private_scan.nii.gz").write_bytes(b"mine")
    (result_dir / "patients.tsv").write_bytes(b"name\tage\nsomebody\t50\n")
    listed = {entry["filename"] for entry in json.loads((result_dir / "metadata.json").read_bytes())["artifacts"]}
    with OnTerminal(compose, COMPOSE_RUNNER, "publish", result_dir) as terminal:
        terminal.wait_for(QUESTION)
        assert not compose.asked("POST")
        terminal.type("y\n")
        code, out = terminal.end()
    assert (code, out) == (0, compose.environment().find_page("meta")), terminal.shown
    (sent,) = compose.results.values()
    tables = {*sent.parts("cluster_tables"), *sent.parts("diagnostic_tables")}
    assert {name for name in listed if name.endswith(".nii.gz") and not name.startswith("label_")} == set(
        sent.parts("statistical_maps")
    )
    assert tables <= listed
    assert tables
    assert (result_dir / "private_scan.nii.gz").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("options", "terminals"),
    [
        (["--yes"], {}),
        (["-y"], {}),
        (["--no-upload"], {}),
        ([], {"stdin": False}),
        ([], {"stderr": False}),
    ],
)
def test_nobody_is_asked_who_has_answered_or_is_not_there(
    compose: ComposeStandIn, tmp_path: Path, options: list[str], terminals: dict[str, bool]
) -> None:
    compose.fail("GET", "meta-analyses/meta", Answer(hold=threading.Event()))
    arguments = (COMPOSE_RUN, "meta", "--result-dir", tmp_path / "results", *options)
    with OnTerminal(compose, *arguments, **terminals) as terminal:
        terminal.wait_until(lambda: compose.requests)
        terminal.process.kill()
        terminal.end()
    assert QUESTION not in terminal.shown


@pytest.mark.parametrize("keys", ["\n", "nonsense\n", "\x04", "n\n"])
def test_only_a_yes_is_a_yes(compose: ComposeStandIn, result: Path, keys: str) -> None:
    with OnTerminal(compose, COMPOSE_RUNNER, "publish", result) as terminal:
        terminal.wait_for(QUESTION)
        terminal.type(keys)
        code, out = terminal.end()
    assert (code, out) == (1, "")
    assert f"Not published. The result is still in {result}" in terminal.shown
    assert not compose.requests


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75), (signal.SIGHUP, 75)])
def test_a_question_can_be_left_without_an_answer(
    compose: ComposeStandIn, tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    with OnTerminal(compose, COMPOSE_RUN, "meta", "--result-dir", tmp_path / "results") as terminal:
        terminal.wait_for(QUESTION)
        terminal.process.send_signal(sent)
        assert terminal.end() == (code, "")
    assert "Stopped (" in terminal.shown
    assert "Traceback" not in terminal.shown
    assert not compose.requests
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("options", [["--yes"], []])
def test_what_is_public_already_is_not_asked_about(compose: ComposeStandIn, result: Path, options: list[str]) -> None:
    for arguments in (["--yes"], options):
        with OnTerminal(compose, COMPOSE_RUNNER, "publish", result, *arguments) as terminal:
            assert terminal.end() == (0, compose.environment().find_page("meta")), terminal.shown
        assert QUESTION not in terminal.shown
    assert len(compose.results) == 1


def test_without_a_terminal_an_upload_is_not_asked_about(compose: ComposeStandIn, result: Path) -> None:
    with OnTerminal(compose, COMPOSE_RUNNER, "publish", result, stdin=False, stderr=False) as command:
        assert command.end() == (0, compose.environment().find_page("meta"))
    assert len(compose.results) == 1


def test_a_rejected_key_leaves_the_command_that_goes_on(compose: ComposeStandIn, result: Path) -> None:
    compose.upload_key = "another"
    with OnTerminal(compose, COMPOSE_RUNNER, "publish", result, "--yes", "--nsc-key", "secret-key") as terminal:
        code, _ = terminal.end()
    assert code == 1
    shown = " ".join(terminal.shown.split())
    assert f"The result is safe in {result}. To publish it: compose-runner publish {result} --nsc-key KEY" in shown
    assert "secret-key" not in terminal.shown


def test_a_result_that_has_no_page_says_so(compose: ComposeStandIn, result: Path) -> None:
    ResultDirectory(result).remove("publish.json")
    ResultDirectory(result).write_metadata({"meta_analysis_id": None, "artifacts": []})
    with OnTerminal(compose, COMPOSE_RUNNER, "publish", result) as terminal:
        code, _ = terminal.end()
    assert code == 1
    assert "a bundle that names no meta-analysis of Compose" in " ".join(terminal.shown.split())
