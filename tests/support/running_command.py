"""Commands as processes of their own, for tests that send them signals and look at what is left of them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Mapping

COMPOSE_RUN = Path(sys.executable).with_name("compose-run")
COMPOSE_RUNNER = Path(sys.executable).with_name("compose-runner")
# generous: the machine may be busy
PATIENCE_SECONDS = 120.0

# who is started with a signal ignored, as by nohup or in a shell's background, would go on ignoring it
_HEEDING_SIGNALS = ("env", "--default-signal=HUP,INT,TERM")


class RunningCommand:
    """A command in a session of its own; a context manager, which leaves no process behind.

    Parameters
    ----------
    *arguments : object
        The command and its arguments.
    variables : mapping, optional
        Environment variables besides the test's own.
    """

    def __init__(self, *arguments: object, variables: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [*_HEEDING_SIGNALS, *(str(argument) for argument in arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(variables or {})},
        )
        self.output = ""

    def __enter__(self) -> RunningCommand:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes():
            try:
                os.kill(process, 9)
            except ProcessLookupError:
                continue
        self._process.communicate()

    def wait_for_words(self, words: str) -> None:
        """Read what the command says until the words come."""
        assert self._process.stderr is not None
        while words not in self.output:
            line = self._process.stderr.readline()
            assert line, f"it ended before it said {words!r}: {self.output[-2000:]}"
            self.output += line

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Wait for something that the command does elsewhere."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert self._process.poll() is None, self._process.communicate()[1][-2000:]
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def wait_for_all_to_end(self) -> None:
        """Wait until no process of the command's session is left."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.processes():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def processes(self) -> set[int]:
        """Processes of the command's session that run."""
        found = set()
        for name in filter(str.isdigit, (folder.name for folder in Path("/proc").iterdir())):
            try:
                state, _, _, session = Path("/proc", name, "stat").read_text().rpartition(")")[2].split()[:4]
            except OSError:  # it has ended meanwhile
                continue
            if state != "Z" and int(session) == self._process.pid:
                found.add(int(name))
        return found

    def _signals_wait(self) -> bool:
        """Whether a signal was sent that the command has not taken yet."""
        lines = Path("/proc", str(self._process.pid), "status").read_text().splitlines()
        return any(int(line.split()[1], 16) for line in lines if line.startswith(("SigPnd:", "ShdPnd:")))

    def processor_seconds(self) -> float:
        """Seconds of a processor that the command itself has taken."""
        fields = Path("/proc", str(self._process.pid), "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end_with(self, *signals: signal.Signals) -> tuple[int, str, str]:
        """Send signals and wait for the end: exit code, standard output, and what was said after the signals."""
        for number in signals:
            # two that wait at the same time are one to the system
            self.wait_until(lambda: not self._signals_wait())
            self._process.send_signal(number)
        out, err = self._process.communicate(timeout=PATIENCE_SECONDS)
        return self._process.returncode, out, err

    def end(self) -> Any:
        """Wait for the end without a signal."""
        return self.end_with()
