"""Stands for the task where its computation does not matter: does in a moment what the meta-analysis's name says."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import botocore.config
import botocore.session

PREFIX = os.environ["ARTIFACT_PREFIX"]
WHAT, _, ARGUMENT = os.environ["META_ANALYSIS_ID"].partition("_")


def write_record(message: str, **fields: object) -> None:
    """Write a log record as the task does."""
    print(json.dumps({"level": "INFO", "message": message, "artifact_prefix": PREFIX, **fields}), flush=True)


def put(name: str, content: bytes) -> None:
    """Put one of the job's artifacts into the bucket."""
    config = botocore.config.Config(retries={"total_max_attempts": 2})
    client: Any = botocore.session.Session().create_client("s3", config=config)
    key = f"{os.environ['RESULTS_PREFIX']}/{PREFIX}/{name}"
    client.put_object(Bucket=os.environ["RESULTS_BUCKET"], Key=key, Body=content)


def stop(*_: object) -> None:
    """End as a task that is interrupted."""
    write_record("workflow.interrupted")
    sys.exit(75)


def wait_until_stopped() -> None:
    """Say which stage it is, and stay there."""
    write_record("workflow.stage", stage="fit")
    while True:
        signal.pause()


def main() -> int:
    """Do what the meta-analysis's id says; returns the exit code."""
    signal.signal(signal.SIGTERM, stop)
    write_record("workflow.start", meta_analysis_id=os.environ["META_ANALYSIS_ID"])
    table = f"the table of {PREFIX}".encode()
    put("tables/z_tab-clust.tsv", table)
    if WHAT == "waits":
        wait_until_stopped()
    if WHAT == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if WHAT == "again":  # 75 until the third attempt
        mark = Path(ARGUMENT.replace("+", "/"))
        attempts = len(mark.read_text()) if mark.exists() else 0
        mark.write_text("x" * (attempts + 1))
        if attempts < 2:
            return 75
    error = "The studyset has no analyses." if WHAT == "impossible" else None
    if WHAT == "naps":
        time.sleep(float(ARGUMENT))
    checksum = hashlib.sha256(table).hexdigest()
    metadata = {
        "artifact_prefix": PREFIX,
        "artifacts": [{"filename": "tables/z_tab-clust.tsv", "size": len(table), "sha256": checksum}],
        **({"error": error} if error else {}),
    }
    put("metadata.json", json.dumps(metadata).encode())
    write_record("workflow.failed" if error else "workflow.success", **({"error": error} if error else {}))
    return 1 if error else 0


if __name__ == "__main__":
    sys.exit(main())
