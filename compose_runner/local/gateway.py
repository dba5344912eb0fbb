"""The functions' addresses: HTTP requests become Function URL events, and what a handler returns becomes an answer."""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
import uuid
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from compose_runner import __version__
from compose_runner.local.functions import FunctionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)

# Lambda's own limit of a request
MAX_BODY = 6 * 1024 * 1024


def function_url_event(
    method: str, path: str, query: str, headers: Mapping[str, str], body: bytes, source: str = "127.0.0.1"
) -> dict[str, Any]:
    """Make a Function URL event (payload format 2.0) out of an HTTP request.

    Parameters
    ----------
    method, path, query : str
        The request's; the path below the function's address, percent-encoded.
    headers : mapping
        The request's, names in any case.
    body : bytes
        The request's; base64 in the event unless it is text in UTF-8.
    source : str
        Address of the client.
    """
    now = datetime.now(UTC)
    lowered = {name.lower(): value for name, value in headers.items()}
    path = unquote(path) or "/"
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": lowered,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "embedded",
            "domainName": lowered.get("host", "127.0.0.1"),
            "domainPrefix": "embedded",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": source,
                "userAgent": lowered.get("user-agent", ""),
            },
            "requestId": str(uuid.uuid4()),
            "routeKey": "$default",
            "stage": "$default",
            "time": now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "timeEpoch": int(now.timestamp() * 1000),
        },
        "isBase64Encoded": False,
    }
    if query:
        parameters: dict[str, str] = {}
        for name, value in parse_qsl(query, keep_blank_values=True):
            parameters[name] = f"{parameters[name]},{value}" if name in parameters else value
        event["queryStringParameters"] = parameters
    if "cookie" in lowered:
        event["cookies"] = [part.strip() for part in lowered.pop("cookie").split(";")]
    if body:
        try:
            event["body"] = body.decode()
        except UnicodeDecodeError:
            event["body"], event["isBase64Encoded"] = base64.b64encode(body).decode(), True
    return event


def http_answer(result: Any) -> tuple[int, dict[str, str], bytes]:
    """Turn what a handler returned into status, headers and body, by the rules of Function URLs.

    Parameters
    ----------
    result : object
        A dictionary with ``statusCode``, or anything else, which becomes a JSON body with status 200.
    """
    headers = {"content-type": "application/json"}
    if not (isinstance(result, dict) and "statusCode" in result):
        return HTTPStatus.OK, headers, (result if isinstance(result, str) else json.dumps(result)).encode()
    headers.update({str(name).lower(): str(value) for name, value in (result.get("headers") or {}).items()})
    body = result.get("body") or ""
    if not isinstance(body, str):
        body = json.dumps(body)
    data = base64.b64decode(body) if result.get("isBase64Encoded") else body.encode()
    return int(result["statusCode"]), headers, data


class Gateway:
    """One server for several functions, each below a path of its own name.

    Parameters
    ----------
    functions : mapping
        What answers an event, by name.
    port : int
        0 for any free port.
    address : str
        Where to listen.
    """

    def __init__(
        self, functions: Mapping[str, Callable[[Any], Any]], port: int = 0, address: str = "127.0.0.1"
    ) -> None:
        self._server = _Server((address, port), _handler_class(functions))
        self._thread = threading.Thread(target=self._server.serve_forever, name="gateway", daemon=True)
        self.endpoint = f"http://{address}:{self._server.server_address[1]}"
        self.urls = {name: f"{self.endpoint}/{name}" for name in functions}

    def start(self) -> None:
        """Answer requests from now on."""
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # connections that wait while all threads are being made: many clients at once
    request_queue_size = 256
    allow_reuse_address = True


def _handler_class(functions: Mapping[str, Callable[[Any], Any]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version = f"compose-runner/{__version__}"
        # an answer is two writes: without this the second waits for the client's acknowledgement
        disable_nagle_algorithm = True
        timeout = 60

        def _answer(self) -> None:
            began = time.perf_counter()
            target, _, query = self.path.partition("?")
            name, _, rest = target.removeprefix("/").partition("/")
            body = self._body()
            if body is None:
                status, headers, data = _refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the request is too large")
                self.close_connection = True
            elif name == "":
                urls = {function: f"http://{self.headers.get('host')}/{function}" for function in functions}
                status, headers, data = http_answer(urls)
            elif name not in functions:
                status, headers, data = _refusal(
                    HTTPStatus.NOT_FOUND, f"there is no function {name!r}, only {', '.join(functions)}"
                )
            else:
                event = function_url_event(
                    self.command, f"/{rest}", query, dict(self.headers.items()), body, self.client_address[0]
                )
                status, headers, data = _invoke(functions[name], event)
            self.send_response(status)
            for header, value in headers.items():
                if header != "content-length":
                    self.send_header(header, value)
            if status != HTTPStatus.NO_CONTENT:
                self.send_header("content-length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD" and status != HTTPStatus.NO_CONTENT:
                self.wfile.write(data)
            milliseconds = (time.perf_counter() - began) * 1000
            log.debug("%s %s %d %.0f ms", self.command, target, status, milliseconds)

        def _body(self) -> bytes | None:
            try:
                length = int(self.headers.get("content-length") or 0)
            except ValueError:
                return None
            return self.rfile.read(length) if 0 <= length <= MAX_BODY else None

        do_GET = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_HEAD = do_PATCH = _answer

        def log_message(self, format: str, *args: Any) -> None:
            """Keep the server's own lines off the terminal: requests are logged above."""

    return Handler


def _invoke(function: Callable[[Any], Any], event: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    try:
        return http_answer(function(event))
    except (FunctionError, ValueError) as error:
        log.error("%s", error)
        return _refusal(HTTPStatus.BAD_GATEWAY, "Internal Server Error")


def _refusal(status: HTTPStatus, reason: str) -> tuple[int, dict[str, str], bytes]:
    return status, {"content-type": "application/json"}, json.dumps({"status": "FAILED", "error": reason}).encode()
