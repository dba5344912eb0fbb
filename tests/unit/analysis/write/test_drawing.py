from __future__ import annotations

import os
import signal
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from compose_runner.analysis.write import drawing
from compose_runner.analysis.write.drawing import draw_all

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="figures are drawn in processes on Linux only"),
]


def _draw(path: Path) -> None:
    path.write_text(str(os.getpid()))


def _impossible() -> None:
    raise ValueError("no such map")


@pytest.mark.parametrize("n_cores", [1, 2, 3, 9])
@pytest.mark.parametrize("n_drawings", [0, 1, 2, 5])
def test_every_drawing_is_made_whatever_the_cores(tmp_path: Path, n_cores: int, n_drawings: int) -> None:
    assert draw_all([partial(_draw, tmp_path / str(number)) for number in range(n_drawings)], n_cores) == {}
    assert sorted(path.name for path in tmp_path.iterdir()) == [str(number) for number in range(n_drawings)]


def test_no_drawing_is_made_in_the_process_of_the_run(tmp_path: Path) -> None:
    draw_all([partial(_draw, tmp_path / str(number)) for number in range(2)], 2)
    processes = {path.read_text() for path in tmp_path.iterdir()}
    assert len(processes) == 2
    assert str(os.getpid()) not in processes


def test_a_drawing_that_fails_says_why_and_the_others_are_made(tmp_path: Path) -> None:
    assert draw_all([_impossible, partial(_draw, tmp_path / "second"), _impossible], 2) == {
        0: "no such map",
        2: "no such map",
    }
    assert (tmp_path / "second").exists()


def test_on_other_systems_a_drawing_that_fails_costs_itself_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert draw_all([_impossible, partial(_draw, tmp_path / "second")], 2) == {0: "no such map"}
    assert (tmp_path / "second").read_text() == str(os.getpid())


def test_a_drawing_whose_process_dies_once_is_made_in_another(tmp_path: Path) -> None:
    def dies_at_first() -> None:
        if not (tmp_path / "tried").exists():
            (tmp_path / "tried").touch()
            os._exit(3)
        _draw(tmp_path / "first")

    assert draw_all([dies_at_first, partial(_draw, tmp_path / "second")], 2) == {}
    assert (tmp_path / "first").exists()
    assert (tmp_path / "second").exists()


def test_a_drawing_whose_process_always_dies_costs_itself(tmp_path: Path) -> None:
    def dies() -> None:
        os.kill(os.getpid(), signal.SIGSEGV)

    assert draw_all([dies, partial(_draw, tmp_path / "second")], 2) == {0: f"its process ended with {-signal.SIGSEGV}"}
    assert (tmp_path / "second").exists()


def test_a_drawing_that_never_ends_costs_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "DRAWING_SECONDS", 0.2)
    failed = draw_all([signal.pause, partial(_draw, tmp_path / "second")], 2)
    assert list(failed) == [0]
    assert "not done" in failed[0]
    assert (tmp_path / "second").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_process_that_draws_does_not_run_the_handlers_of_the_run(tmp_path: Path, number: signal.Signals) -> None:
    def signalled() -> None:
        os.kill(os.getpid(), number)

    def handler(*_: object) -> None:
        (tmp_path / str(os.getpid())).touch()

    before = signal.signal(number, handler)
    try:
        failed = draw_all([signalled], 1)
    finally:
        signal.signal(number, before)
    assert failed == {0: f"its process ended with {-number}"}
    assert list(tmp_path.iterdir()) == []


def test_no_process_is_left_when_the_run_is_interrupted(tmp_path: Path) -> None:
    def drawn_for_ever(path: Path) -> None:
        _draw(path.with_suffix(".unfinished"))
        path.with_suffix(".unfinished").rename(path)
        signal.pause()

    def interrupt() -> None:
        deadline = time.monotonic() + 30
        while len(list(tmp_path.glob("*.process"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGINT)

    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            draw_all([partial(drawn_for_ever, tmp_path / f"{number}.process") for number in range(3)], 2)
    finally:
        signal.signal(signal.SIGINT, before)
        interrupting.join()
    for path in tmp_path.glob("*.process"):
        with pytest.raises(ProcessLookupError):
            os.kill(int(path.read_text()), 0)


def test_a_process_that_the_interrupted_run_does_not_know_yet_ends_without_a_drawing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    seen, told = os.pipe()
    monkeypatch.setattr(drawing, "_Running", interrupted)
    with pytest.raises(KeyboardInterrupt):
        draw_all([partial(os.write, told, b"drawn")])
    os.close(told)
    with os.fdopen(seen, "rb") as left:  # ends with the last process that could draw
        assert left.read() == b""
