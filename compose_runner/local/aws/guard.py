"""A small process that ends the tasks of a service that was killed: a process that gets SIGKILL can end nothing itself.

The guard gets the process group of each task when it starts and when it has ended, over a pipe that only the service
holds. When the pipe closes, the service is gone, and every task that is left is of no use: nobody takes what it writes.
The file is run as a script, so that it starts in a moment and needs nothing of the package.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

# tasks may end by themselves for so long; there is nothing left to which they could upload anything
GRACE_SECONDS = 2.0
_POLL_SECONDS = 0.05


class Guard:
    """The service's end of the pipe; the process starts with it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            bufsize=1,
            # Ctrl-C in the terminal is the service's to handle
            start_new_session=True,
        )

    def watch(self, group: int) -> None:
        """End this process group with the service."""
        self._send(f"+{group}")

    def forget(self, group: int) -> None:
        """Leave a process group alone that has ended: its number may come to stand for another one."""
        self._send(f"-{group}")

    def close(self) -> None:
        """End the guard, and with it what is still watched."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        self._process.wait()

    def _send(self, command: str) -> None:
        assert self._process.stdin is not None
        # a guard that somebody killed must not end the service
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(f"{command}\n")


def end(groups: set[int], seconds: float = GRACE_SECONDS) -> None:
    """Stop process groups, and kill those that are left after a time."""
    deadline = time.monotonic() + seconds
    left = {group for group in groups if _signal(group, signal.SIGTERM)}
    while left and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        left = {group for group in left if _signal(group, 0)}
    for group in left:
        _signal(group, signal.SIGKILL)


def _signal(group: int, number: int) -> bool:
    """Send a signal; whether there is anybody to get it."""
    try:
        os.killpg(group, number)
    except OSError:
        return False
    return True


def main() -> None:
    """Read the pipe to its end, then end what is left."""
    groups: set[int] = set()
    for line in sys.stdin:
        number = int(line[1:])
        if line.startswith("+"):
            groups.add(number)
        else:
            groups.discard(number)
    end(groups)


if __name__ == "__main__":
    main()
