"""Whole processes: how long, how much processor time, how much memory."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LIMIT_SECONDS = 600.0


class ProcessFailedError(Exception):
    """A measured process did not end well; its last words are the text."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What a process and its children needed.

    Parameters
    ----------
    wall, cpu : float
        Seconds from start to end, and seconds of processors (user and system, ended children included).
    memory_mb : float
        Peak resident memory of the largest single process among them, in MB: a program that spreads itself over
        processes appears smaller than it is.
    """

    wall: float
    cpu: float
    memory_mb: float


def surroundings(**more: str) -> dict[str, str]:
    """Environment of a measured process: nothing of the caller's settings, and no way out of this machine."""
    nowhere = "http://127.0.0.1:9"
    return {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), nowhere),
        **dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1,localhost"),
        "DISABLE_SENTRY": "1",
        **more,
    }


def run_measured(
    command: Sequence[str], variables: Mapping[str, str], folder: Path, *, limit: float = LIMIT_SECONDS
) -> Spent:
    """Run a process to its end.

    The measuring process must be small itself: Linux counts what a process was before it executed its program.

    Parameters
    ----------
    command : sequence of str
        Program and arguments.
    variables : mapping
        The whole environment.
    folder : Path
        Working directory; what the process says goes to ``said.txt`` in it.
    limit : float
        Seconds after which the process is ended.

    Raises
    ------
    ProcessFailedError
        Its exit code is not 0.
    """
    said = folder / "said.txt"
    with said.open("wb") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, env=dict(variables), cwd=folder, stdout=output, stderr=output, start_new_session=True
        )
        watchdog = threading.Timer(limit, os.killpg, (process.pid, signal.SIGKILL))
        watchdog.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        finally:
            watchdog.cancel()
        wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        last = said.read_text(errors="replace")[-2000:]
        raise ProcessFailedError(f"{' '.join(command[:3])} ended with {process.returncode}: {last}")
    # kilobytes on Linux, bytes on macOS
    unit = 1024.0**2 if os.uname().sysname == "Darwin" else 1024.0
    return Spent(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit)


def memory_mb(process_id: int | str, field: str = "VmHWM") -> float | None:
    """Resident memory of a running process, in MB (2**20 bytes); None if it has gone, or the system does not tell.

    Parameters
    ----------
    process_id : int or str
        ``"self"`` for this one.
    field : {"VmHWM", "VmRSS"}
        The peak, or what it is now (proc_pid_status(5)).
    """
    try:
        lines = Path(f"/proc/{process_id}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:")), None)


def process_tree(process_id: int) -> list[int]:
    """Find a process and all that came from it."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text(encoding="utf-8").rpartition(")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            continue
    found = [process_id]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found
