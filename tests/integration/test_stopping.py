"""A command that is asked to stop ends at once, wherever it is: its code, its last words, and what is left of it."""

from __future__ import annotations

import json
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from compose_runner.analysis.fetch.bundle import Bundle, Origin
from compose_runner.analysis.publish.publishing import prepare_publish
from compose_runner.analysis.write.result_directory import ResultDirectory
from tests.support import synthetic
from tests.support.compose_stand_in import RESULTS, STORE_HOST, Answer, ComposeStandIn
from tests.support.running_command import COMPOSE_RUN, COMPOSE_RUNNER, RunningCommand

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STUDYSET = synthetic.random_studyset(8, foci_per_analysis=5)
META_ANALYSIS: dict[str, Any] = {
    "id": "meta",
    "run_key": "a-run-key",
    "specification": synthetic.specification("ALE", corrector="FDRCorrector", corrector_args={"method": "indep"}),
    "neurostore_studyset": {"id": "storeset"},
    "neurostore_annotation": {"id": "storenote"},
}
CODES = {signal.SIGINT: 130, signal.SIGTERM: 75, signal.SIGHUP: 75}
# each is somewhere where Python alone would not end, or would end with something else to say
SITUATIONS = {
    "a wait in compiled code": "ctypes.CDLL(None).sleep(600)",
    # which no signal interrupts, unlike a wait
    "compiled code": 'hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)',
    "a wait for a thread": """
        with ThreadPoolExecutor(1) as threads:
            threads.submit(time.sleep, 600)
    """,
    "a library that takes interruptions for errors": """
        try:
            time.sleep(600)
        except KeyboardInterrupt as error:
            raise SystemError("CPUDispatcher returned a result with an exception set") from error
    """,
    "a library that lets no error through": """
        while True:
            with contextlib.suppress(BaseException):
                time.sleep(600)
    """,
    "a wait for a lock": """
        from filelock import FileLock
        with FileLock(sys.argv[1] + "/lock"):
            FileLock(sys.argv[1] + "/lock", is_singleton=False).acquire()
    """,
    "the import of NiMARE": """
        from compose_runner.analysis.interpreter import importing
        with importing():
            from compose_runner.analysis import stages
        time.sleep(600)
    """,
    "a callback": """
        type("Collected", (), {"__del__": lambda self: time.sleep(600)})()
        time.sleep(600)
    """,
    "children": """
        import multiprocessing, subprocess
        fork = multiprocessing.get_context("fork")
        for _ in range(2):
            fork.Process(target=time.sleep, args=(600,)).start()
        subprocess.Popen(["sleep", "600"])
        time.sleep(600)
    """,
    "the writing of a result": """
        from compose_runner.analysis.write.result_directory import ResultDirectory
        directory = ResultDirectory(sys.argv[1])
        with directory.claimed(), directory.writing() as folder:
            (folder / "z.nii.gz").write_bytes(b"half a m")
            ctypes.CDLL(None).sleep(600)
    """,
}
PROGRAM = """
import contextlib, ctypes, hashlib, sys, time
from concurrent.futures import ThreadPoolExecutor
from compose_runner.commands.exit_codes import exit_with_code

def action():
    print("ready", file=sys.stderr, flush=True)
    {situation}

exit_with_code(action)
"""


def program(situation: str) -> list[str]:
    lines = [line.removeprefix("    ") for line in SITUATIONS[situation].splitlines()]
    return [sys.executable, "-c", PROGRAM.format(situation="\n".join(lines).strip())]


def last_line(said: str) -> str:
    assert "Traceback" not in said
    lines = [line for line in said.splitlines() if line.startswith("compose-runner: ")]
    assert len(lines) == 1, said
    return lines[0]


@pytest.mark.parametrize("sent", CODES, ids=lambda number: number.name)
@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_signal_ends_a_command_wherever_it_is(situation: str, sent: signal.Signals, tmp_path: Path) -> None:
    with RunningCommand(*program(situation), tmp_path) as command:
        command.wait_for_words("ready")
        if situation == "children":
            command.wait_until(lambda: len(command.processes()) == 4)
        if situation == "the writing of a result":
            command.wait_until(lambda: list(tmp_path.rglob("z.nii.gz")))
        code, out, said = command.end_with(sent)
        command.wait_for_all_to_end()
    assert (code, out) == (CODES[sent], "")
    assert said.count("\n") == 1
    assert "Stopped (" in last_line(said)
    assert list(tmp_path.rglob("z.nii.gz")) == []
    with ResultDirectory(tmp_path).claimed():
        """The lock is free."""


def test_a_second_ctrl_c_ends_a_command_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    never = "import compose_runner.commands.exit_codes\ncompose_runner.commands.exit_codes.GRACE_SECONDS = 3600.0\n"
    interpreter, option, text = program("compiled code")
    with RunningCommand(interpreter, option, never + text) as command:
        command.wait_for_words("ready")
        code, _, said = command.end_with(signal.SIGINT, signal.SIGINT)
    assert code == 130
    assert "Ctrl-C" in last_line(said)


def test_a_hang_up_that_is_to_be_ignored_is_ignored() -> None:
    with RunningCommand("nohup", *program("compiled code")) as command:
        command.wait_for_words("ready")
        code, _, said = command.end_with(signal.SIGHUP, signal.SIGTERM)
    assert code == 75
    assert "SIGTERM" in last_line(said)


def test_children_end_with_a_command_that_is_killed() -> None:
    interpreter, option, text = program("children")
    with RunningCommand(interpreter, option, text.replace('subprocess.Popen(["sleep", "600"])', "")) as command:
        command.wait_for_words("ready")
        command.wait_until(lambda: len(command.processes()) == 3)
        command.end_with(signal.SIGKILL)
        command.wait_for_all_to_end()


def test_an_answer_that_nobody_reads_to_its_end_is_no_error() -> None:
    text = (
        "import click; from compose_runner.commands.exit_codes import exit_with_code\n"
        "exit_with_code(lambda: [click.echo('x' * 100) for _ in range(100_000)])"
    )
    with RunningCommand("bash", "-c", f'{sys.executable} -c "{text}" | head -1') as command:
        code, out, said = command.end()
    assert (code, out.strip(), said) == (0, "x" * 100, "")


def test_a_run_from_python_leaves_signals_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    text = (
        "import signal; before = [signal.getsignal(n) for n in (2, 15, 1)]\n"
        "from compose_runner.run import run\n"
        f"try: run('meta', result_dir={str(tmp_path)!r})\n"
        "except Exception as error: assert 'thesis.txt' in str(error)\n"
        "assert before == [signal.getsignal(n) for n in (2, 15, 1)]; assert signal.set_wakeup_fd(-1) == -1"
    )
    with RunningCommand(sys.executable, "-c", text) as command:
        code, _, said = command.end()
    assert code == 0, said


@pytest.fixture
def compose() -> Iterator[ComposeStandIn]:
    with ComposeStandIn() as server:
        server.put_meta_analysis(META_ANALYSIS, STUDYSET, synthetic.annotated(STUDYSET))
        yield server


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A finished result that is not published."""
    directory = ResultDirectory(tmp_path / "results")
    studyset = synthetic.random_studyset(n_studies=2)
    bundle = Bundle(studyset, synthetic.annotated(studyset), synthetic.specification(), Origin.DISK, "meta")
    from compose_runner.compose.environments import environment_named

    prepare_publish(directory, bundle, environment_named("production"))
    directory.write("z.nii.gz", b"map")
    directory.write_metadata({"artifacts": directory.artifacts()})
    return directory.path


@pytest.mark.parametrize(
    ("answer", "sent"),
    [
        (Answer(hold=threading.Event()), signal.SIGTERM),
        (Answer(503, headers={"Retry-After": "100000"}), signal.SIGINT),
    ],
    ids=["silent", "busy"],
)
def test_a_run_that_fetches_ends_and_leaves_an_earlier_result_as_it_was(
    compose: ComposeStandIn, earlier: Path, answer: Answer, sent: signal.Signals
) -> None:
    compose.fail("GET", "studysets/storeset", *[answer] * 9, host=STORE_HOST)
    before = {path.name: path.read_bytes() for path in earlier.iterdir() if path.is_file()}
    arguments = ("meta", "--result-dir", earlier, "--no-upload")
    with RunningCommand(COMPOSE_RUN, *arguments, variables=compose.variables()) as command:
        command.wait_until(lambda: compose.asked()[f"{STORE_HOST}/api/studysets/storeset"])
        code, out, said = command.end_with(sent)
        command.wait_for_all_to_end()
    assert (code, out) == (CODES[sent], "")
    assert "Nothing was computed yet" in last_line(said)
    assert {path.name: path.read_bytes() for path in earlier.iterdir() if path.is_file()} == before


def test_an_upload_ends_and_is_gone_on_with(compose: ComposeStandIn, earlier: Path) -> None:
    compose.fail("PUT", f"{RESULTS}/result1", Answer(hold=threading.Event()))
    with RunningCommand(COMPOSE_RUNNER, "publish", earlier, variables=compose.variables()) as command:
        command.wait_until(lambda: compose.asked("PUT"))
        code, out, said = command.end_with(signal.SIGHUP)
    assert (code, out) == (75, "")
    assert "the same command goes on" in last_line(said)
    with RunningCommand(COMPOSE_RUNNER, "publish", earlier, variables=compose.variables()) as command:
        code, out, said = command.end()
    assert code == 0, said
    assert out.strip().endswith("/meta-analyses/meta")
    assert list(compose.results) == ["result1"]


def write_bundle(folder: Path, studyset: dict[str, Any], specification: dict[str, Any]) -> Path:
    documents = {"studyset": studyset, "annotation": synthetic.annotated(studyset), "specification": specification}
    path = folder / "bundle.json"
    path.write_text(json.dumps(documents), encoding="utf-8")
    return path


@pytest.mark.slow
def test_a_run_that_writes_its_result_ends_and_leaves_no_part_of_it(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path, STUDYSET, META_ANALYSIS["specification"])
    arguments = ("--bundle", bundle, "--result-dir", tmp_path / "results", "--n-cores", "3", "--log-format", "json")
    with RunningCommand(COMPOSE_RUN, *arguments) as command:
        command.wait_for_words('"stage":"write"')
        code, out, said = command.end_with(signal.SIGTERM)
        command.wait_for_all_to_end()
    assert (code, out) == (75, "")
    assert "Write maps, tables, report" in last_line(said)
    assert not (tmp_path / "results" / "metadata.json").exists()
    assert not (tmp_path / "results" / "report.html").exists()


@pytest.mark.slow
def test_a_run_that_waits_for_maps_ends(compose: ComposeStandIn, tmp_path: Path) -> None:
    studyset = synthetic.random_studyset(6, analyses_per_study=1)
    for number, study in enumerate(studyset["studies"]):
        address = compose.put_file(f"maps/{number}.nii.gz", b"")
        compose.fail_path("GET", f"maps/{number}.nii.gz", Answer(hold=threading.Event()))
        study["analyses"][0]["images"] = [{"id": f"i{number}", "value_type": "Z map", "url": address, "filename": None}]
    specification = synthetic.specification("Stouffers", kind="IBMA", corrector=None, corrector_args=None)
    bundle = write_bundle(tmp_path, studyset, specification)
    host = urlsplit(str(studyset["studies"][0]["analyses"][0]["images"][0]["url"])).netloc
    arguments = ("--bundle", bundle, "--result-dir", tmp_path / "results", "--allow-host", host)
    with RunningCommand(COMPOSE_RUN, *arguments) as command:
        command.wait_until(lambda: [path for path in compose.asked() if path.startswith("maps/")])
        code, out, said = command.end_with(signal.SIGINT)
    assert (code, out) == (130, "")
    assert "Select the analyses" in last_line(said)
