"""What a person or a log collector sees of a run: records and progress, all on standard error.

Standard output belongs to the answer (an address, a path, a JSON document), so that it can be piped.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, TextIO

from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

from compose_runner.escaping import json_text, visible
from compose_runner.progress import LoggedProgress
from compose_runner.service.log_events import QUIET_LIBRARIES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import Task, TaskID

    from compose_runner.progress import ProgressListener, ProgressRecord

LogFormat = Literal["text", "json"]
log = logging.getLogger("compose_runner")

STAGE_NAMES = {
    "fetch": "Fetch the documents",
    "select": "Select the analyses",
    "fit": "Fit",
    "correct": "Correct for multiple comparisons",
    "diagnose": "Describe the clusters",
    "write": "Write maps, tables, report",
    "upload": "Upload the artifacts",
    "publish": "Publish on Neurosynth Compose",
}


def json_formatter() -> logging.Formatter:
    """One JSON object a record, the same shape in the shell, the functions and the task."""
    formatter: logging.Formatter = LambdaPowertoolsFormatter(
        log_record_order=["level", "message", "timestamp"],
        utc=True,
        location=None,
        service="compose-runner",
        json_serializer=_serialized,
    )
    return formatter


def _serialized(record: Any) -> str:
    return json_text(record, default=str, separators=(",", ":"))


class _VisibleFormatter(logging.Formatter):
    """Makes control characters of a record visible; rich indents the further lines of one."""

    def format(self, record: logging.LogRecord) -> str:
        """Write the message, and what was raised, as text that a terminal only shows."""
        return visible(super().format(record), lines=True)


@contextlib.contextmanager
def records_on(stream: TextIO, log_format: LogFormat, console: Console | None = None) -> Iterator[None]:
    """Send every record and warning of this process to one stream, and nothing of them to standard output.

    Parameters
    ----------
    stream : file
        Where the records go.
    log_format : {"text", "json"}
        For a person, or one JSON object a line.
    console : rich.console.Console, optional
        The terminal that also draws the progress bar, so that the two do not overwrite each other.
    """
    root = logging.getLogger()
    handler: logging.Handler
    if log_format == "text":
        from rich.logging import RichHandler

        handler = RichHandler(console=console, show_path=False, log_time_format="%H:%M:%S", rich_tracebacks=False)
        handler.setFormatter(_VisibleFormatter())
    else:
        handler = logging.StreamHandler(stream)
        handler.setFormatter(json_formatter())
    before = root.handlers[:], root.level, {name: logging.getLogger(name).level for name in QUIET_LIBRARIES}
    show_warning, sys_stdout = warnings.showwarning, sys.stdout
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name in QUIET_LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    sys.stdout = sys.stderr  # a library that prints must not spoil the answer
    try:
        yield
    finally:
        sys.stdout = sys_stdout
        logging.captureWarnings(False)
        warnings.showwarning = show_warning
        root.handlers[:], root.level = before[0], before[1]
        for name, level in before[2].items():
            logging.getLogger(name).setLevel(level)


def time_left(seconds: object) -> str:
    """Write a number of seconds as ``about 5 min left``; nothing for what is not a number."""
    if not isinstance(seconds, int | float):
        return ""
    if seconds < 90:
        return f"about {seconds:.0f} s left"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} min left"
    return f"about {seconds / 3600:.1f} h left"


class TerminalProgress:
    """Draws one line a stage, with a bar and the time left where the number of steps is known.

    Parameters
    ----------
    console : rich.console.Console
        The terminal.
    """

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar
        from rich.text import Text

        class Steps(ProgressColumn):
            """How many steps, and how long the rest takes; nothing for a stage whose steps nobody can count."""

            def render(self, task: Task) -> Text:
                if not task.fields["counted"]:
                    return Text()
                steps = f"{task.completed:,.0f}/{task.total or 0:,.0f}"
                seconds = task.time_remaining
                return Text(
                    steps if task.finished or seconds is None else f"{steps}, {time_left(seconds)}", no_wrap=True
                )

        self._bar: Bar = Bar(
            SpinnerColumn(finished_text="[green]✓"),
            # all of it fits into 80 columns
            TextColumn("{task.description:<32}"),
            BarColumn(bar_width=8),
            Steps(),
            TimeElapsedColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._lock = Lock()

    def __enter__(self) -> TerminalProgress:
        self._bar.start()
        return self

    def __exit__(self, exception_type: type[BaseException] | None, *_: object) -> None:
        if exception_type is None:
            self._finish()
        self._bar.stop()

    def __call__(self, record: ProgressRecord) -> None:
        """Draw the record."""
        with self._lock:
            stage = record.stage.value
            if stage not in self._tasks:
                self._finish()
                self._tasks[stage] = self._bar.add_task(STAGE_NAMES.get(stage, stage), total=None, counted=False)
            if record.total:
                self._bar.update(self._tasks[stage], completed=record.completed, total=record.total, counted=True)

    def _finish(self) -> None:
        for task in self._bar.tasks:
            if not task.finished:
                total = task.total or 1
                self._bar.update(task.id, total=total, completed=total)


def has_person() -> bool:
    """Whether a person sees what is asked, and can answer."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def agreed(question: str) -> bool:
    """Ask a person a question on standard error; only ``y`` and ``yes`` are a yes.

    Parameters
    ----------
    question : str
        Without what can be answered.
    """
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer:  # the end of the input, which leaves the cursor behind the question
        sys.stderr.write("\n")
    return answer.strip().lower() in ("y", "yes")


@contextlib.contextmanager
def watching(log_format: LogFormat | None = None) -> Iterator[ProgressListener]:
    """Set up records and progress for one run on this process's standard error.

    Parameters
    ----------
    log_format : {"text", "json"} or None
        None chooses text for a terminal and JSON otherwise.
    """
    from rich.console import Console

    console = Console(stderr=True)
    log_format = log_format or ("text" if console.is_terminal else "json")
    with records_on(sys.stderr, log_format, console):
        if log_format == "text" and console.is_terminal:
            with TerminalProgress(console) as listener:
                yield listener
        else:
            yield LoggedProgress()
