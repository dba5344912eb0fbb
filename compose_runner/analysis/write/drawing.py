"""Draw figures on all cores: matplotlib is Python, so that only processes help, and only forked ones start at once.

A drawing writes files. One that fails, or whose process dies, costs its own files and nothing else.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

from compose_runner.analysis.problems import explain_error, interruption_behind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

log = logging.getLogger(__name__)

# far longer than any figure takes; what is not done by then never will be
DRAWING_SECONDS = 300.0
_ATTEMPTS = 2
_REASON_BYTES = 10_000
# what asks a process to stop; the handlers that this process has are about its own work
_STOPPING = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1") if hasattr(signal, name)
)


@dataclass
class _Running:
    number: int
    process: Any
    reason: Any  # where the child sends why it failed
    gate: Any  # what lets the child begin
    deadline: float


def draw_all(drawings: Sequence[Callable[[], object]], n_cores: int = 1) -> dict[int, str]:
    """Make drawings, on Linux each in a process of its own.

    Parameters
    ----------
    drawings : sequence of callable
        Each writes its own files and nothing else; the longest first.
    n_cores : int
        How many at the same time.

    Returns
    -------
    dict of int to str
        Why a drawing failed, by its place in ``drawings``; the others are made.
    """
    if not sys.platform.startswith("linux"):
        return _draw_here(drawings)
    failed: dict[int, str] = {}
    waiting = list(range(len(drawings)))
    for attempt in range(_ATTEMPTS):
        # a process that died may have wanted more memory than there was beside the others
        died = _draw_in_processes(drawings, waiting, max(1, n_cores) if attempt == 0 else 1, failed)
        waiting = sorted(died)
        if not died:
            return failed
    return {**failed, **died}


def _draw_here(drawings: Sequence[Callable[[], object]]) -> dict[int, str]:
    failed: dict[int, str] = {}
    for number, drawing in enumerate(drawings):
        try:
            drawing()
        except Exception as error:
            if (interruption := interruption_behind(error)) is not None:
                raise interruption from error
            log.debug("drawing %d failed", number, exc_info=True)
            failed[number] = explain_error(error)
    return failed


def _draw_in_processes(
    drawings: Sequence[Callable[[], object]], numbers: Sequence[int], n_processes: int, failed: dict[int, str]
) -> dict[int, str]:
    """Draw some of the drawings; returns how those processes ended that died, by number."""
    waiting = list(numbers)
    running: list[_Running] = []
    gates: list[Any] = []
    died: dict[int, str] = {}
    try:
        while waiting or running:
            while waiting and len(running) < n_processes:
                # a signal that comes before the child has let go of this process's handlers waits until it has
                with _blocked_signals():
                    running.append(_started(waiting[0], drawings[waiting[0]], gates))
                # another thread may take a signal that is blocked here, and it interrupts all the same: a child that is
                # not yet among those that are ended has not begun, and ends when its gate is closed
                with suppress(BrokenPipeError):  # it has died already
                    running[-1].gate.send_bytes(b"draw")
                waiting.pop(0)
            first = min(one.deadline for one in running)
            wait([one.process.sentinel for one in running], timeout=max(0.0, first - time.monotonic()))
            for one in list(running):
                if one.process.is_alive() and time.monotonic() < one.deadline:
                    continue
                if one.process.is_alive():
                    failed[one.number] = f"it was not done after {DRAWING_SECONDS:.0f} s"
                    _end(one)
                elif (reason := _received(one)) is not None:
                    failed[one.number] = reason
                elif one.process.exitcode != 0:
                    died[one.number] = f"its process ended with {one.process.exitcode}"
                _close(one)
                running.remove(one)
    finally:
        for gate in gates:
            gate.close()
        for one in running:
            with suppress(ValueError):  # closed already
                _end(one)
                _close(one)
    return died


def _started(number: int, drawing: Callable[[], object], gates: list[Any]) -> _Running:
    context = multiprocessing.get_context("fork")
    reader, writer = context.Pipe(duplex=False)
    opening, gate = context.Pipe(duplex=False)
    gates.append(gate)
    process = context.Process(target=_draw_as_child, args=(drawing, writer, opening, gate), daemon=True)
    process.start()
    writer.close()
    opening.close()
    return _Running(number, process, reader, gate, time.monotonic() + DRAWING_SECONDS)


def _received(one: _Running) -> str | None:
    """Why the drawing failed, if its process has said so."""
    try:
        reason: bytes = one.reason.recv_bytes(_REASON_BYTES)
    except (EOFError, OSError):
        return None
    return reason.decode("utf-8", "replace")


def _end(one: _Running) -> None:
    one.process.kill()
    one.process.join()


def _close(one: _Running) -> None:
    one.process.join()
    one.reason.close()
    one.gate.close()
    one.process.close()


@contextmanager
def _blocked_signals() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _draw_as_child(drawing: Callable[[], object], writer: Any, opening: Any, gate: Any) -> None:
    """Draw without a word: handlers of the parent may hold locks that nobody here releases."""
    gate.close()
    signal.set_wakeup_fd(-1)
    for number in _STOPPING:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
    logging.disable()
    try:
        opening.recv_bytes()
    except EOFError:  # the parent was interrupted before it knew of this process
        return
    try:
        drawing()
    except Exception as error:
        writer.send_bytes(explain_error(error).encode("utf-8", "replace")[:_REASON_BYTES])
