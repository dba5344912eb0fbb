"""Containers as subprocesses: started in turn, their lines handed on, stopped the way Fargate stops them."""

from __future__ import annotations

import os
import queue
import shutil
import signal
import subprocess
import tempfile
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from compose_runner.local.aws.guard import Guard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# Fargate's own default for a container that names no StopTimeout
STOP_SECONDS = 30.0
EXITED = "Essential container in task exited"
CANNOT_START = "CannotStartContainerError"
# what a shell reports for a command that it cannot start; 128 + n stands for an end by signal n
CANNOT_START_CODE = 127
SIGNAL_BASE = 128


@dataclass(frozen=True, slots=True)
class ContainerRequest:
    """What to run.

    Parameters
    ----------
    container_id : str
        Names the run in messages.
    arguments : sequence of str
        Appended to the runner's command, as Docker appends CMD to ENTRYPOINT.
    environment : mapping
        Variables added to the runner's own.
    on_line : callable
        Takes each line that the process writes to stdout or stderr, without its end.
    stop_seconds : float
        Time between SIGTERM and SIGKILL.
    """

    container_id: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    on_line: Callable[[str], None]
    stop_seconds: float = STOP_SECONDS


@dataclass(slots=True, eq=False)
class ContainerRun:
    """One container, from its place in the queue to its exit code.

    Parameters
    ----------
    request : ContainerRequest
        What is run.
    on_change : callable
        Called without arguments when the process has started and when it has ended.
    """

    request: ContainerRequest
    on_change: Callable[[ContainerRun], None]
    process: subprocess.Popen[str] | None = None
    exit_code: int | None = None
    reason: str = ""
    stop_requested: bool = False
    finished: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def started(self) -> bool:
        """Whether there is or was a process."""
        return self.process is not None

    def stop(self, reason: str) -> None:
        """Ask the process to end, and end it when the time of grace is over; a queued one never starts.

        Parameters
        ----------
        reason : str
            Why; becomes the task's ``StoppedReason``.
        """
        with self._lock:
            if self.finished.is_set() or self.stop_requested:
                return
            self.stop_requested, self.reason = True, reason
            if self.process is None:
                return
        self._signal(signal.SIGTERM)
        timer = threading.Timer(self.request.stop_seconds, self._signal, (signal.SIGKILL,))
        timer.daemon = True
        timer.start()

    def kill(self) -> None:
        """End the process now."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with self._lock:
            if self.process is not None and self.process.poll() is None:
                # the whole group: a task may have workers of its own
                os.killpg(self.process.pid, number)

    def _start(self, command: Sequence[str], environment: Mapping[str, str], folder: str, guard: Guard) -> bool:
        with self._lock:
            if self.stop_requested:
                return False
            try:
                self.process = subprocess.Popen(
                    [*command, *self.request.arguments],
                    cwd=folder,
                    env={**environment, **self.request.environment, "TMPDIR": folder},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    encoding="utf-8",
                    errors="replace",
                    start_new_session=True,
                )
            except (OSError, ValueError) as error:
                self.exit_code, self.reason = CANNOT_START_CODE, f"{CANNOT_START}: {error}"
                return False
            # the leader of its own session leads its own group
            guard.watch(self.process.pid)
        return True

    def _follow(self, guard: Guard) -> None:
        process = self.process
        if process is None or process.stdout is None:  # pragma: no cover - both exist once _start has returned True
            return
        with process.stdout as lines:
            for line in lines:
                self.request.on_line(line.rstrip("\r\n"))
        code = process.wait()
        guard.forget(process.pid)
        self.exit_code = SIGNAL_BASE - code if code < 0 else code
        self.reason = self.reason or EXITED


class ContainerRunner:
    """Runs containers, at most so many at a time; the others wait in the order in which they came.

    Parameters
    ----------
    command : sequence of str
        Stands for the image's ENTRYPOINT.
    environment : mapping
        Variables of every container, before its own.
    max_parallel : int
        Containers that run at the same time.

    Attributes
    ----------
    on_waiting : callable
        Called with a container that waits for its turn and the number of those that came before it and have not
        ended, whenever that changes; with None when it was stopped before its turn.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], max_parallel: int) -> None:
        if max_parallel < 1:
            raise ValueError("at least one container must be able to run")
        self.command = list(command)
        self.environment = dict(environment)
        self._queue: queue.SimpleQueue[ContainerRun | None] = queue.SimpleQueue()
        self.on_waiting: Callable[[ContainerRun, int | None], None] = lambda _run, _before: None
        # in the order in which they came
        self._runs: dict[ContainerRun, None] = {}
        self._lock = threading.Lock()
        self._guard = Guard()
        self._threads = [
            threading.Thread(target=self._work, name=f"container-{number}", daemon=True)
            for number in range(max_parallel)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, request: ContainerRequest, on_change: Callable[[ContainerRun], None]) -> ContainerRun:
        """Put a container into the queue."""
        run = ContainerRun(request, on_change)
        with self._lock:
            waits = len(self._runs) >= len(self._threads)
            self._runs[run] = None
        if waits:
            self._tell_waiting()
        self._queue.put(run)
        return run

    @property
    def unfinished(self) -> list[ContainerRun]:
        """Containers that run or wait."""
        with self._lock:
            return list(self._runs)

    @property
    def waiting(self) -> int:
        """How many containers wait for their turn."""
        return self._queue.qsize()

    def stop_all(self, reason: str, seconds: float) -> None:
        """Stop every container and wait for their ends; kill what is still there after ``seconds``."""
        runs = self.unfinished
        for run in runs:
            run.stop(reason)
        deadline = threading.Event()
        timer = threading.Timer(seconds, deadline.set)
        timer.daemon = True
        timer.start()
        for run in runs:
            while not run.finished.wait(0.05):
                if deadline.is_set():
                    run.kill()
        timer.cancel()

    def close(self, reason: str = "The service was stopped", seconds: float = STOP_SECONDS) -> None:
        """Stop every container and end the threads."""
        self.stop_all(reason, seconds)
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join(timeout=5)
        self._guard.close()

    def _tell_waiting(self) -> None:
        """Tell each container that waits how many are before it."""
        with self._lock:
            runs = list(self._runs)
        for before, run in enumerate(runs):
            if before >= len(self._threads) and not (run.started or run.stop_requested):
                self.on_waiting(run, before)

    def _work(self) -> None:
        while (run := self._queue.get()) is not None:
            folder = tempfile.mkdtemp(prefix="compose-runner-task-")
            try:
                if run._start(self.command, self.environment, folder, self._guard):
                    run.on_change(run)
                    run._follow(self._guard)
            except Exception as error:  # a line that nobody can take must not end the thread
                run.kill()
                run.exit_code, run.reason = SIGNAL_BASE + signal.SIGKILL, f"the task was lost: {error}"
            finally:
                shutil.rmtree(folder, ignore_errors=True)
                with self._lock:
                    self._runs.pop(run, None)
                run.finished.set()
                run.on_change(run)
                if not run.started:
                    self.on_waiting(run, None)
                self._tell_waiting()
