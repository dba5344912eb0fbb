"""The deployed functions as processes, invoked one event at a time each, as Lambda does."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from compose_runner.local.functions.worker import receive, send

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

# an import on a busy machine; Lambda gives 10 s
START_SECONDS = 60.0


class FunctionError(RuntimeError):
    """The handler raised, ran out of time, or its process died."""


@dataclass(frozen=True, slots=True)
class FunctionCode:
    """What the template says about a function.

    Parameters
    ----------
    name : str
        The function's name.
    folder : Path
        Its ``CodeUri``.
    handler : str
        Its ``Handler``.
    environment : mapping
        Its variables, resolved.
    timeout : float
        Seconds that one event may take.
    memory : int
        MB; given to the handler, not enforced.
    log_group : str
        Where its lines go.
    """

    name: str
    folder: Path
    handler: str
    environment: Mapping[str, str]
    timeout: float = 30.0
    memory: int = 512
    log_group: str = ""


@dataclass(slots=True, eq=False)
class _Worker:
    process: subprocess.Popen[str]
    connection: socket.socket
    reader: threading.Thread

    def end(self) -> None:
        self.connection.close()
        # it ends by itself when its connection does; a handler that hangs does not
        try:
            self.process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.reader.join(timeout=2)


class _Turn:
    """A place in the queue: under load nobody may be overtaken for ever."""

    def __init__(self) -> None:
        self._given = threading.Event()
        self._worker: _Worker | None = None

    def give(self, worker: _Worker | None) -> None:
        self._worker = worker
        self._given.set()

    def wait(self) -> _Worker | None:
        """Wait for a process; None for the permission to start one."""
        self._given.wait()
        return self._worker


@dataclass(slots=True, eq=False)
class Function:
    """One function: processes that are started when all others are busy, up to a limit.

    Parameters
    ----------
    code : FunctionCode
        What to run.
    environment : mapping
        Variables of the process, weaker than the function's own.
    on_line : callable
        Takes the lines that the handler writes.
    max_processes : int
        Processes at the same time; further events wait.
    """

    code: FunctionCode
    environment: Mapping[str, str]
    on_line: Callable[[str], None]
    max_processes: int = 2
    _idle: list[_Worker] = field(default_factory=list)
    _all: set[_Worker] = field(default_factory=set)
    _starting: int = 0
    _closed: bool = False
    _waiting: deque[_Turn] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Start the first process, so that a function that cannot be imported is found before the first event.

        Raises
        ------
        FunctionError
            It cannot be imported; the message is its traceback.
        """
        self._give_back(self._take())

    def invoke(self, event: Any) -> Any:
        """Hand one event to the handler and return what it returns.

        Raises
        ------
        FunctionError
            The handler raised, ran out of time, or its process died.
        """
        worker = self._take()
        try:
            worker.connection.settimeout(self.code.timeout + 1)
            send(
                worker.connection,
                {"event": event, "request_id": str(uuid.uuid4()), "seconds": self.code.timeout},
            )
            answer = receive(worker.connection)
        except (OSError, EOFError) as error:
            self._drop(worker)
            reason = "ran out of time" if isinstance(error, TimeoutError) else "died"
            raise FunctionError(f"{self.code.name} {reason}") from error
        self._give_back(worker)
        if "error" in answer:
            raise FunctionError(answer["error"])
        return answer["result"]

    def close(self) -> None:
        """End every process."""
        with self._lock:
            self._closed = True
            workers, self._idle = list(self._all), []
            self._all.clear()
            waiting, self._waiting = self._waiting, deque()
        for turn in waiting:
            turn.give(None)
        for worker in workers:
            worker.end()

    def _take(self) -> _Worker:
        """Get a process: an idle one, a new one, or, for the longest waiting caller, the next that is given back."""
        with self._lock:
            self._check_open()
            if self._idle:
                return self._idle.pop()
            if len(self._all) + self._starting < self.max_processes:
                self._starting += 1
                turn = None
            else:
                turn = _Turn()
                self._waiting.append(turn)
        if turn is None:
            return self._add_process()
        worker = turn.wait()
        if worker is not None:
            return worker
        with self._lock:
            self._check_open()
        return self._add_process()

    def _check_open(self) -> None:
        if self._closed:
            raise FunctionError(f"{self.code.name} is being stopped")

    def _add_process(self) -> _Worker:
        """Start a process that is counted already."""
        try:
            worker = self._start_process()
        except BaseException:
            with self._lock:
                self._starting -= 1
            self._let_next_start()
            raise
        with self._lock:
            self._starting -= 1
            self._all.add(worker)
        return worker

    def _give_back(self, worker: _Worker) -> None:
        with self._lock:
            if self._closed:
                return
            if self._waiting:
                self._waiting.popleft().give(worker)
            else:
                self._idle.append(worker)

    def _let_next_start(self) -> None:
        """Let the caller that waits longest start a process in the place of one that is gone."""
        with self._lock:
            if self._waiting:
                self._starting += 1
                self._waiting.popleft().give(None)

    def _drop(self, worker: _Worker) -> None:
        with self._lock:
            self._all.discard(worker)
        self._let_next_start()
        with contextlib.suppress(ProcessLookupError):
            worker.process.kill()
        worker.end()

    def _start_process(self) -> _Worker:
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "compose_runner.local.functions.worker",
                    str(theirs.fileno()),
                    str(self.code.folder),
                    self.code.handler,
                ],
                env={
                    **self.environment,
                    **self.code.environment,
                    "AWS_LAMBDA_FUNCTION_NAME": self.code.name,
                    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self.code.memory),
                    "AWS_LAMBDA_LOG_GROUP_NAME": self.code.log_group,
                },
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                # Ctrl-C in the terminal is the service's to handle
                start_new_session=True,
            )
        reader = threading.Thread(target=self._read, args=(process,), daemon=True)
        reader.start()
        worker = _Worker(process, ours, reader)
        ours.settimeout(START_SECONDS)
        try:
            answer = receive(ours)
        except (OSError, EOFError) as error:
            process.kill()
            worker.end()
            raise FunctionError(f"{self.code.name} did not start") from error
        if "error" in answer:
            worker.end()
            raise FunctionError(f"{self.code.name} cannot be imported: {answer['error']}\n{answer['trace']}")
        return worker

    def _read(self, process: subprocess.Popen[str]) -> None:
        if process.stdout is None:  # pragma: no cover - it is a pipe
            return
        with process.stdout as lines:
            for line in lines:
                if line.strip():
                    self.on_line(line.rstrip("\r\n"))


def default_processes() -> int:
    """How many processes one function may have on this machine: two, or one more for every four cores."""
    return 2 + (os.cpu_count() or 1) // 4
