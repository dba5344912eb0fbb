"""`make demo`: the whole service on this machine runs a meta-analysis of 21 studies of pain.

Starts the service with a Compose that it brings along, submits the meta-analysis over HTTP, follows it to its end,
downloads its artifacts, and says where the report is: each with the command that a user would type.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from compose_runner.commands.ending import tell_result
from compose_runner.local.demo import studies

if TYPE_CHECKING:
    from collections.abc import Iterator

RESULTS = Path("demo-results")
COMMAND = Path(sys.executable).with_name("compose-runner")
NAME = "demo"
STOP_SECONDS = 30


def main() -> int:
    """Run the demo and give its exit code."""
    with _service() as endpoint:
        os.environ["COMPOSE_RUNNER_ENDPOINT"] = endpoint
        for arguments in (
            ["submit", studies.META_ANALYSIS_ID, "--artifact-prefix", NAME, "--follow"],
            ["results", NAME, "--download", str(RESULTS)],
        ):
            _show(arguments)
            ended = subprocess.run([COMMAND, *arguments], check=False, stdout=subprocess.DEVNULL)
            if ended.returncode:
                return ended.returncode
    # on a terminal the last command has told it already
    if not sys.stderr.isatty():
        tell_result(RESULTS)
    return 0


@contextmanager
def _service() -> Iterator[str]:
    """Run the service in a process of its own, which ends with the block; gives its address."""
    data, log = Path(".make/demo"), Path(".make/demo.log")
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    arguments = ["serve", "--demo", "--port", "0", "--data", str(data)]
    _show(arguments)
    with log.open("w", encoding="utf-8") as written:
        service = subprocess.Popen([COMMAND, *arguments], stdout=subprocess.PIPE, stderr=written, text=True)
    try:
        assert service.stdout is not None
        ready = service.stdout.readline()
        if not ready:
            sys.stderr.write(log.read_text(encoding="utf-8"))
            raise SystemExit(service.wait())
        yield json.loads(ready)["submit"].rsplit("/", 1)[0]
    finally:
        if service.poll() is None:
            service.send_signal(signal.SIGTERM)
            try:
                service.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                service.kill()


def _show(arguments: list[str]) -> None:
    print(f"\033[1m$ compose-runner {' '.join(arguments)}\033[0m", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
