from __future__ import annotations

import base64
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest
import urllib3

from compose_runner.client.client import Client
from compose_runner.client.models import RequestRefusedError
from compose_runner.local.functions.gateway import Gateway, function_url_event, http_answer
from compose_runner.local.functions.pool import Function, FunctionCode, FunctionError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HANDLER = """
import json, os, sys, time
calls = 0
def handler(event, context):
    global calls
    calls += 1
    what = event.get("what")
    print(f"line of {what}")
    if what == "raise":
        raise ValueError("the handler's own words")
    if what == "die":
        os._exit(3)
    if what == "hang":
        time.sleep(60)
    return {"what": what, "calls": calls, "process": os.getpid(), "variable": os.environ["VARIABLE"],
            "left": context.get_remaining_time_in_millis(), "name": context.function_name}
"""


def test_a_request_becomes_a_function_url_event() -> None:
    event = function_url_event(
        "POST", "/jobs/a%20b", "x=1&y=&x=2", {"Content-Type": "a/b", "Cookie": "c=d; e=f"}, b"{}"
    )
    assert event["version"] == "2.0"
    assert event["rawPath"] == "/jobs/a b"
    assert event["rawQueryString"] == "x=1&y=&x=2"
    assert event["queryStringParameters"] == {"x": "1,2", "y": ""}
    assert event["headers"] == {"content-type": "a/b"}
    assert event["cookies"] == ["c=d", "e=f"]
    assert (event["body"], event["isBase64Encoded"]) == ("{}", False)
    assert event["requestContext"]["http"]["method"] == "POST"


def test_a_body_that_is_not_text_is_in_base64() -> None:
    event = function_url_event("POST", "/", "", {}, b"\xff\x00")
    assert event["isBase64Encoded"]
    assert base64.b64decode(event["body"]) == b"\xff\x00"


@pytest.mark.parametrize(
    ("result", "status", "body"),
    [
        ({"statusCode": 202, "body": "text", "headers": {"X-A": "b"}}, 202, b"text"),
        ({"statusCode": 200, "body": base64.b64encode(b"\xff").decode(), "isBase64Encoded": True}, 200, b"\xff"),
        ({"statusCode": 204}, 204, b""),
        ({"any": "object"}, 200, b'{"any": "object"}'),
        ("text", 200, b"text"),
    ],
)
def test_what_a_handler_returns_becomes_an_answer(result: Any, status: int, body: bytes) -> None:
    got_status, headers, got_body = http_answer(result)
    assert (got_status, got_body) == (status, body)
    assert headers["content-type"] == "application/json"


@pytest.fixture
def function(tmp_path: Path) -> Iterator[Function]:
    import os

    (tmp_path / "app.py").write_text(HANDLER)
    code = FunctionCode("my-function", tmp_path, "app.handler", {"VARIABLE": "value"}, timeout=1.0)
    lines: list[str] = []
    running = Function(code, dict(os.environ), lines.append, max_processes=1)
    yield running
    running.close()


def test_a_function_keeps_its_process_between_events_and_has_its_own_variables(function: Function) -> None:
    first, second = (function.invoke({"what": number}) for number in (1, 2))
    assert (first["process"], first["variable"], first["name"]) == (second["process"], "value", "my-function")
    assert (first["calls"], second["calls"]) == (1, 2)
    assert 0 < first["left"] <= 1000


def test_a_handler_that_raises_is_an_error_with_its_words_and_goes_on(function: Function) -> None:
    with pytest.raises(FunctionError, match="the handler's own words"):
        function.invoke({"what": "raise"})
    assert function.invoke({"what": "next"})["calls"] == 2


@pytest.mark.parametrize(("what", "words"), [("die", "died"), ("hang", "ran out of time")])
def test_a_process_that_is_lost_is_replaced(function: Function, what: str, words: str) -> None:
    with pytest.raises(FunctionError, match=words):
        function.invoke({"what": what})
    assert function.invoke({"what": "next"})["calls"] == 1


def test_a_function_that_cannot_be_imported_says_why(tmp_path: Path) -> None:
    import os

    (tmp_path / "app.py").write_text("import nothing_of_this_name")
    function = Function(FunctionCode("broken", tmp_path, "app.handler", {}), dict(os.environ), lambda _: None)
    with pytest.raises(FunctionError, match="nothing_of_this_name"):
        function.start()


def test_an_error_of_a_function_is_an_answer_of_502_without_its_words() -> None:
    def fails(event: Any) -> Any:
        raise FunctionError("inner words")

    gateway = Gateway({"fails": fails, "works": lambda event: {"path": event["rawPath"]}})
    gateway.start()
    try:
        answer = urllib3.request("POST", f"{gateway.endpoint}/fails", json={})
        assert (answer.status, b"inner words" in answer.data) == (502, False)
        assert json.loads(urllib3.request("GET", f"{gateway.endpoint}/works/jobs/1").data) == {"path": "/jobs/1"}
        assert set(json.loads(urllib3.request("GET", gateway.endpoint).data)) == {"fails", "works"}
    finally:
        gateway.close()


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    running = Gateway({"submit": lambda event: {"started": True}, "status": lambda event: {"body": event.get("body")}})
    running.start()
    yield running
    running.close()


def send(gateway: Gateway, request: bytes) -> tuple[int, dict[str, str], Any]:
    """Send bytes, all of them before anything is read, and read to the end of the connection."""
    port = int(gateway.endpoint.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(request.replace(b"HOST", f"127.0.0.1:{port}".encode()))
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(1 << 16):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return int(first.split()[1]), headers, json.loads(body) if body else None


LONG = b"a" * 70_000
REFUSED = {
    "no such method": (b"PROPFIND /status HTTP/1.1\r\nHost: HOST\r\n\r\n", 405),
    "TRACE": (b"TRACE /status HTTP/1.1\r\nHost: HOST\r\n\r\n", 405),
    "CONNECT": (b"CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: HOST\r\n\r\n", 405),
    "GET that starts a job": (b"GET /submit?meta_analysis_id=x HTTP/1.1\r\nHost: HOST\r\n\r\n", 405),
    "chunks": (
        b"POST /status HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n2b\r\n"
        b"GET /nothere HTTP/1.1\r\nHost: HOST\r\nX: 12\r\n0\r\n\r\n",
        411,
    ),
    "ten megabytes": (
        b"POST /status HTTP/1.1\r\nHost: HOST\r\nContent-Length: 10485760\r\n\r\n" + b" " * 10_485_760,
        413,
    ),
    "long address": (b"GET /status?job_id=" + LONG + b" HTTP/1.1\r\nHost: HOST\r\n\r\n", 414),
    "many headers": (
        b"GET /status HTTP/1.1\r\nHost: HOST\r\n" + b"".join(b"X%d: y\r\n" % number for number in range(300)) + b"\r\n",
        431,
    ),
    "long header": (b"GET /status HTTP/1.1\r\nHost: HOST\r\nX: " + LONG + b"\r\n\r\n", 431),
    "two lengths": (
        b"POST /status HTTP/1.1\r\nHost: HOST\r\nContent-Length: 2\r\nContent-Length: 30\r\n\r\n{}",
        400,
    ),
    "negative length": (b"POST /status HTTP/1.1\r\nHost: HOST\r\nContent-Length: -5\r\n\r\n", 400),
    "length with a line": (b"POST /status HTTP/1.1\r\nHost: HOST\r\nContent-Length: 1_0\r\n\r\n{}        ", 400),
    "short body": (b"POST /status HTTP/1.1\r\nHost: HOST\r\nContent-Length: 50\r\n\r\n{}", 400),
    "whole address": (b"GET http://evil.example/status HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
    "no version": (b"GET /status\r\nHost: HOST\r\n\r\n", 400),
    "a header with a space": (
        b"POST /status HTTP/1.1\r\nHost: HOST\r\nA : b\r\nOrigin: https://evil.example\r\n\r\n",
        400,
    ),
    "a header that goes on before it begins": (b"POST /status HTTP/1.1\r\n A: b\r\nHost: HOST\r\n\r\n", 400),
    "a header without a colon": (
        b"POST /status HTTP/1.1\r\nHost: HOST\r\nA\r\nSec-Fetch-Site: cross-site\r\n\r\n",
        400,
    ),
    "no HTTP": (b"hello there you\r\n\r\n", 400),
    "HTTP of the future": (b"GET / HTTP/9.9\r\nHost: HOST\r\n\r\n", 505),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 403),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: HOST\r\nHost: HOST\r\n\r\n", 403),
    "foreign host": (b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
    "foreign origin": (b"POST /status HTTP/1.1\r\nHost: HOST\r\nOrigin: https://evil.example\r\n\r\n", 403),
    "other port's origin": (b"POST /status HTTP/1.1\r\nHost: HOST\r\nOrigin: http://127.0.0.1:1\r\n\r\n", 403),
    "two origins": (b"POST /status HTTP/1.1\r\nHost: HOST\r\nOrigin: http://HOST\r\nOrigin: http://x\r\n\r\n", 403),
    "empty origin": (b"POST /status HTTP/1.1\r\nHost: HOST\r\nOrigin:\r\n\r\n", 403),
    "origin of no site": (b"POST /status HTTP/1.1\r\nHost: HOST\r\nOrigin: null\r\n\r\n", 403),
    "a name with a dot behind it": (b"POST /status HTTP/1.1\r\nHost: localhost.\r\n\r\n", 403),
    "a page with this name in front": (
        b"POST /status HTTP/1.1\r\nHost: HOST\r\nReferer: http://HOST.evil.example/\r\n\r\n",
        403,
    ),
    "a page with this name as a user": (
        b"POST /status HTTP/1.1\r\nHost: HOST\r\nReferer: http://HOST@evil.example/\r\n\r\n",
        403,
    ),
    "a page alone": (b"POST /status HTTP/1.1\r\nHost: HOST\r\nReferer: https://evil.example/\r\n\r\n", 403),
    "a connection that stays": (
        b"GET /status HTTP/1.1\r\nHost: HOST\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Origin: https://evil.example\r\n\r\n",
        403,
    ),
    "another method in a header": (
        b"GET /submit?meta_analysis_id=x HTTP/1.1\r\nHost: HOST\r\nX-HTTP-Method-Override: POST\r\n\r\n",
        405,
    ),
    "cross-site": (b"GET / HTTP/1.1\r\nHost: HOST\r\nSec-Fetch-Site: cross-site\r\n\r\n", 403),
    "unknown site": (b"GET / HTTP/1.1\r\nHost: HOST\r\nSec-Fetch-Site: anything\r\n\r\n", 403),
}


@pytest.mark.parametrize(("request_bytes", "status"), list(REFUSED.values()), ids=list(REFUSED))
def test_a_refusal_is_json_that_arrives_and_ends_the_connection(
    gateway: Gateway, request_bytes: bytes, status: int
) -> None:
    got, headers, document = send(gateway, request_bytes)
    assert (got, headers["content-type"], headers["connection"]) == (status, "application/json", "close")
    assert document["status"] == "FAILED"
    assert document["error"]
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    "headers",
    [
        b"",
        b"Origin: http://HOST\r\nSec-Fetch-Site: same-origin\r\n",
        b"Sec-Fetch-Site: none\r\n",
        b"Referer: http://HOST/status\r\n",
        b"Content-Type: multipart/form-data; boundary=x\r\n",
        b"Content-Type: text/plain; charset=nonsense\r\n",
    ],
)
def test_clients_and_the_services_own_pages_are_served(gateway: Gateway, headers: bytes) -> None:
    request = b"POST /status HTTP/1.1\r\nHost: HOST\r\nContent-Length: 2\r\nConnection: close\r\n" + headers
    assert send(gateway, request + b"\r\n{}")[::2] == (200, {"body": "{}"})


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_both_names_of_this_machine_are_known(gateway: Gateway, name: str) -> None:
    port = gateway.endpoint.rpartition(":")[2]
    answer = urllib3.request("GET", gateway.endpoint, headers={"Host": f"{name}:{port}"})
    assert json.loads(answer.data)["submit"] == f"http://{name}:{port}/submit"


def test_a_client_sends_the_token_that_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, str]] = []

    def results(event: Any) -> Any:
        seen.append(event["headers"])
        return {"artifacts": []}

    running = Gateway({"results": results}, token="right")
    running.start()
    try:
        with pytest.raises(RequestRefusedError, match="token"):
            Client.configured(running.endpoint).results("x")
        with pytest.raises(RequestRefusedError, match="token"):
            Client.configured(running.endpoint, token="wrong").results("x")
        assert Client.configured(running.endpoint, token="right").results("x") == []
        monkeypatch.setenv("COMPOSE_RUNNER_TOKEN", "right")
        client = Client.configured(running.endpoint)
        assert client.results("x") == []
        assert "right" not in repr(client.service)
        assert all("authorization" not in headers for headers in seen)
    finally:
        running.close()
