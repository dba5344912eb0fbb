"""A key that a client sends is in Parameter Store and nowhere else: no record, input, answer, metric or trace."""

from __future__ import annotations

import io
import json
import logging
import socket
import traceback
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from compose_runner.errors import ComposeRunnerError
from compose_runner.service import observability
from compose_runner.service.aws import clients
from functions.submit.app import handler
from tests.support import embedded_aws as embedded

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK = "MARKED-KEY"
KEYS = {"nsc_key": f"{MARK}-compose-0001", "nv_key": f"{MARK}-neurovault-0002"}
JOB = {"meta_analysis_id": "mHtoV82Dmnm9", "artifact_prefix": "job-with-keys", **KEYS}
BODIES: dict[str, Any] = {
    "accepted": JOB,
    "taken name": {**JOB, "artifact_prefix": "sample-running"},
    "impossible specification": {**JOB, "meta_analysis_id": "impossible01"},
    "unknown meta-analysis": {**JOB, "meta_analysis_id": "unknown"},
    "another field malformed": {**JOB, "n_cores": "many"},
    "id missing": KEYS,
    "key of the wrong type": {**JOB, "nsc_key": [MARK]},
    "key too long": {**JOB, "nsc_key": MARK * 1000},
    "key of forbidden characters": {**JOB, "nv_key": f"{MARK}\u00e9"},
    "keys in a field's place": {**JOB, "n_cores": MARK, "no_upload": MARK, "artifact_prefix": f"{MARK} "},
    "not an object": [MARK],
}


@pytest.fixture(scope="module")
def server() -> Iterator[embedded.SampleAws]:
    with embedded.embedded_aws() as aws:
        yield aws


@pytest.fixture
def aws(server: embedded.SampleAws) -> embedded.SampleAws:
    embedded.prepare(server)
    return server


@pytest.fixture
def seen(
    aws: embedded.SampleAws,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> Iterator[list[str]]:
    """Collect what leaves a function by any way; checked at the end of the test."""
    texts: list[str] = []
    lines = io.StringIO()
    monkeypatch.setattr(observability.logger.registered_handler, "stream", lines)
    caplog.set_level(logging.DEBUG)
    observability.logger.setLevel("DEBUG")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        daemon.setblocking(False)
        monkeypatch.setenv("AWS_XRAY_DAEMON_ADDRESS", f"127.0.0.1:{daemon.getsockname()[1]}")
        monkeypatch.setenv(
            "_X_AMZN_TRACE_ID", "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
        )
        yield texts
        while True:
            try:
                texts.append(daemon.recv(65_536).decode())
            except BlockingIOError:
                break
    observability.logger.setLevel("INFO")
    texts += [lines.getvalue(), caplog.text, *capfd.readouterr(), json.dumps(aws.inputs())]
    texts.append(json.dumps(aws.client("logs").filter_log_events(logGroupName=embedded.LOG_GROUP)["events"]))
    for text in texts:
        assert MARK not in text
    assert any('"trace_id"' in text for text in texts)
    assert any("workflow." in text or "request." in text for text in texts)


def send(body: Any, texts: list[str]) -> int:
    event = {"requestContext": {"http": {"method": "POST"}}, "body": json.dumps(body)}
    answer = handler(event, None)
    texts.append(json.dumps(answer))
    return int(answer["statusCode"])


@pytest.mark.parametrize("case", BODIES)
def test_no_key_is_seen_after_a_request(case: str, seen: list[str]) -> None:
    send(BODIES[case], seen)


@pytest.mark.parametrize("case", BODIES)
def test_no_key_is_seen_after_a_direct_invocation(case: str, seen: list[str]) -> None:
    try:
        seen.append(json.dumps(handler(BODIES[case], None)))
    except ComposeRunnerError:
        seen.append(traceback.format_exc())


def test_keys_are_taken_back_when_the_execution_cannot_start(
    monkeypatch: pytest.MonkeyPatch, aws: embedded.SampleAws, seen: list[str]
) -> None:
    monkeypatch.setenv("STATE_MACHINE_ARN", embedded.STATE_MACHINE.replace("compose-runner", "deleted"))

    assert send(JOB, seen) == 500
    assert aws.parameters() == {}


def test_a_parameter_store_that_repeats_the_value_in_its_error_is_not_quoted(
    monkeypatch: pytest.MonkeyPatch, aws: embedded.SampleAws, seen: list[str]
) -> None:
    real = clients.client

    class Refusing:
        def put_parameter(self, **fields: Any) -> None:
            message = f"1 validation error detected: Value '{fields['Value']}' failed to satisfy constraint"
            raise ClientError({"Error": {"Code": "ValidationException", "Message": message}}, "PutParameter")

    monkeypatch.setattr(clients, "client", lambda service: Refusing() if service == "ssm" else real(service))

    assert send(JOB, seen) == 500
    assert "job-with-keys" not in aws.inputs()


def test_keys_of_a_job_that_cannot_run_are_not_kept(aws: embedded.SampleAws, seen: list[str]) -> None:
    assert send(BODIES["impossible specification"], seen) == 202
    assert aws.parameters() == {}


def test_a_taken_name_leaves_the_keys_of_the_job_that_has_it(aws: embedded.SampleAws, seen: list[str]) -> None:
    assert send(JOB, seen) == 202
    assert send({**JOB, "nsc_key": f"{MARK}-other"}, seen) == 409
    assert aws.parameters() == {f"{embedded.KEYS}/job-with-keys/{name}": key for name, key in KEYS.items()}
