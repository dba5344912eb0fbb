"""The four handlers behind one WSGI application, which turns requests into function URL events as Lambda does."""

from __future__ import annotations

import base64
import importlib
from typing import TYPE_CHECKING, Any

from compose_runner.service import openapi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

FUNCTIONS = ("submit", "status", "logs", "results")


def make_event(environ: dict[str, Any]) -> dict[str, Any]:
    """Make the event, payload version 2.0, of a WSGI request."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    headers = {
        name.removeprefix("HTTP_").replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_") or name == "CONTENT_TYPE"
    }
    path = environ["PATH_INFO"]
    return {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": environ.get("QUERY_STRING", ""),
        "headers": headers,
        "requestContext": {"http": {"method": environ["REQUEST_METHOD"], "path": path}},
        "body": base64.b64encode(body).decode() if body else None,
        "isBase64Encoded": bool(body),
    }


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Serve a function by its name, which is the first part of the path, and the OpenAPI document."""
    path = environ["PATH_INFO"]
    if path == "/openapi.json":
        start_response("200 OK", [("Content-Type", "application/json")])
        return [openapi.text().encode()]
    handler = importlib.import_module(f"functions.{path.strip('/').partition('/')[0]}.app").handler
    answer = handler(make_event(environ), None)
    start_response(f"{answer['statusCode']} -", list(answer["headers"].items()))
    return [answer["body"].encode()]
