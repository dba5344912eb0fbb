"""Serve an operation as a Lambda handler: an event comes in, a validated request goes to the logic, a reply goes out.

Every error becomes an HTTP status here and nowhere else. A direct invocation gets the bare body and sees errors raised.

Powertools logs, measures and traces; its event handler does not route. The contract asks for any path, fields in the
query string where there is no body, 400 instead of 422 with texts that never repeat a value, direct invocations, and
answers to events of any shape; each of these would be an adapter around ``LambdaFunctionUrlResolver``, and what is left
for the resolver is one route per function.
"""

from __future__ import annotations

import time
from functools import wraps
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from compose_runner.service import log_events, observability, settings
from compose_runner.service.contract import IDEMPOTENCY_KEY_HEADER, MAX_IDEMPOTENCY_KEY_CHARACTERS, ErrorReply
from compose_runner.service.errors import (
    AwsServiceError,
    CancelForbiddenError,
    JobMissingError,
    JobNameTakenError,
    RequestError,
    TooManyJobsError,
)
from compose_runner.service.lambda_events import Call, is_http, read_headers, read_method, read_payload
from compose_runner.service.observability import logger
from compose_runner.service.pages import prefers_page, read_page
from compose_runner.service.storage import ARTIFACT_PREFIX_RULE, is_artifact_prefix

if TYPE_CHECKING:
    from collections.abc import Callable

    from compose_runner.service.operations import Operation, ReplyT, RequestT

INTERNAL_ERROR = "Something went wrong inside the service; its log has the reason."
ALLOWED_HEADERS = "Content-Type, Idempotency-Key, Authorization, X-Amz-Date, X-Amz-Security-Token"
CORS_MAX_AGE_SECONDS = "3600"


class MethodError(RequestError):
    """The function has no such method."""


def serves(
    operation: Operation[RequestT, ReplyT],
) -> Callable[[Callable[[RequestT, Call], ReplyT]], Callable[[Any, Any], dict[str, Any]]]:
    """Make a Lambda handler out of what an operation does with a valid request.

    Parameters
    ----------
    operation : Operation
        What is served.
    """

    def decorate(serve: Callable[[RequestT, Call], ReplyT]) -> Callable[[Any, Any], dict[str, Any]]:
        @wraps(serve)
        def handler(event: Any, context: Any = None) -> dict[str, Any]:
            observability.begin_request(getattr(context, "aws_request_id", None))
            started = time.monotonic()
            with observability.tracing.in_subsegment("## handler"):
                if not is_http(event):
                    return _serve_directly(event, operation, serve)
                code, body, headers = _serve_http(event, operation, serve)
            duration = (time.monotonic() - started) * 1000
            observability.measure({observability.REQUEST_DURATION: duration}, status=str(code))
            answer = _response(event, code, body, operation.methods)
            answer["headers"].update(headers)
            return answer

        return handler

    return decorate


def read_idempotency_key(call: Call) -> str | None:
    """Give the client's name for its request, of 1 to 255 printable characters; raises :class:`RequestError`."""
    key = call.headers.get(IDEMPOTENCY_KEY_HEADER.lower())
    if key is None:
        return None
    if not (1 <= len(key) <= MAX_IDEMPOTENCY_KEY_CHARACTERS and key.isprintable() and key.isascii()):
        raise RequestError(
            f"{IDEMPOTENCY_KEY_HEADER}: it must be 1 to {MAX_IDEMPOTENCY_KEY_CHARACTERS} printable ASCII characters"
        )
    return key


def _serve_directly(
    event: Any, operation: Operation[RequestT, ReplyT], serve: Callable[[RequestT, Call], ReplyT]
) -> dict[str, Any]:
    """Serve an invocation that is not HTTP: errors go to the caller, after they are logged."""
    try:
        if not isinstance(event, dict):
            raise RequestError("The payload must be a JSON object.")
        reply = serve(_validate(operation.request, event), Call(payload=event))
        return reply.model_dump(mode="json", exclude_unset=True)
    except Exception as error:
        _log(_choose_status(error), error)
        raise


def _serve_http(
    event: dict[str, Any], operation: Operation[RequestT, ReplyT], serve: Callable[[RequestT, Call], ReplyT]
) -> tuple[int, str, dict[str, str]]:
    """Serve an HTTP request: the status, the body's text, and further headers, whatever happens."""
    try:
        method = read_method(event)
        if method == "OPTIONS":
            return 204, "", {}
        if method not in operation.methods:
            raise MethodError(f"The method {method[:20]} is not one of {', '.join(operation.methods)}.")
        headers = read_headers(event)
        if operation.page is not None and method == "GET" and prefers_page(headers.get("accept")):
            page = read_page(operation.page)
            return 200, page.html, page.headers
        call = Call(method, read_payload(event, operation.path_field), headers)
        reply = serve(_validate(operation.request, call.payload), call)
        return operation.status, reply.model_dump_json(exclude_unset=True), {}
    except Exception as error:
        code = _choose_status(error)
        _log(code, error)
        fields = {"status": "FAILED", "error": INTERNAL_ERROR if code == 500 else str(error)}
        if isinstance(error, AwsServiceError):
            fields["error"] = str(error)
        if isinstance(error, JobNameTakenError):
            fields["artifact_prefix"] = error.artifact_prefix
        headers = {"Retry-After": str(error.retry_seconds)} if isinstance(error, TooManyJobsError) else {}
        return code, ErrorReply.model_validate(fields).model_dump_json(exclude_unset=True), headers


_STATUS = (
    (MethodError, 405),
    (RequestError, 400),
    (CancelForbiddenError, 403),
    (JobMissingError, 404),
    (JobNameTakenError, 409),
    (TooManyJobsError, 429),
)


def _choose_status(error: Exception) -> int:
    return next((code for kind, code in _STATUS if isinstance(error, kind)), 500)


def _log(code: int, error: Exception) -> None:
    """Put the reason in the log, since the real client shows its user nothing of an answer of 400 or above."""
    if code < 500:
        logger.warning(log_events.REFUSED, extra={"error": str(error), "status_code": code})
        observability.measure({observability.REQUESTS_REFUSED: 1}, status=str(code))
        return
    if isinstance(error, AwsServiceError):
        logger.error(log_events.REQUEST_FAILED, extra={"error": str(error), "status_code": code})
    else:
        logger.exception(log_events.REQUEST_FAILED, extra={"status_code": code})
    observability.measure({observability.REQUESTS_FAILED: 1}, status=str(code))


def _validate(accepts: type[RequestT], payload: dict[str, Any]) -> RequestT:
    """Make the model of a payload; the error names every field at fault and shows no value, which could be a key."""
    prefix = payload.get("artifact_prefix")
    if isinstance(prefix, str) and is_artifact_prefix(prefix):
        observability.follow_job(prefix)
    try:
        return accepts.model_validate(payload)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestError(
            "; ".join(_sentence(detail["loc"], detail["type"], detail["msg"]) for detail in details)
        ) from None


def _sentence(location: tuple[int | str, ...], kind: str, text: str) -> str:
    if kind == "missing":
        return f"{location[0]}: it is required"
    if kind == "string_pattern_mismatch" and location == ("artifact_prefix",):
        text = ARTIFACT_PREFIX_RULE
    text = text.removeprefix("Value error, ")
    return f"{location[0]}: {text}" if location else text


def _response(event: dict[str, Any], code: int, body: str, methods: tuple[str, ...]) -> dict[str, Any]:
    headers = _cors_headers(read_headers(event).get("origin"), methods)
    if code == 405:
        headers["Allow"] = ", ".join((*methods, "OPTIONS"))
    if code != 204:
        headers["Content-Type"] = "application/json"
        headers["Cache-Control"] = "no-store"
    return {"statusCode": code, "headers": headers, "body": body, "isBase64Encoded": False}


def _cors_headers(origin: str | None, methods: tuple[str, ...]) -> dict[str, str]:
    """Let pages of the origins that the deployment names read the answer."""
    allowed = settings.cors_origins()
    if not allowed:
        return {}
    headers = {} if "*" in allowed else {"Vary": "Origin"}
    if "*" in allowed or (origin is not None and origin.rstrip("/") in allowed):
        headers |= {
            "Access-Control-Allow-Origin": "*" if "*" in allowed else str(origin),
            "Access-Control-Allow-Methods": ", ".join((*methods, "OPTIONS")),
            "Access-Control-Allow-Headers": ALLOWED_HEADERS,
            "Access-Control-Max-Age": CORS_MAX_AGE_SECONDS,
        }
    return headers
