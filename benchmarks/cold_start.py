"""How long a fresh process takes from its start to the first answer of a handler, ours against the peer's.

Both sides run the same event against the same stub of AWS on 127.0.0.1, in turns, each time in a new process with byte
code already compiled, as Lambda has it for its own libraries. What Lambda adds (fetching the package, the runtime's own
start) is the same for both and not measured here.

    python -m benchmarks.cold_start --peer-python PATH [--rounds 15]

prints one line per function: medians in milliseconds, and the ratio peer / ours with its quartiles.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from benchmarks.paths import REPOSITORY
from benchmarks.ratios import Ratio

if TYPE_CHECKING:
    from collections.abc import Iterator

MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:compose-runner"
EXECUTION = MACHINE.replace(":stateMachine:", ":execution:") + ":job"
EVENTS: dict[str, dict[str, object]] = {
    # the environment "local" has no Compose here, so that both sides get a refused connection and no network
    "submit": {"meta_analysis_id": "mHtoV82Dmnm9", "environment": "local", "no_upload": True},
    "status": {"job_id": EXECUTION},
    "logs": {"artifact_prefix": "job"},
    "results": {"artifact_prefix": "job"},
}
PEER = {
    "submit": "compose_runner.aws_lambda.run_handler",
    "status": "compose_runner.aws_lambda.status_handler",
    "logs": "compose_runner.aws_lambda.log_poll_handler",
    "results": "compose_runner.aws_lambda.results_handler",
}
ANSWERS = {
    "AWSStepFunctions.StartExecution": {"executionArn": EXECUTION, "startDate": 1.0},
    "AWSStepFunctions.DescribeExecution": {
        "executionArn": EXECUTION,
        "stateMachineArn": MACHINE,
        "name": "job",
        "status": "SUCCEEDED",
        "startDate": 1.0,
        "stopDate": 2.0,
        "input": "{}",
        "output": "{}",
    },
    "Logs_20140328.FilterLogEvents": {
        "events": [{"timestamp": 1, "message": json.dumps({"artifact_prefix": "job", "message": "x"})}]
    },
}
LISTING = b"""<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name>
<KeyCount>1</KeyCount><IsTruncated>false</IsTruncated><Contents><Key>compose-runner/results/job/z.nii.gz</Key>
<Size>3</Size><LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents></ListBucketResult>"""
PROGRAM = """
import importlib, json, sys
handler = importlib.import_module(sys.argv[1]).handler
body = json.loads(sys.argv[2])
event = {"version": "2.0", "rawPath": "/", "rawQueryString": "", "headers": {},
         "requestContext": {"http": {"method": "POST", "path": "/"}}, "body": json.dumps(body)}
answer = handler(event, None)
print("answer", answer["statusCode"], file=sys.stderr, flush=True)
"""


class StubOfAws(BaseHTTPRequestHandler):
    """Answers the handful of calls that the handlers make, at once."""

    protocol_version = "HTTP/1.1"
    # header and body are two writes; the second would wait 40 ms for the first to be acknowledged
    disable_nagle_algorithm = True

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        target = self.headers.get("X-Amz-Target", "")
        if target:
            body = json.dumps(ANSWERS[target]).encode()
        else:
            body = LISTING if "list-type" in self.path else b'{"result_url": null}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _answer

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


def variables(port: int, path: str) -> dict[str, str]:
    """Environment of a function that talks to the stub on a port, with modules from ``path``."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "PYTHONPATH": path,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "benchmark",
        "AWS_SECRET_ACCESS_KEY": "benchmark",
        "STATE_MACHINE_ARN": MACHINE,
        "RESULTS_BUCKET": "b",
        "RESULTS_PREFIX": "compose-runner/results",
        "RUNNER_LOG_GROUP": "runner",
        "LOG_LEVEL": "INFO",
        "AWS_LAMBDA_FUNCTION_NAME": "benchmark",
        "_X_AMZN_TRACE_ID": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
        "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:2000",
        "DISABLE_SENTRY": "1",
    }


@contextmanager
def stub_of_aws() -> Iterator[int]:
    """Serve the stub; gives its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), StubOfAws)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def first_answer(python: str, module: str, body: dict[str, object], port: int, path: str) -> float:
    """Milliseconds from the start of a process to the handler's first answer."""
    started = time.perf_counter()
    with subprocess.Popen(
        [python, "-c", PROGRAM, module, json.dumps(body)],
        env=variables(port, path),
        cwd="/",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        said = ""
        for line in process.stderr:
            spent = (time.perf_counter() - started) * 1000
            if line in {"answer 200\n", "answer 202\n"}:
                return spent
            said += line
    raise SystemExit(f"{module}: {said}")


def measure(python: str, peer_python: str, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Milliseconds of the peer and of ours, per function and round; a round before them fills caches.

    Parameters
    ----------
    python, peer_python : str
        Interpreters that have ours and the peer.
    rounds : int
        How often each.
    """
    with stub_of_aws() as port:
        return {
            name: [
                (
                    first_answer(peer_python, PEER[name], body, port, ""),
                    first_answer(python, f"functions.{name}.app", body, port, str(REPOSITORY)),
                )
                for _ in range(rounds + 1)
            ][1:]
            for name, body in EVENTS.items()
        }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", required=True, help="a Python that has the peer installed")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    for name, pairs in measure(arguments.python, arguments.peer_python, arguments.rounds).items():
        peers, ours = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = Ratio.of_pairs(pairs)
        spread = f"{ratio.low:.2f} to {ratio.high:.2f}"
        print(f"{name:8} peer {peers:4.0f} ms, ours {ours:4.0f} ms: {ratio.median:.2f} ({spread})")


if __name__ == "__main__":
    main()
