from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
import urllib3

from compose_runner.local.functions import Function, FunctionCode, FunctionError
from compose_runner.local.gateway import Gateway, function_url_event, http_answer

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
