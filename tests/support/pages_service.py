"""A gateway with the service's own pages, whose jobs a test writes down: no AWS, no task."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from compose_runner.local.functions.gateway import Gateway, function_url_event, http_answer
from compose_runner.local.http_server import HttpServer, JsonHandler
from compose_runner.local.pages.routes import Routes
from compose_runner.local.state.directory import StateDirectory
from compose_runner.local.state.listing import JobList
from compose_runner.local.state.removal import remove_job
from compose_runner.service import lambda_http
from compose_runner.service.contract import StatusReply, StatusRequest, SubmitReply
from compose_runner.service.errors import JobMissingError, RequestError
from compose_runner.service.operations import STATUS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from compose_runner.service.lambda_events import Call

JOBS = "arn:aws:states:us-east-1:123456789012:execution:jobs:"
STARTED = datetime(2026, 6, 1, 10, tzinfo=UTC)


def job_id(name: str) -> str:
    return f"{JOBS}{name}"


def reply(name: str, status: str = "RUNNING", **fields: Any) -> dict[str, Any]:
    """A status as the function answers it."""
    ended = {} if status == "RUNNING" else {"stop_time": "2026-06-01T10:02:05+00:00"}
    return {
        "job_id": job_id(name),
        "artifact_prefix": name,
        "status": status,
        "execution_status": status,
        "start_time": STARTED.isoformat(),
        "output": {},
        **ended,
        **fields,
    }


def events(*messages: Any, first: int = 1_780_308_000_000) -> dict[str, Any]:
    """Log records as *logs* answers them."""
    found = [
        {"timestamp": first + 1000 * number, "message": one if isinstance(one, str) else json.dumps(one)}
        for number, one in enumerate(messages)
    ]
    return {"artifact_prefix": "job", "events": found, "next_token": None}


class _QuickGateway(Gateway):
    poll_seconds = 0.02


class _QuickServer(HttpServer):
    poll_seconds = 0.02


class _FunctionUrl(JsonHandler):
    """A function's own address on AWS, which has any path and no gateway."""

    function: Callable[[Any], Any]

    def answer(self) -> None:
        path, _, query = self.path.partition("?")
        event = function_url_event(self.command, path, query, dict(self.headers.items()), b"")
        self.reply(*http_answer(type(self).function(event)))


class PagesService:
    """The gateway as a context manager.

    ``replies`` has what *status* answers about each job, one after the other, the last one for ever; ``asked`` has the
    names of the jobs that were asked for, ``submitted`` what was submitted, ``sent`` the bundles.
    """

    def __init__(self, data: Path, token: str | None = None) -> None:
        self.directory = StateDirectory(data)
        self.replies: dict[str, list[dict[str, Any]]] = {}
        self.asked: list[str] = []
        self.submitted: list[dict[str, Any]] = []
        self.sent: list[tuple[bytes, str | None]] = []
        self.artifacts: list[dict[str, Any]] = []
        self._lock = threading.Lock()

        @lambda_http.serves(STATUS)
        def status(request: StatusRequest, call: Call) -> StatusReply:
            name = request.job_id.rpartition(":")[2]
            with self._lock:
                self.asked.append(name)
                waiting = self.replies.get(name)
                if not waiting:
                    raise JobMissingError("There is no job with this job_id.")
                answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            return StatusReply.model_validate(answer)

        routes = Routes(
            JobList(self.directory, job_id).newest,
            self._start_bundle,
            lambda name: remove_job(self.directory, name),
            job_id,
        )
        functions: dict[str, Callable[[Any], Any]] = {
            "submit": self._submit,
            "status": lambda event: status(event, None),
            "results": self._results,
        }
        # as a Function URL on AWS
        self.status_url = _QuickServer(_FunctionUrl, function=staticmethod(functions["status"]))
        self.gateway = _QuickGateway(functions, token=token, routes=routes)
        self.endpoint = self.gateway.endpoint

    def __enter__(self) -> Self:
        self.gateway.start()
        self.status_url.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.gateway.close()
        self.status_url.close()
        self.directory.close()

    def page(self, name: str) -> str:
        """Address of a job's page."""
        return f"{self.endpoint}/status/jobs/{job_id(name)}"

    def keep(self, name: str, status: str = "SUCCEEDED", metadata: dict[str, Any] | None = None, **fields: Any) -> None:
        """Write a job into the data directory."""
        record = {
            "name": name,
            "status": status,
            "startDate": STARTED.isoformat(),
            "stopDate": None if status == "RUNNING" else "2026-06-01T10:02:05+00:00",
            "input": json.dumps({"artifact_prefix": name, "meta_analysis_id": "abc123"}),
            "output": None,
            "error": None,
            "cause": None,
            **fields,
        }
        self.directory.jobs.write(record)
        if metadata is not None:
            self.put(f"{name}/metadata.json", json.dumps(metadata).encode())

    def put(self, key: str, content: bytes) -> Path:
        """Write an artifact into the data directory."""
        path = self.directory.objects.find_path(key, "")
        assert path is not None
        self.directory.objects.write(path, content)
        return path

    def _submit(self, event: dict[str, Any]) -> dict[str, Any]:
        payload = json.loads(event["body"])
        self.submitted.append(payload)
        name = payload["artifact_prefix"] or "made-up"
        body = SubmitReply(job_id=job_id(name), artifact_prefix=name, status_url=f"/jobs/{job_id(name)}")
        return {"statusCode": 202, "body": body.model_dump_json(exclude_unset=True)}

    def _results(self, event: dict[str, Any]) -> dict[str, Any]:
        return {"statusCode": 200, "body": json.dumps({"artifacts": self.artifacts})}

    def _start_bundle(self, content: bytes, name: str | None, n_cores: str | None) -> SubmitReply:
        if b"wrong" in content:
            raise RequestError("bundle: it has no <b>studyset</b> that is a JSON object")
        self.sent.append((content, name))
        name = name or "made-up"
        return SubmitReply(job_id=job_id(name), artifact_prefix=name, status_url=f"/jobs/{job_id(name)}")
