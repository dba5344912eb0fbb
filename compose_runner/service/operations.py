"""What the service can be asked: one table of operations, from which handlers and the OpenAPI document are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from compose_runner.service.contract import (
    LogsReply,
    LogsRequest,
    Reply,
    Request,
    ResultsReply,
    ResultsRequest,
    StatusReply,
    StatusRequest,
    SubmitReply,
    SubmitRequest,
)

RequestT = TypeVar("RequestT", bound=Request)
ReplyT = TypeVar("ReplyT", bound=Reply)


@dataclass(frozen=True, slots=True)
class Operation(Generic[RequestT, ReplyT]):
    """One function of the service.

    Parameters
    ----------
    name : str
        The function's name.
    summary : str
        What it does, for the OpenAPI document.
    request, reply : type
        Models of what comes in and what goes out.
    status : int
        HTTP status of a success.
    errors : tuple of int
        HTTP statuses of its refusals and failures; 405 is common to all.
    methods : tuple of str
        HTTP methods that reach the logic; ``OPTIONS`` is answered before.
    path_field : str or None
        A field that may also be the last part of the path ``/jobs/<value>``, the ``status_url`` of submit.
    idempotent : bool
        Whether a client may name its request in the header ``Idempotency-Key``.
    page : str or None
        The page that a browser gets on a GET, of :mod:`compose_runner.service.pages`.
    """

    name: str
    summary: str
    request: type[RequestT]
    reply: type[ReplyT]
    status: int = 200
    errors: tuple[int, ...] = (400, 500)
    methods: tuple[str, ...] = ("POST", "GET")
    path_field: str | None = None
    idempotent: bool = False
    page: str | None = None


SUBMIT = Operation(
    "submit", "Start a job", SubmitRequest, SubmitReply, status=202, errors=(400, 409, 429, 500), idempotent=True
)
STATUS = Operation(
    "status",
    "Tell how a job is",
    StatusRequest,
    StatusReply,
    errors=(400, 404, 500),
    methods=("POST", "GET", "DELETE"),
    path_field="job_id",
    page="job",
)
LOGS = Operation("logs", "Give a job's log records", LogsRequest, LogsReply)
RESULTS = Operation("results", "Give addresses of a job's artifacts", ResultsRequest, ResultsReply)

OPERATIONS = (SUBMIT, STATUS, LOGS, RESULTS)
