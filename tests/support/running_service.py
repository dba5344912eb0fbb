"""``compose-runner serve`` as a process, for tests that call it as a client does."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import urllib3

if TYPE_CHECKING:
    from types import TracebackType

REPOSITORY = Path(__file__).resolve().parents[2]
STUB_TASK = REPOSITORY / "benchmarks" / "stub_task.py"
COMMAND = [sys.executable, "-c", "from compose_runner.cli import compose_runner; compose_runner()"]


def environment(**variables: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), **variables}


def find_task(artifact_prefix: str) -> int | None:
    """Process that runs a job, or None; found in /proc."""
    wanted = f"ARTIFACT_PREFIX={artifact_prefix}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                return int(folder.name)
        except OSError:
            continue
    return None


@dataclass(frozen=True)
class Answer:
    status: int
    document: Any


class RunningService:
    """The service as a context manager; stopped with SIGTERM."""

    def __init__(self, data: Path, *options: str, stub: bool = True, **variables: str) -> None:
        self.data = data
        # beside it: a service refuses a directory that holds something else
        self._log = data.with_name(f"{data.name}.log")
        self.options = options
        self.variables = variables
        if stub:
            self.variables["COMPOSE_RUNNER_TASK_COMMAND"] = shlex.join([sys.executable, str(STUB_TASK)])
        self.urls: dict[str, str] = {}
        self.pool = urllib3.PoolManager(maxsize=60)
        self.process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.data.mkdir(parents=True, exist_ok=True)
        log = self._log.open("a")
        with log:
            self.process = subprocess.Popen(
                [*COMMAND, "serve", "--port", "0", "--data", str(self.data), *self.options],
                env=environment(**self.variables),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.stdout.close()
            raise AssertionError(self.log)
        self.urls = json.loads(line)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def endpoint(self) -> str:
        return self.urls["submit"].removesuffix("/submit")

    @property
    def log(self) -> str:
        return self._log.read_text()

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(timeout=60)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.pool.clear()
        return code

    def post(self, function: str, **payload: Any) -> Answer:
        """Call a function as Compose does: POST, JSON, no credentials, 30 s."""
        answer = self.pool.request(
            "POST", self.urls[function], json=payload, timeout=urllib3.Timeout(30), retries=False
        )
        return Answer(answer.status, json.loads(answer.data))

    def submit(self, meta_analysis_id: str, **payload: Any) -> dict[str, Any]:
        answer = self.post("submit", meta_analysis_id=meta_analysis_id, **payload)
        assert answer.status == 202, answer
        document: dict[str, Any] = answer.document
        return document

    def wait_for(self, job_id: str, seconds: float = 60) -> dict[str, Any]:
        """Poll the status until the job has ended."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            answer = self.post("status", job_id=job_id)
            assert answer.status == 200, answer
            if answer.document["status"] in {"SUCCEEDED", "FAILED"}:
                document: dict[str, Any] = answer.document
                return document
            time.sleep(0.1)
        raise AssertionError(f"{job_id} did not end; {self.log}")

    def messages(self, artifact_prefix: str) -> list[str]:
        answer = self.post("logs", artifact_prefix=artifact_prefix)
        assert answer.status == 200, answer
        return [json.loads(event["message"])["message"] for event in answer.document["events"]]

    def wait_for_message(self, artifact_prefix: str, message: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while message not in self.messages(artifact_prefix):
            assert time.monotonic() < deadline, f"{message} was never logged: {self.log}"
            time.sleep(0.05)
