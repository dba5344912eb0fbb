"""The functions' addresses: HTTP requests become Function URL events, and what a handler returns becomes an answer."""

from __future__ import annotations

import base64
import hmac
import json
import logging
import time
import uuid
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from compose_runner.local.functions.pool import FunctionError
from compose_runner.local.http_server import HttpServer, JsonHandler
from compose_runner.local.pages.routes import GatewayRequest
from compose_runner.local.visitors import LOOPBACK, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from compose_runner.local.pages.routes import Answer, Routes

log = logging.getLogger(__name__)

# Lambda's own limit of a request
MAX_BODY = 6 * 1024 * 1024
# functions that change something whichever method reaches them
CHANGING = frozenset({"submit"})


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


class Gateway(HttpServer):
    """One server for several functions, each below a path of its own name.

    Parameters
    ----------
    functions : mapping
        What answers an event, by name.
    port : int
        0 for any free port.
    host : str
        Where to listen.
    token : str or None
        What every request must carry in its ``Authorization`` header, if anything.
    origins : tuple of str
        Origins of other sites whose pages may ask; ``*`` for all.
    routes : Routes or None
        What the service answers besides the functions.
    """

    def __init__(
        self,
        functions: Mapping[str, Callable[[Any], Any]],
        port: int = 0,
        host: str = LOOPBACK,
        *,
        token: str | None = None,
        origins: tuple[str, ...] = (),
        routes: Routes | None = None,
    ) -> None:
        super().__init__(_Handler, host, port, origins=origins, functions=functions, token=token, routes=routes)
        self.urls = {name: f"{self.endpoint}/{name}" for name in functions}


class _Handler(JsonHandler):
    methods = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    max_body = MAX_BODY
    functions: Mapping[str, Callable[[Any], Any]]
    token: str | None
    routes: Routes | None

    def answer(self) -> None:
        began = time.perf_counter()
        target, _, query = self.path.partition("?")
        status, headers, data = self._answer_own(target, query) or self._answer_function(target, query)
        self.reply(status, headers, data)
        milliseconds = (time.perf_counter() - began) * 1000
        log.debug("%s %s %d %.0f ms", self.command, target, status, milliseconds)

    def _answer_own(self, target: str, query: str) -> Answer | None:
        """Answer what is not for a function, after the token is checked where one is needed."""
        request = GatewayRequest(self.command, target, query, self.headers.get("accept"), self.body)
        answer = None
        if self.routes is not None and (answer := self.routes.public_answer(request)) is not None:
            self.body()
            return answer
        self._check_token()
        if self.routes is not None and (answer := self.routes.answer(request)) is not None and self.command != "POST":
            self.body()
        return answer

    def _answer_function(self, target: str, query: str) -> Answer:
        name, _, rest = target.removeprefix("/").partition("/")
        path = f"/{rest}"
        if self.routes is not None and name == "jobs":
            request = GatewayRequest(self.command, target, query, self.headers.get("accept"), self.body)
            name, path = "status", self.routes.function_path(request) or path
        if name in CHANGING and self.command in ("GET", "HEAD"):
            raise RefusedError(
                HTTPStatus.METHOD_NOT_ALLOWED,
                f"{name} starts something, which a link or a picture on a page must not: send POST",
                {"allow": "POST, OPTIONS"},
            )
        body = self.body()
        if name == "":
            host = self.headers["host"].strip()
            return http_answer({function: f"http://{host}/{function}" for function in self.functions})
        if name not in self.functions:
            raise RefusedError(HTTPStatus.NOT_FOUND, f"there is no function {name!r}, only {', '.join(self.functions)}")
        sent = dict(self.headers.items())
        if self.token is not None:  # it is for this port alone
            sent = {header: value for header, value in sent.items() if header.lower() != "authorization"}
        event = function_url_event(self.command, path, query, sent, body, str(self.client_address[0]))
        return _invoke(self.functions[name], event)

    def _check_token(self) -> None:
        if self.token is None:
            return
        # a browser asks whether a page may send the token before it sends it
        if self.command == "OPTIONS" and self.visitors.allows(self.headers.get_all("origin") or []):
            return
        scheme, _, given = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self.token.encode()):
            raise RefusedError(
                HTTPStatus.UNAUTHORIZED,
                "the service wants its token: COMPOSE_RUNNER_TOKEN or --token, in HTTP Authorization: Bearer",
                {"www-authenticate": "Bearer"},
            )


def _invoke(function: Callable[[Any], Any], event: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    try:
        return http_answer(function(event))
    except (FunctionError, ValueError) as error:
        log.error("%s", error)
        raise RefusedError(HTTPStatus.BAD_GATEWAY, "Internal Server Error") from None
