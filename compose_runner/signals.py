"""Stop at once when a signal comes, whatever the process is doing.

Python runs a signal's handler in the main thread and only between two instructions: not while that thread is inside a
compiled loop, waits for another thread, or reads from a slow connection in a library that tries again. The number of
the signal, though, is written to a file descriptor the moment it comes (:func:`signal.set_wakeup_fd`), which wakes a
thread here. Processes that are forked while signals are watched have none of this, and end with their parent.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

    Handler = Callable[[int, FrameType | None], object]

# SIGHUP comes when the terminal is closed; Windows has none
STOPPING: tuple[signal.Signals, ...] = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
_PR_SET_PDEATHSIG = 1

_half_written: set[Path] = set()
_watch: SignalWatch | None = None


class SignalWatch:
    """Watches for signals, from a thread of its own, until it is closed.

    Parameters
    ----------
    signals : sequence of signal.Signals
        Which ones. Those that the process ignores already, as ``nohup`` does, stay ignored.
    react : callable
        Called in the watching thread, with each signal that comes.
    handler : callable, optional
        What Python calls in the main thread, as soon as it can.
    """

    def __init__(
        self,
        signals: Sequence[signal.Signals],
        react: Callable[[signal.Signals], object],
        handler: Handler = lambda *_: None,
    ) -> None:
        global _watch
        self.process = os.getpid()
        self._react = react
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        watched = [number for number in signals if signal.getsignal(number) is not signal.SIG_IGN]
        self._before = {number: signal.signal(number, handler) for number in watched}
        self._wakeup_before = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._read, name="signals", daemon=True)
        self._thread.start()
        _watch = self

    def close(self) -> None:
        """Give the signals back to their earlier handlers."""
        global _watch
        _watch = None
        signal.set_wakeup_fd(self._wakeup_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.write(self._writing, b"\0")
        self._thread.join()
        os.close(self._writing)
        os.close(self._reading)

    def forget(self) -> None:
        """Give a forked process its own, ordinary signals."""
        signal.set_wakeup_fd(-1)
        for number in self._before:
            signal.signal(number, signal.SIG_DFL)
        os.close(self._writing)
        os.close(self._reading)

    def _read(self) -> None:
        while number := os.read(self._reading, 1)[0]:
            if number in self._before:
                self._react(signal.Signals(number))


def end_process(code: int) -> NoReturn:
    """End this process and those that it started, without waiting for anything that runs in it.

    Parameters
    ----------
    code : int
        Exit code.
    """
    kill_descendants()
    for folder in list(_half_written):
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(code)


@contextlib.contextmanager
def removed_at_end(folder: Path) -> Iterator[None]:
    """Remove a folder of half-written files when :func:`end_process` ends the process inside the block."""
    _half_written.add(folder)
    try:
        yield
    finally:
        _half_written.discard(folder)


def kill_descendants() -> None:
    """Kill every process that descends from this one, where the system tells which these are."""
    parents: dict[int, int] = {}
    with contextlib.suppress(OSError):
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with contextlib.suppress(OSError, ValueError):
                    # the name of the program is in parentheses and may hold any character
                    after = (folder / "stat").read_bytes().rpartition(b")")[2]
                    parents[int(folder.name)] = int(after.split()[1])
    found = {os.getpid()}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    for child in found - {os.getpid()}:
        with contextlib.suppress(OSError):
            os.kill(child, signal.SIGKILL)


def _in_forked_process() -> None:
    """Undo what was inherited: a child that ran its parent's handlers would end its parent's work."""
    global _watch
    if _watch is None:
        return
    watch, _watch = _watch, None
    _half_written.clear()
    watch.forget()
    if sys.platform == "linux":
        # ends with the parent, however that one ends
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != watch.process:  # which may have ended meanwhile
        os._exit(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_forked_process)
