"""What the embedded AWS's port lets in, over the wire: what its own processes sign, as botocore sends it, no more."""

from __future__ import annotations

import hashlib
import json
import re
import socket
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("moto", reason="needs the local extra")

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from compose_runner.local.aws.emulator import EmbeddedAws
from compose_runner.local.aws.request_signatures import AccessKeys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RUN_TASK = "AmazonEC2ContainerServiceV20141113.RunTask"
LIST = "AmazonEC2ContainerServiceV20141113.ListTaskDefinitions"
Lines = list[tuple[str, str]]


@pytest.fixture(scope="module")
def aws() -> Iterator[EmbeddedAws]:
    with EmbeddedAws() as aws:
        yield aws


def keys_of(aws: EmbeddedAws) -> AccessKeys:
    return AccessKeys(aws.variables["AWS_ACCESS_KEY_ID"], aws.variables["AWS_SECRET_ACCESS_KEY"])


def signed(aws: EmbeddedAws, keys: AccessKeys | None = None, target: str = LIST, body: bytes = b"{}") -> Lines:
    """Headers of a request for ECS, as one of the service's own processes sends it."""
    keys = keys or keys_of(aws)
    request = AWSRequest("POST", f"{aws.endpoint}/", {"X-Amz-Target": target}, body)
    botocore.auth.SigV4Auth(Credentials(keys.access_key, keys.secret_key), "ecs", "us-east-1").add_auth(request)
    host = aws.endpoint.removeprefix("http://")
    return [("Host", host), *request.headers.items(), ("Content-Length", str(len(body)))]


def exchange(aws: EmbeddedAws, line: str, headers: Lines, body: bytes = b"{}") -> tuple[int, bytes]:
    text = f"{line}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers) + "Connection: close\r\n\r\n"
    port = int(aws.endpoint.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(text.encode("latin-1") + body)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(1 << 16):
            answer += part
    found = re.match(rb"HTTP/1\.[01] (\d{3})", answer)
    assert b"access-control" not in answer.lower()
    return (int(found[1]) if found else 0), answer


def test_the_services_own_processes_are_served(aws: EmbeddedAws) -> None:
    assert exchange(aws, "POST / HTTP/1.1", signed(aws))[0] == 200


def without(headers: Lines, name: str) -> Lines:
    return [(one, value) for one, value in headers if one.lower() != name]


# by itself each is enough, although the signature is right
ADDED: dict[str, Callable[[Lines], Lines]] = {
    "an origin": lambda headers: [*headers, ("Origin", "https://evil.example")],
    "no origin": lambda headers: [*headers, ("Origin", "null")],
    "its own origin": lambda headers: [*headers, ("Origin", f"http://{dict(headers)['Host']}")],
    "a page": lambda headers: [*headers, ("Referer", "https://evil.example/")],
    "a browser": lambda headers: [*headers, ("Sec-Fetch-Site", "none")],
    "a cookie": lambda headers: [*headers, ("Cookie", "a=b")],
    "a second host": lambda headers: [("Host", "evil.example"), *headers],
    "no host": lambda headers: without(headers, "host"),
    "a line that is no header": lambda headers: [("A ", "b"), *headers],
    "chunks": lambda headers: [*without(headers, "content-length"), ("Transfer-Encoding", "chunked")],
}


@pytest.mark.parametrize("what", list(ADDED))
@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
def test_what_a_browser_or_a_relay_adds_is_refused_in_spite_of_a_right_signature(
    aws: EmbeddedAws, what: str, version: str
) -> None:
    body = b"2\r\n{}\r\n0\r\n\r\n" if what == "chunks" else b"{}"
    assert exchange(aws, f"POST / {version}", ADDED[what](signed(aws)), body)[0] == 403


@pytest.mark.parametrize(
    "name", ["localhost", "localhost.", "[::1]", "127.1", "0.0.0.0", "127.0.0.1.nip.io", "a.evil.example"]
)
def test_no_other_name_of_this_machine_is_known(aws: EmbeddedAws, name: str) -> None:
    port = aws.endpoint.rpartition(":")[2]
    keys = keys_of(aws)
    request = AWSRequest("POST", f"http://{name}:{port}/", {"X-Amz-Target": LIST}, b"{}")
    botocore.auth.SigV4Auth(Credentials(keys.access_key, keys.secret_key), "ecs", "us-east-1").add_auth(request)
    headers = [("Host", f"{name}:{port}"), *request.headers.items(), ("Content-Length", "2")]
    assert exchange(aws, "POST / HTTP/1.1", headers)[0] == 403


@pytest.mark.parametrize(
    "line",
    [
        "POST http://evil.example/ HTTP/1.1",
        "POST http://ecs.us-east-1.amazonaws.com/ HTTP/1.1",
        "POST * HTTP/1.1",
        "POST //evil.example/ HTTP/1.1",
        "OPTIONS / HTTP/1.1",
        "GET / HTTP/1.1",
        "PUT / HTTP/1.1",
        "POST /?Action=RunTask HTTP/1.1",
        "POST /moto-api/reset HTTP/1.1",
        "POST /%6doto-api/reset HTTP/1.1",
    ],
)
def test_a_signature_is_for_one_line_of_request(aws: EmbeddedAws, line: str) -> None:
    assert exchange(aws, line, signed(aws))[0] == 403


def test_a_signature_is_for_one_action_and_one_body(aws: EmbeddedAws) -> None:
    headers = signed(aws)
    other = [(name, RUN_TASK if name.lower() == "x-amz-target" else value) for name, value in headers]
    assert exchange(aws, "POST / HTTP/1.1", other)[0] == 403
    assert exchange(aws, "POST / HTTP/1.1", headers, b"[]")[0] == 403
    # one that claims to be signed without its body is none of ECS's
    digest = hashlib.sha256(b"[]").hexdigest()
    for claim in (digest, "UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"):
        assert exchange(aws, "POST / HTTP/1.1", [*headers, ("X-Amz-Content-SHA256", claim)], b"[]")[0] == 403


@pytest.mark.parametrize("key", ["embedded", "test", "AKIAIOSFODNN7EXAMPLE", ""])
def test_who_knows_only_the_name_of_the_keys_gets_nothing(aws: EmbeddedAws, key: str) -> None:
    guessed = AccessKeys(keys_of(aws).access_key, key)
    status, answer = exchange(aws, "POST / HTTP/1.1", signed(aws, guessed, RUN_TASK))
    assert status == 403
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["__type"] == "AccessDeniedException"


@pytest.mark.parametrize("service", ["ecs", "s3", "states", "sts"])
def test_an_address_that_is_signed_opens_nothing_there(aws: EmbeddedAws, service: str) -> None:
    keys = keys_of(aws)
    kind = botocore.auth.S3SigV4QueryAuth if service == "s3" else botocore.auth.SigV4QueryAuth
    host = aws.endpoint.removeprefix("http://")
    for method in ("GET", "POST"):
        request = AWSRequest(method, f"{aws.endpoint}/?Action=RunTask")
        kind(Credentials(keys.access_key, keys.secret_key), service, "us-east-1", expires=900).add_auth(request)
        target = str(request.url).removeprefix(aws.endpoint)
        headers = [("Host", host), ("X-Amz-Target", RUN_TASK), ("Content-Length", "2")]
        assert exchange(aws, f"{method} {target} HTTP/1.1", headers)[0] == 403


def test_what_cannot_be_read_is_not_logged_as_an_error(aws: EmbeddedAws, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        for line in ("\x16\x03\x01", "GET / HTTP/9.9", f"GET /{'a' * 70_000} HTTP/1.1"):
            assert exchange(aws, line, [("Host", "evil.example")])[0] != 200
    assert not caplog.records


def test_the_port_is_one_of_this_machine_alone(aws: EmbeddedAws) -> None:
    port = int(aws.endpoint.rpartition(":")[2])
    with socket.socket(socket.AF_INET6) as connection:
        assert connection.connect_ex(("::1", port)) != 0
