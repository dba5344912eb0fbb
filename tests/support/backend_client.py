"""The calls of Neurosynth Compose's backend, in its own order and with its own bounds, but for its patience."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.support.running_service import RunningService

PADDING_MS = 5 * 60 * 1000
POLL_SECONDS = 0.5  # 10 s there


@dataclass(frozen=True)
class Poll:
    """What one look at a job brought: the status, and all records of its log."""

    status: dict[str, Any]
    records: list[dict[str, Any]]

    @property
    def messages(self) -> list[str]:
        return [record["message"] for record in self.records]


def poll(service: RunningService, job: dict[str, Any]) -> Poll:
    """Ask for status and logs; an answer of 400 or more is shown to nobody, so that none may come."""
    status = service.post("status", job_id=job["job_id"])
    assert status.status == 200, status
    start = datetime.fromisoformat(status.document["start_time"])
    assert start.tzinfo is not None
    bounds = {"start_time": int(start.timestamp() * 1000) - PADDING_MS}
    if stopped := status.document.get("stop_time"):
        bounds["end_time"] = int(datetime.fromisoformat(stopped).timestamp() * 1000) + PADDING_MS
    logs = service.post("logs", artifact_prefix=status.document["artifact_prefix"], **bounds)
    assert logs.status == 200, logs
    # next_token is never followed
    events = logs.document["events"]
    assert all(isinstance(event["timestamp"], int | float) for event in events)
    return Poll(status.document, [json.loads(event["message"]) for event in events])


def run(service: RunningService, meta_analysis_id: str, seconds: float, **payload: Any) -> list[Poll]:
    """Submit a job and look at it until it has ended, which is when the status is one of two."""
    submitted = service.post("submit", meta_analysis_id=meta_analysis_id, **payload)
    assert submitted.status == 202, submitted
    deadline = time.monotonic() + seconds
    polls: list[Poll] = []
    while not polls or polls[-1].status["status"] not in ("SUCCEEDED", "FAILED"):
        assert time.monotonic() < deadline, polls[-1]
        if polls:
            time.sleep(POLL_SECONDS)
        polls.append(poll(service, submitted.document))
    return polls
