"""Read an invocation of a function: method, headers and payload of whatever Lambda hands over.

Events come from a function URL (payload version 2.0) or from an API gateway in front of it (versions 1.0 and 2.0); a
direct invocation has no ``requestContext`` and is the payload itself. A caller can invoke a function with any JSON, so
that nothing about an event's shape is taken for granted.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

from compose_runner.service.errors import RequestError

# two keys and a token of logs at their longest fit three times
MAX_CHARACTERS = 65_536


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


def is_http(event: Any) -> bool:
    """Whether an event is an HTTP request rather than a direct invocation."""
    return isinstance(event, dict) and "requestContext" in event


def read_method(event: dict[str, Any]) -> str:
    """Read the HTTP method, in upper case."""
    context = event.get("requestContext")
    http = context.get("http") if isinstance(context, dict) else None
    method = http.get("method") if isinstance(http, dict) else event.get("httpMethod")
    return method.upper() if isinstance(method, str) else "POST"


def read_headers(event: dict[str, Any]) -> dict[str, str]:
    """Read the headers, by names in lower case."""
    headers = event.get("headers")
    if not isinstance(headers, dict):
        return {}
    return {str(name).lower(): value for name, value in headers.items() if isinstance(value, str)}


def read_payload(event: dict[str, Any], path_field: str | None = None) -> dict[str, Any]:
    """Read the JSON body; without one, the query string and the path.

    Parameters
    ----------
    event : dict
        The invocation's event.
    path_field : str, optional
        The field that may be the last part of the path ``/jobs/<value>``.

    Raises
    ------
    RequestError
        The body is not a JSON object, or the query string cannot be read.
    """
    body = event.get("body")
    for part in (body, event.get("rawQueryString")):
        if isinstance(part, str) and len(part) > MAX_CHARACTERS:
            raise RequestError(f"The request is longer than {MAX_CHARACTERS} characters.")
    if body:
        return _parse_object(body, base64_encoded=event.get("isBase64Encoded") is True)
    payload: dict[str, Any] = dict(_read_query(event))
    path = event.get("rawPath") or event.get("path")
    if path_field and path_field not in payload and isinstance(path, str):
        _, found, value = path.partition("/jobs/")
        if found and value:
            payload[path_field] = unquote(value)
    return payload


def _parse_object(body: Any, *, base64_encoded: bool) -> dict[str, Any]:
    try:
        text = base64.b64decode(body, validate=True).decode() if base64_encoded else body
        document = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        raise RequestError("The body is not JSON.") from None
    if not isinstance(document, dict):
        raise RequestError("The body must be a JSON object.")
    return document


def _read_query(event: dict[str, Any]) -> dict[str, str]:
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
