"""What a person or a log collector sees of a run: records and progress, all on standard error.

Standard output belongs to the answer (an address, a path, a JSON document), so that it can be piped.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, TextIO

from compose_runner.escaping import json_text, visible
from compose_runner.progress import STAGE_NAMES, LoggedProgress, Stage, time_left
from compose_runner.service.log_events import QUIET_LIBRARIES
from compose_runner.service.record_format import RecordFormatter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import Task, TaskID

    from compose_runner.progress import ProgressListener, ProgressRecord

LogFormat = Literal["text", "json"]
log = logging.getLogger("compose_runner")

# attributes of every record; what else it has are its fields
_PLAIN_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
WAITING = Stage.WAITING.value
_OF_CONTAINERS = (
    "AWS_LAMBDA_FUNCTION_NAME",
    "ECS_CONTAINER_METADATA_URI",
    "ECS_CONTAINER_METADATA_URI_V4",
    "KUBERNETES_SERVICE_HOST",
)
# made by Docker and by Podman
_IN_CONTAINERS = ("/.dockerenv", "/run/.containerenv")


def json_formatter() -> logging.Formatter:
    """One JSON object a record, the same shape in the shell, the functions and the task."""
    return RecordFormatter(utc=True, location=None, service="compose-runner", json_serializer=_serialized)


def _serialized(record: Any) -> str:
    return json_text(record, default=str, separators=(",", ":"))


class _TextFormatter(logging.Formatter):
    """Writes a record for a person: the message, its fields as ``name=value``, and no control characters.

    Parameters
    ----------
    timed : bool
        Whether the line begins with time and level, which rich writes itself.
    """

    def __init__(self, *, timed: bool) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s" if timed else "%(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's
        """Write the line of the record."""
        fields = (f"{name}={value}" for name, value in vars(record).items() if name not in _PLAIN_RECORD)
        return " ".join((super().formatMessage(record), *fields))

    def format(self, record: logging.LogRecord) -> str:
        """Write the message, and what was raised, as text that a terminal only shows."""
        return visible(super().format(record), lines=True)


def _is_for_a_person(record: logging.LogRecord) -> bool:
    """Whether a record is this package's own, or an error; the rest is in the run's log (``run.log``)."""
    return record.name.startswith(("compose_runner", "functions", "task")) or record.levelno >= logging.ERROR


def in_container() -> bool:
    """Whether this process runs in a container or a function, whose output a log collector reads."""
    return any(os.environ.get(name) for name in _OF_CONTAINERS) or any(Path(name).exists() for name in _IN_CONTAINERS)


@contextlib.contextmanager
def records_on(
    stream: TextIO, log_format: LogFormat, console: Console | None = None, *, verbose: bool = False
) -> Iterator[None]:
    """Send the records and warnings of this process to one stream, and nothing of them to standard output.

    Parameters
    ----------
    stream : file
        Where the records go.
    log_format : {"text", "json"}
        For a person, without what libraries say about themselves, or one JSON object a line, with everything.
    console : rich.console.Console, optional
        The terminal that also draws the progress bar, so that the two do not overwrite each other.
    verbose : bool
        For a person too, everything.
    """
    root = logging.getLogger()
    handler: logging.Handler
    if log_format == "text" and console is not None and console.is_terminal:
        from rich.logging import RichHandler

        handler = RichHandler(console=console, show_path=False, log_time_format="%H:%M:%S", rich_tracebacks=False)
        handler.setFormatter(_TextFormatter(timed=False))
    else:
        handler = logging.StreamHandler(stream)
        handler.setFormatter(_TextFormatter(timed=True) if log_format == "text" else json_formatter())
    if log_format == "text" and not verbose:
        handler.addFilter(_is_for_a_person)
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

    def wait(self, text: str) -> None:
        """Draw that a job waits, until the first record comes."""
        with self._lock:
            if WAITING not in self._tasks:
                self._tasks[WAITING] = self._bar.add_task(text, total=None, counted=False)
            self._bar.update(self._tasks[WAITING], description=text)

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
def watching(log_format: LogFormat | None = None, *, verbose: bool = False) -> Iterator[ProgressListener]:
    """Set up records and progress for one run on this process's standard error.

    Parameters
    ----------
    log_format : {"text", "json"} or None
        None chooses text, and JSON in a container unless a terminal is attached to it.
    verbose : bool
        Show what libraries say, too.
    """
    from rich.console import Console

    console = Console(stderr=True)
    log_format = log_format or ("json" if in_container() and not console.is_terminal else "text")
    with records_on(sys.stderr, log_format, console, verbose=verbose):
        if log_format == "text" and console.is_terminal:
            with TerminalProgress(console) as listener:
                yield listener
        else:
            yield LoggedProgress()
