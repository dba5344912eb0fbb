"""Memory of the embedded service over many jobs: it must level off.

``python -m benchmarks.memory`` runs 1,000 jobs of the tests' stub task, each submitted, polled for status and logs and
asked for its results, and prints one JSON document with the resident memory of the service's first process and of all
of its processes after every 200 jobs.
"""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import urllib3

from benchmarks.load import Measured, run_job, start_service
from benchmarks.paths import REPOSITORY
from benchmarks.processes import memory_mb, process_tree

JOBS = 1000
STEP = 200
CLIENTS = 8
STUB_TASK = REPOSITORY / "benchmarks" / "stub_task.py"


def measure(jobs: int = JOBS, step: int = STEP, parallel_jobs: int = 4) -> dict[str, Any]:
    """Run the jobs; returns what was measured after each ``step`` of them, and every problem."""
    measured = Measured()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        process, urls = start_service(folder, parallel_jobs, shlex.join([sys.executable, str(STUB_TASK)]))
        try:
            for done in range(0, jobs + 1, step):
                if done:
                    with urllib3.PoolManager(maxsize=CLIENTS) as pool, ThreadPoolExecutor(CLIENTS) as workers:
                        for number in range(done - step, done):
                            workers.submit(run_job, measured, pool, urls, number)
                rows.append(
                    {
                        "jobs": done,
                        "service_mb": round(memory_mb(process.pid, "VmRSS") or 0.0, 1),
                        "all_processes_mb": round(
                            sum(memory_mb(one, "VmRSS") or 0.0 for one in process_tree(process.pid)), 1
                        ),
                        "threads": len(list(Path(f"/proc/{process.pid}/task").iterdir())),
                        "open_files": len(list(Path(f"/proc/{process.pid}/fd").iterdir())),
                    }
                )
                print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)
    return {"finished": len(measured.job_seconds), "problems": measured.problems[:20], "rows": rows}


def main() -> int:
    """Run from the shell; exit code 1 if a job was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--step", type=int, default=STEP)
    options = parser.parse_args()
    figures = measure(options.jobs, options.step)
    print(json.dumps(figures, indent=2))
    return 1 if figures["problems"] or figures["finished"] != options.jobs else 0


if __name__ == "__main__":
    sys.exit(main())
