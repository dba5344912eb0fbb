"""Load on the embedded service: many clients, many small jobs; nothing lost, nothing mixed up, no answer of 5xx.

``python -m benchmarks.load`` runs 50 clients that submit 200 jobs of a stub task (0.1 s) and poll status, logs and
results the way Compose does, and prints one JSON document with throughput and latencies.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3

from benchmarks.processes import memory_mb

CLIENTS = 50
JOBS = 200
POLL_SECONDS = 1.0
# a worst case on a busy machine; the run is ended then
LIMIT_SECONDS = 300.0
TASK = """
import json, os, time
prefix = os.environ["ARTIFACT_PREFIX"]
print(json.dumps({"message": "workflow.start", "artifact_prefix": prefix,
                  "meta_analysis_id": os.environ["META_ANALYSIS_ID"]}), flush=True)
time.sleep(0.1)
print(json.dumps({"message": "workflow.success", "artifact_prefix": prefix}), flush=True)
"""


@dataclass
class Measured:
    """What all clients saw.

    Parameters
    ----------
    latencies : dict of str to list of float
        Seconds of each call, by function.
    problems : list of str
        Everything that must not happen.
    job_seconds : list of float
        From submit to the poll that saw the end.
    """

    latencies: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    problems: list[str] = field(default_factory=list)
    job_seconds: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def call(self, pool: urllib3.PoolManager, function: str, url: str, **payload: Any) -> dict[str, Any]:
        """Call a function and keep how long it took."""
        began = time.perf_counter()
        answer = pool.request("POST", url, json=payload, timeout=urllib3.Timeout(30), retries=False)
        seconds = time.perf_counter() - began
        with self.lock:
            self.latencies[function].append(seconds)
            if answer.status >= 400:
                self.problems.append(f"{function} answered {answer.status}: {answer.data[:200]!r}")
        document: dict[str, Any] = json.loads(answer.data)
        return document


def run_job(measured: Measured, pool: urllib3.PoolManager, urls: dict[str, str], number: int) -> None:
    """Submit one job and follow it to its end, as Compose does."""
    wanted = f"load-{number}"
    began = time.perf_counter()
    try:
        job = measured.call(pool, "submit", urls["submit"], meta_analysis_id=wanted, no_upload=True)
        while True:
            status = measured.call(pool, "status", urls["status"], job_id=job["job_id"])
            logs = measured.call(pool, "logs", urls["logs"], artifact_prefix=job["artifact_prefix"])
            if status["status"] in {"SUCCEEDED", "FAILED"}:
                break
            time.sleep(POLL_SECONDS)
        measured.call(pool, "results", urls["results"], artifact_prefix=job["artifact_prefix"])
    except Exception as error:
        with measured.lock:
            measured.problems.append(f"job {number}: {type(error).__name__}: {error}")
        return
    records = [json.loads(event["message"]) for event in logs["events"]]
    ids = {record["meta_analysis_id"] for record in records if "meta_analysis_id" in record}
    with measured.lock:
        measured.job_seconds.append(time.perf_counter() - began)
        if status["status"] != "SUCCEEDED":
            measured.problems.append(f"job {number} ended as {status['status']}: {status.get('error')}")
        if ids != {wanted} or len(records) != 2 or status["output"]["meta_analysis_id"] != wanted:
            measured.problems.append(f"job {number} has the records of {ids}")


def start_service(
    folder: str, parallel_jobs: int, task_command: str | None = None
) -> tuple[subprocess.Popen[str], dict[str, str]]:
    """Start ``compose-runner serve`` with a command for its tasks, the small stub task by default."""
    task = Path(folder, "task.py")
    task.write_text(TASK, encoding="utf-8")
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from compose_runner.cli import compose_runner; compose_runner()",
            *("serve", "--demo", "--port", "0", "--data", str(Path(folder, "data"))),
            *("--max-parallel-jobs", str(parallel_jobs)),
        ],
        # -S -E: what is measured is the service, not the start of 200 Pythons
        env={**os.environ, "COMPOSE_RUNNER_TASK_COMMAND": task_command or f"{sys.executable} -S -E {task}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    urls: dict[str, str] = json.loads(process.stdout.readline())
    return process, urls


def measure(clients: int = CLIENTS, jobs: int = JOBS, parallel_jobs: int = 8) -> dict[str, Any]:
    """Run the load.

    Parameters
    ----------
    clients : int
        Clients at the same time.
    jobs : int
        Jobs of all of them together.
    parallel_jobs : int
        Tasks that the service runs at the same time.

    Returns
    -------
    dict
        Counts, problems, jobs per second, and percentiles of the latency of each function in milliseconds.
    """
    measured = Measured()
    with tempfile.TemporaryDirectory() as folder:
        process, urls = start_service(folder, parallel_jobs)
        watchdog = threading.Timer(LIMIT_SECONDS, process.kill)
        watchdog.start()
        try:
            began = time.perf_counter()
            with urllib3.PoolManager(maxsize=clients) as pool, ThreadPoolExecutor(clients) as workers:
                for number in range(jobs):
                    workers.submit(run_job, measured, pool, urls, number)
            seconds = time.perf_counter() - began
            memory = memory_mb(process.pid)
        finally:
            watchdog.cancel()
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)
    return {
        "clients": clients,
        "jobs": jobs,
        "finished": len(measured.job_seconds),
        "problems": measured.problems[:20],
        "seconds": round(seconds, 1),
        "jobs_per_second": round(len(measured.job_seconds) / seconds, 2),
        "requests_per_second": round(sum(map(len, measured.latencies.values())) / seconds, 1),
        "job_seconds": percentiles(measured.job_seconds, 1.0),
        "latency_ms": {name: percentiles(values, 1000.0) for name, values in sorted(measured.latencies.items())},
        "service_memory_mb": None if memory is None else int(memory),
    }


def percentiles(values: list[float], scale: float) -> dict[str, float]:
    """Median, 95th percentile and maximum."""
    if len(values) < 2:
        return {}
    cuts = statistics.quantiles(values, n=20)
    return {
        "median": round(statistics.median(values) * scale, 1),
        "p95": round(cuts[18] * scale, 1),
        "max": round(max(values) * scale, 1),
    }


def main() -> int:
    """Run from the shell; exit code 1 if anything happened that must not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--jobs", type=int, default=JOBS)
    options = parser.parse_args()
    figures = measure(options.clients, options.jobs)
    print(json.dumps(figures, indent=2))
    return 1 if figures["problems"] or figures["finished"] != options.jobs else 0


if __name__ == "__main__":
    sys.exit(main())
