"""A service that is killed cannot end its tasks; the guard does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from compose_runner.local.aws.guard import Guard

# starts three tasks, forgets the second, and waits to be killed
SERVICE = """
import signal, subprocess, sys, time
from compose_runner.local.aws.guard import Guard
guard = Guard()
willing = "import signal; print(flush=True); signal.pause()"
stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); [*iter(signal.pause, 1)]"
tasks = []
for program in (willing, willing, stubborn):
    task = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True)
    task.stdout.readline()
    guard.watch(task.pid)
    tasks.append(task)
guard.forget(tasks[1].pid)
print(*(task.pid for task in tasks), flush=True)
signal.pause()
"""


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_tasks_of_a_killed_service_end_stubborn_ones_too_and_others_do_not() -> None:
    with subprocess.Popen([sys.executable, "-c", SERVICE], stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout is not None
        willing, forgotten, stubborn = (int(pid) for pid in service.stdout.readline().split())
        service.kill()

        deadline = time.monotonic() + 30
        while is_running(willing) or is_running(stubborn):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert is_running(forgotten)
        os.kill(forgotten, signal.SIGKILL)


def test_a_guard_with_nothing_to_watch_ends_with_the_service() -> None:
    guard = Guard()
    guard.watch(2**30)
    guard.forget(2**30)

    guard.close()

    assert guard._process.returncode == 0


def test_a_guard_that_was_killed_does_not_end_the_service() -> None:
    guard = Guard()
    guard._process.kill()
    guard._process.wait()

    guard.watch(2**30)
    guard.close()
