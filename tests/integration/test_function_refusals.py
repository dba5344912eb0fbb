"""Whatever AWS answers, or does not, a function answers in the contract's form."""

from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from compose_runner.service import lambda_http
from compose_runner.service.aws import clients
from tests.support import embedded_aws as embedded
from tests.support.aws_failures import Body, make_error, walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAYLOADS = {
    "submit": {"meta_analysis_id": "mHtoV82Dmnm9", "artifact_prefix": "mine", "nsc_key": "MARKED-KEY"},
    "status": {"job_id": f"{embedded.JOBS}sample-succeeded"},
    "logs": {"artifact_prefix": "sample-running"},
    "results": {"artifact_prefix": "sample-succeeded"},
}
CODES = {"SlowDown": 503, "InternalError": 500, "ExpiredToken": 400, "AccessDenied": 403, "ThrottlingException": 400}
SERVICES = ("stepfunctions", "s3", "logs", "ssm")


class Network:
    """What is in the place of the network, by service; nothing where the embedded AWS is to answer."""

    def __init__(self) -> None:
        self._instead: dict[str, Callable[..., Any]] = {}

    def attach(self, service: str) -> None:
        client: Callable[..., Any] = clients.client  # its overloads take no name in a variable
        client(service).meta.events.register("before-send", lambda **sent: self._send(service, **sent))

    def _send(self, service: str, **sent: Any) -> Any:
        return self._instead[service](**sent) if service in self._instead else None

    def replace(self, instead: Callable[..., Any], *services: str) -> None:
        self._instead = dict.fromkeys(services or SERVICES, instead)


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with pytest.MonkeyPatch.context() as patch, embedded.embedded_aws() as aws:
        embedded.prepare(aws)
        patch.setattr(clients, "_CONFIG", Config(retries={"total_max_attempts": 1}))
        patch.setenv("MAX_RUNNING_JOBS", "100")
        made = Network()
        for service in SERVICES:
            made.attach(service)
        yield made


def call_function(function: str) -> tuple[int, dict[str, Any]]:
    handler = importlib.import_module(f"functions.{function}.app").handler
    event = {"requestContext": {"http": {"method": "POST"}}, "body": json.dumps(PAYLOADS[function])}
    answer = handler(event, None)
    return answer["statusCode"], json.loads(answer["body"])


def check_all() -> None:
    for function in PAYLOADS:
        status, body = call_function(function)
        assert status == 500, function
        assert set(body) <= {"status", "error", "artifact_prefix"}
        assert body["status"] == "FAILED"
        assert body["error"]
        assert body["error"] != lambda_http.INTERNAL_ERROR
        assert "MARKED-KEY" not in body["error"]


@pytest.mark.parametrize(
    "kind",
    [*dict.fromkeys(walk(BotoCoreError)), ClientError],
    ids=lambda kind: f"{kind.__module__}.{kind.__name__}",
)
def test_every_error_of_botocore_is_told_in_the_contracts_form(kind: type[BaseException], network: Network) -> None:
    def fail(**_: Any) -> None:
        raise make_error(kind)

    network.replace(fail)

    check_all()


@pytest.mark.parametrize("code", CODES)
def test_every_code_of_aws_is_told_in_the_contracts_form(code: str, network: Network) -> None:
    def answer(request: Any, **_: Any) -> AWSResponse:
        in_xml = embedded.BUCKET in request.url
        body = f"<Error><Code>{code}</Code></Error>" if in_xml else json.dumps({"__type": code})
        return AWSResponse(request.url, CODES[code], HTTPHeaders(), Body(body.encode()))

    network.replace(answer)

    check_all()


def test_a_bucket_that_fails_costs_status_its_details_only(network: Network) -> None:
    def fail(**_: Any) -> None:
        raise ConnectionResetError

    network.replace(fail, "s3")

    status, body = call_function("status")
    assert (status, body["status"]) == (200, "SUCCEEDED")
    assert "result" not in body
