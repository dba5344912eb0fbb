"""How a command ends: one line for a person and an exit code for a program, whatever happened.

Exit codes: 0 done, 1 a person has to change something, 75 try again (SIGTERM and SIGHUP too), 130 Ctrl-C.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import click

from compose_runner.errors import (
    EXIT_CANNOT_RUN,
    EXIT_INTERRUPTED,
    EXIT_TRY_AGAIN,
    ComposeRunnerError,
    TerminationRequested,
)
from compose_runner.escaping import visible
from compose_runner.signals import STOPPING, SignalWatch, end_process

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

# how long the main thread may take to leave what it is doing before it is left to itself
GRACE_SECONDS = 1.0
_CAUSES = {"SIGINT": "Ctrl-C", "SIGTERM": "SIGTERM", "SIGHUP": "SIGHUP: the terminal was closed"}


class WorkSummary(Protocol):
    """What a command can say about its work when it ends early; called from any thread."""

    def stopped(self) -> str:
        """Say what was finished and kept; may be empty."""

    def failed(self, error: BaseException) -> str:
        """Say what was finished and kept although an error came; may be empty."""


def exit_with_code(action: Callable[[], Any], account: WorkSummary | None = None) -> Any:
    """Run an action of the command line, and turn its errors into one line and an exit code, in this one place.

    Parameters
    ----------
    action : callable
        What the command does.
    account : WorkSummary, optional
        What the line says besides the error or the signal.
    """
    with _Stopping(account) as stopping:
        try:
            result = action()
        except BaseException as error:
            if stopping.received is not None:
                # whatever a library made of the interruption
                stopping.end(stopping.received)
            _fail(error, account)
            raise
        if stopping.received is not None:
            stopping.end(stopping.received)
        return result


def _fail(error: BaseException, account: WorkSummary | None) -> None:
    """End the process with the line and the exit code of an error; return for an error that nobody foresaw."""
    if isinstance(error, ComposeRunnerError):
        complain(f"{error} {account.failed(error) if account is not None else ''}")
        sys.exit(error.exit_code)
    if isinstance(error, KeyboardInterrupt):
        complain("Stopped.")
        sys.exit(error.exit_code if isinstance(error, TerminationRequested) else EXIT_INTERRUPTED)
    if isinstance(error, BrokenPipeError):
        # the reader of the answer has closed the pipe; Python would complain once more when it flushes
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_CANNOT_RUN)
    if isinstance(error, OSError):
        complain(
            f"{error.strerror or str(error) or type(error).__name__}{f': {error.filename}' if error.filename else ''}. "
            f"{account.failed(error) if account is not None else ''}"
        )
        sys.exit(EXIT_TRY_AGAIN if isinstance(error, ConnectionError | TimeoutError) else EXIT_CANNOT_RUN)


def complain(text: str) -> None:
    """Write one line to standard error."""
    click.secho(f"compose-runner: {visible(' '.join(text.split()))}", fg="red", err=True)


class _Stopping:
    """Ends the process when a signal comes: from the main thread if that one can, otherwise from another.

    Parameters
    ----------
    account : WorkSummary or None
        What was finished and kept.
    """

    def __init__(self, account: WorkSummary | None) -> None:
        self.received: signal.Signals | None = None
        self._account = account
        self._first: signal.Signals | None = None
        self._ending = threading.Lock()
        self._watch: SignalWatch | None = None

    def __enter__(self) -> _Stopping:
        # only the main thread of a program may change what signals do
        if threading.current_thread() is threading.main_thread():
            self._watch = SignalWatch(STOPPING, self._react, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        if self._watch is not None:
            self._watch.close()

    def end(self, number: signal.Signals) -> NoReturn:
        """Say what was kept, and end the process; a second caller waits for the end."""
        self._ending.acquire()
        kept = ""
        # the line is said in any case
        with contextlib.suppress(Exception):
            kept = self._account.stopped() if self._account is not None else ""
        what = getattr(self._account, "ended", "Stopped")
        text = visible(f"compose-runner: {what} ({_CAUSES.get(number.name, number.name)}). {kept}")
        if sys.__stderr__ is not None and sys.__stderr__.isatty():
            # over the progress bar, whose cursor is hidden
            red, plain = ("", "") if os.environ.get("NO_COLOR") else ("\x1b[31m", "\x1b[0m")
            text = f"\r\x1b[2K{red}{text}{plain}\x1b[?25h"
        # not through sys.stderr: another thread may have its lock
        with contextlib.suppress(OSError):
            os.write(2, f"{text}\n".encode())
        end_process(EXIT_INTERRUPTED if number is signal.SIGINT else EXIT_TRY_AGAIN)

    def _interrupt(self, number: int, _frame: FrameType | None) -> None:
        """In the main thread: leave what is being done."""
        if self.received is not None:
            return
        self.received = signal.Signals(number)
        # an exception in a callback of a library, which cannot pass it on, is no news
        sys.unraisablehook = lambda _: None
        raise KeyboardInterrupt if self.received is signal.SIGINT else TerminationRequested

    def _react(self, number: signal.Signals) -> None:
        """In the watching thread: end the process when the main thread does not, or when a second Ctrl-C comes."""
        if self._first is not None:
            if number is signal.SIGINT:
                self.end(self._first)
            return
        self._first = number
        timer = threading.Timer(GRACE_SECONDS, self.end, (number,))
        timer.daemon = True
        timer.start()
