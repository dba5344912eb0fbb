"""The one door of every function: an event comes in, a validated request goes to the logic, a reply goes out.

Three kinds of event come in: those of a function URL (payload version 2.0), those of an API gateway in front of it
(versions 1.0 and 2.0), and direct invocations, which have no ``requestContext``: they are the payload itself, get the
bare body, and see errors raised. Every error becomes an HTTP status here and nowhere else.

Powertools logs, measures and traces; its event handler does not route. There is one route per function, on any path,
and ``LambdaFunctionUrlResolver`` adds 60 to 100 ms of processor time to a start of 385 ms before anything is routed or
validated. Pydantic validates, directly.
"""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass, field
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qs, unquote

from pydantic_core import ValidationError

from compose_runner import log_events, observability, settings
from compose_runner.contract import IDEMPOTENCY_KEY_HEADER, MAX_IDEMPOTENCY_KEY_CHARACTERS, ErrorReply, Request
from compose_runner.jobs.errors import (
    CancelForbiddenError,
    EngineError,
    JobExistsError,
    JobMissingError,
    RequestError,
)
from compose_runner.observability import logger
from compose_runner.storage_keys import ARTIFACT_PREFIX_RULE, is_artifact_prefix

if TYPE_CHECKING:
    from collections.abc import Callable

    from compose_runner.contract import Reply

RequestT = TypeVar("RequestT", bound=Request)

INTERNAL_ERROR = "Something went wrong inside the service; its log has the reason."
ALLOWED_HEADERS = "Content-Type, Idempotency-Key, Authorization, X-Amz-Date, X-Amz-Security-Token"
CORS_MAX_AGE_SECONDS = "3600"


class MethodError(RequestError):
    """The function has no such method."""


@dataclass(frozen=True, slots=True)
class Call:
    """One invocation, whichever way it came.

    Parameters
    ----------
    method : str
        The HTTP method; ``POST`` for a direct invocation.
    payload : dict
        What the client sent.
    headers : dict
        By names in lower case; empty for a direct invocation.
    """

    method: str = "POST"
    payload: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


def function(
    accepts: type[RequestT],
    *,
    status: int = 200,
    methods: tuple[str, ...] = ("POST", "GET"),
    path_field: str | None = None,
) -> Callable[[Callable[[RequestT, Call], Reply]], Callable[[Any, Any], dict[str, Any]]]:
    """Make a Lambda handler out of what a function does with a valid request.

    Parameters
    ----------
    accepts : type
        Model of the request.
    status : int
        HTTP status of a success.
    methods : tuple of str
        HTTP methods that reach the logic; ``OPTIONS`` is answered here.
    path_field : str, optional
        A field that may also be the last part of the path ``/jobs/<value>``, the ``status_url`` of submit.
    """

    def decorate(serve: Callable[[RequestT, Call], Reply]) -> Callable[[Any, Any], dict[str, Any]]:
        @wraps(serve)
        def handler(event: Any, context: Any = None) -> dict[str, Any]:
            observability.begin_request(getattr(context, "aws_request_id", None))
            is_http = isinstance(event, dict) and "requestContext" in event
            started = time.monotonic()
            with observability.tracing.in_subsegment("## handler"):
                if not is_http:
                    return _serve_directly(event, accepts, serve)
                code, body = _serve_http(event, accepts, serve, (status, methods, path_field))
            duration = (time.monotonic() - started) * 1000
            observability.measure({observability.REQUEST_DURATION: duration}, status=str(code))
            return _response(event, code, body, methods)

        return handler

    return decorate


def idempotency_key_of(call: Call) -> str | None:
    """Give the client's name for its request, of 1 to 255 printable characters; raises :class:`RequestError`."""
    key = call.headers.get(IDEMPOTENCY_KEY_HEADER.lower())
    if key is None:
        return None
    if not (1 <= len(key) <= MAX_IDEMPOTENCY_KEY_CHARACTERS and key.isprintable() and key.isascii()):
        raise RequestError(
            f"{IDEMPOTENCY_KEY_HEADER}: it must be 1 to {MAX_IDEMPOTENCY_KEY_CHARACTERS} printable ASCII characters"
        )
    return key


def _serve_directly(event: Any, accepts: type[RequestT], serve: Callable[[RequestT, Call], Reply]) -> dict[str, Any]:
    """Serve an invocation that is not HTTP: errors go to the caller, after they are logged."""
    try:
        if not isinstance(event, dict):
            raise RequestError("The payload must be a JSON object.")
        reply = serve(_validated(accepts, event), Call(payload=event))
        return reply.model_dump(mode="json", exclude_unset=True)
    except Exception as error:
        _log(_status_of(error), error)
        raise


def _serve_http(
    event: dict[str, Any],
    accepts: type[RequestT],
    serve: Callable[[RequestT, Call], Reply],
    route: tuple[int, tuple[str, ...], str | None],
) -> tuple[int, str]:
    """Serve an HTTP request: the status and the body's text, whatever happens."""
    status, methods, path_field = route
    try:
        method = _method_of(event)
        if method == "OPTIONS":
            return 204, ""
        if method not in methods:
            raise MethodError(f"The method {method[:20]} is not one of {', '.join(methods)}.")
        call = Call(method, _payload_of(event, path_field), _headers_of(event))
        return status, serve(_validated(accepts, call.payload), call).model_dump_json(exclude_unset=True)
    except Exception as error:
        code = _status_of(error)
        _log(code, error)
        fields = {"status": "FAILED", "error": INTERNAL_ERROR if code == 500 else str(error)}
        if isinstance(error, EngineError):
            fields["error"] = str(error)
        if isinstance(error, JobExistsError):
            fields["artifact_prefix"] = error.artifact_prefix
        return code, ErrorReply.model_validate(fields).model_dump_json(exclude_unset=True)


_STATUS = (
    (MethodError, 405),
    (RequestError, 400),
    (CancelForbiddenError, 403),
    (JobMissingError, 404),
    (JobExistsError, 409),
)


def _status_of(error: Exception) -> int:
    return next((code for kind, code in _STATUS if isinstance(error, kind)), 500)


def _log(code: int, error: Exception) -> None:
    """Put the reason in the log, since the real client shows its user nothing of an answer of 400 or above."""
    if code < 500:
        logger.warning(log_events.REFUSED, extra={"error": str(error), "status_code": code})
        observability.measure({observability.REQUESTS_REFUSED: 1}, status=str(code))
        return
    if isinstance(error, EngineError):
        logger.error(log_events.REQUEST_FAILED, extra={"error": str(error), "status_code": code})
    else:
        logger.exception(log_events.REQUEST_FAILED, extra={"status_code": code})
    observability.measure({observability.REQUESTS_FAILED: 1}, status=str(code))


def _validated(accepts: type[RequestT], payload: dict[str, Any]) -> RequestT:
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


def _method_of(event: dict[str, Any]) -> str:
    context = event.get("requestContext")
    http = context.get("http") if isinstance(context, dict) else None
    method = http.get("method") if isinstance(http, dict) else event.get("httpMethod")
    return method.upper() if isinstance(method, str) else "POST"


def _headers_of(event: dict[str, Any]) -> dict[str, str]:
    headers = event.get("headers")
    if not isinstance(headers, dict):
        return {}
    return {str(name).lower(): value for name, value in headers.items() if isinstance(value, str)}


def _payload_of(event: dict[str, Any], path_field: str | None) -> dict[str, Any]:
    """Read the JSON body; without one, the query string and the path."""
    body = event.get("body")
    if body:
        return _object_of(body, base64_encoded=event.get("isBase64Encoded") is True)
    payload: dict[str, Any] = dict(_query_of(event))
    path = event.get("rawPath") or event.get("path")
    if path_field and path_field not in payload and isinstance(path, str):
        _, found, value = path.partition("/jobs/")
        if found and value:
            payload[path_field] = unquote(value)
    return payload


def _object_of(body: Any, *, base64_encoded: bool) -> dict[str, Any]:
    try:
        text = base64.b64decode(body, validate=True).decode() if base64_encoded else body
        document = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        raise RequestError("The body is not JSON.") from None
    if not isinstance(document, dict):
        raise RequestError("The body must be a JSON object.")
    return document


def _query_of(event: dict[str, Any]) -> dict[str, str]:
    raw = event.get("rawQueryString")
    if isinstance(raw, str) and raw:
        try:
            return {name: values[-1] for name, values in parse_qs(raw, keep_blank_values=True).items()}
        except ValueError:
            raise RequestError("The query string cannot be read.") from None
    fields = event.get("queryStringParameters")
    if not isinstance(fields, dict):
        return {}
    return {str(name): value for name, value in fields.items() if isinstance(value, str)}


def _response(event: dict[str, Any], code: int, body: str, methods: tuple[str, ...]) -> dict[str, Any]:
    headers = _cors_headers(_headers_of(event).get("origin"), methods)
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
