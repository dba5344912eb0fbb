"""Invoke the built functions on sample events with ``sam local invoke``, in front of an embedded AWS.

    make sam-local                                  every event in events/
    make sam-local EVENTS="submit-accepted status-running"

Needs a Docker engine on this machine (``DOCKER_HOST`` names another socket) and SAM's base image, which is pulled
unless ``FLAGS=--skip-pull-image`` says that it is there. Each answer is held against the status that the event's name
promises; the exit code is 1 when one differs. ``sam local invoke`` itself exits with 0 even when a handler raised.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import socketserver
import subprocess
import sys
import threading
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import yaml

from benchmarks.emulator import FUNCTIONS
from tests.support import embedded_aws as embedded
from tests.support.sample_events import NAMES, expected_status

REPOSITORY = Path(__file__).resolve().parents[2]
SAM = REPOSITORY / ".make" / "sam" / "bin"
BUILT = REPOSITORY / ".aws-sam" / "build"
# what the template gives the functions on AWS, and the address of an AWS that is not there
VARIABLES = (
    "STATE_MACHINE_ARN",
    "RESULTS_BUCKET",
    "RESULTS_PREFIX",
    "RUNNER_LOG_GROUP",
    "KEY_PARAMETERS_PATH",
    "COMPOSE_API_URL",
    "CORS_ORIGINS",
    "AWS_ENDPOINT_URL",
)


class Forwarder(socketserver.BaseRequestHandler):
    """Hands connections from containers on to a port of 127.0.0.1, which they cannot reach themselves."""

    server: ForwardedPort

    def handle(self) -> None:
        """Copy both directions until one side has said everything."""
        with socket.create_connection(("127.0.0.1", self.server.port)) as inside:
            answering = threading.Thread(target=self._copy, args=(inside, self.request), daemon=True)
            answering.start()
            self._copy(self.request, inside)
            answering.join()

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


class ForwardedPort(socketserver.ThreadingTCPServer):
    """A port that containers reach, on the address that Docker's network has on this machine and on no other."""

    daemon_threads = True

    def __init__(self, gateway: str, port: int) -> None:
        super().__init__((gateway, 0), Forwarder)
        self.port = port
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        """Address for a container."""
        host, port = self.server_address[:2]
        return f"{host!s}:{port}"


def bridge_gateway() -> str:
    """Address of this machine in Docker's default network."""
    command = ["docker", "network", "inspect", "bridge", "--format", "{{json (index .IPAM.Config 0)}}"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        raise SystemExit(f"Docker does not answer: {found.stderr.strip()}")
    network = json.loads(found.stdout)
    # older engines name the network alone, of which this machine has the first address
    return str(network.get("Gateway") or next(ip_network(network["Subnet"]).hosts()))


def reachable_address(address: str, gateway: str) -> str:
    """Rewrite an address on 127.0.0.1 into one that containers reach."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=ForwardedPort(gateway, int(parts.port or 80)).address))


def local_template() -> Path:
    """Write the built template with a variable more: SAM hands on only what a template declares."""
    text = (BUILT / "template.yaml").read_text()

    class Loader(yaml.SafeLoader):
        """Keeps CloudFormation's short forms as they are."""

    class Kept:
        def __init__(self, tag: str, node: yaml.Node) -> None:
            self.tag, self.node = tag, node

    class Dumper(yaml.SafeDumper):
        """Writes them back."""

    def keep(_: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Kept:
        return Kept(f"!{suffix}", node)

    Loader.add_multi_constructor("!", keep)
    Dumper.add_representer(Kept, lambda _, kept: kept.node)
    template = yaml.load(text, Loader)  # noqa: S506 - a SafeLoader
    template["Globals"]["Function"]["Environment"]["Variables"]["AWS_ENDPOINT_URL"] = ""
    path = BUILT / "template-local.yaml"
    path.write_text(yaml.dump(template, Dumper=Dumper, sort_keys=False))
    return path


def invoke(event: str, template: Path, variables: Path, flags: list[str]) -> str:
    """Run one function on one event in a container and give what it answered."""
    command = [str(SAM / "sam"), "local", "invoke", FUNCTIONS[event.split("-")[0]]]
    command += ["--template", str(template), "--event", f"events/{event}.json", "--env-vars", str(variables)]
    command += ["--region", embedded.REGION]
    command += ["--parameter-overrides", f"TaskImage=task@sha256:{'0' * 64}", *flags]
    environment = {**os.environ, "PATH": f"{SAM}:{os.environ['PATH']}", "SAM_CLI_TELEMETRY": "0"}
    environment.pop("AWS_ENDPOINT_URL", None)
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    return done.stdout.strip().rpartition("\n")[2] or done.stderr[-500:]


def as_promised(event: str, answer: str) -> bool:
    """Whether an answer has the status that the event's name promises."""
    try:
        document = json.loads(answer)
    except ValueError:
        return False
    if event.endswith("-direct"):
        return "artifact_prefix" in document
    return bool(document.get("statusCode") == expected_status(event))


def main() -> int:
    """Read the command line and invoke."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("events", nargs="*", default=NAMES, help="names of files in events/, without .json")
    parser.add_argument("--skip-pull-image", action="store_true", help="the base image is on this machine")
    arguments = parser.parse_args()
    flags = ["--skip-pull-image"] if arguments.skip_pull_image else []
    wrong = 0
    with embedded.embedded_aws() as aws:
        gateway = bridge_gateway()
        for name in ("AWS_ENDPOINT_URL", "COMPOSE_API_URL"):
            os.environ[name] = reachable_address(os.environ[name], gateway)
        variables = BUILT / "variables-local.json"
        variables.write_text(json.dumps({"Parameters": {name: os.environ[name] for name in VARIABLES}}))
        template = local_template()
        for event in arguments.events:
            embedded.prepare(aws)
            answer = invoke(event, template, variables, flags)
            good = as_promised(event, answer)
            wrong += not good
            print(f"{'ok   ' if good else 'WRONG'} {event}: {answer[:400]}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
