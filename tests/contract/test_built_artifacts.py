"""What `sam build` makes: what is in it, how large it is, and that it answers under Lambda's runtime emulator."""

from __future__ import annotations

import io
import json
import os
import random
import re
import shutil
import socket
import subprocess
import time
import zipfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import boto3
import pytest
import urllib3

from benchmarks.emulator import FUNCTIONS, LAYERS
from compose_runner.service.aws import clients
from tests.support import embedded_aws as embedded
from tests.support.sample_events import NAMES, event, expected_status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPOSITORY = Path(__file__).parents[2]
SAM = REPOSITORY / ".make" / "sam"
EMULATOR = SAM / "lib/python3.13/site-packages/samcli/local/rapid/aws-lambda-rie-x86_64"
# 24.1 MB are uploaded for a function with its layers, 40.3 MB unpacked, three quarters of it boto3 and botocore
GOAL_BYTES = 26_000_000
# Lambda's quota for a function and its layers, unpacked
# (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html)
LIMIT_BYTES = 250 * 1024**2
# what only the analysis and the command line need
LEFT_OUT = ("nimare", "numpy", "pandas", "aws_xray_sdk", "click", "rich")
PINS = REPOSITORY / "functions" / "dependencies" / "requirements.txt"
# parts of Lambda's runtime that start a function; of its boto3 the functions need nothing
RUNTIME_INTERFACE = ("awslambdaric", "runtime_client*.so", "snapshot_restore_py.py", "simplejson")
RUNTIME_CLIENTS = ("boto3", "botocore", "s3transfer", "urllib3", "jmespath", "dateutil", "six")
# imports a function as Lambda does and answers from where each of its modules came
PROBE = """
import sys
def handler(event, context):
    import app
    return {name: getattr(module, "__file__", None) for name, module in list(sys.modules.items())}
"""

pytestmark = pytest.mark.skipif(
    not (EMULATOR.exists() and (SAM / "bin" / "python3.13").exists()),
    reason="the SAM CLI is not installed; `make build` installs it into .make/sam",
)


def sam_build(folder: Path, *flags: str) -> Path:
    """Build a copy of the application and return the folder of its artifacts."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    built = subprocess.run(
        [SAM / "bin" / "sam", "build", *flags],
        cwd=folder,
        env={**environment, "PATH": f"{SAM / 'bin'}:{environment['PATH']}", "SAM_CLI_TELEMETRY": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return folder / ".aws-sam" / "build"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy of what the application is built from, so that a test may change it."""
    folder = tmp_path_factory.mktemp("application")
    for name in ("functions", "compose_runner", "task"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("template.yaml", "samconfig.toml"):
        shutil.copy(REPOSITORY / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def built(copy: Path) -> Path:
    return sam_build(copy, "--no-cached")


def list_files(built: Path, name: str) -> set[str]:
    return {path.relative_to(built / name).as_posix() for path in (built / name).rglob("*") if path.is_file()}


def unpacked_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def pinned_versions() -> dict[str, str]:
    """Version of each pinned package, by its name."""
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", PINS.read_text(), flags=re.MULTILINE))


def zipped_bytes(folder: Path) -> int:
    """Size of a folder as SAM uploads it."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(folder.rglob("*")):
            file.write(path, path.relative_to(folder))
    return len(archive.getvalue())


@pytest.mark.parametrize("name", FUNCTIONS.values())
def test_a_functions_artifact_holds_its_handler_and_nothing_else(built: Path, name: str) -> None:
    assert list_files(built, name) == {"__init__.py", "app.py"}


def test_the_package_layer_holds_the_light_part_alone(built: Path) -> None:
    files = list_files(built, "ComposeRunnerPackage")
    assert all(name.startswith("python/compose_runner/") for name in files)
    assert {"python/compose_runner/service/contract.py", "python/compose_runner/specification/signatures.json"} <= files
    for package in ("analysis", "local", "commands"):
        assert not any(name.startswith(f"python/compose_runner/{package}/") for name in files)
    assert not {"cli.py", "run.py", "Makefile"} & {name.rsplit("/", 1)[-1] for name in files}


def test_no_artifact_holds_what_only_the_analysis_needs(built: Path) -> None:
    top = {path.name for layer in LAYERS for path in (built / layer / "python").iterdir()}
    assert not {name for name in top if re.split(r"[-.]", name)[0].lower() in LEFT_OUT}
    assert {"compose_runner", "pydantic", "aws_lambda_powertools", "boto3", "botocore", "urllib3"} <= top


def test_the_layer_holds_the_pinned_versions_and_no_other_package(built: Path) -> None:
    packages = built / "ComposeRunnerDependencies" / "python"
    found = {
        found.metadata["Name"].lower().replace("_", "-"): found.version for found in distributions(path=[str(packages)])
    }
    assert found == pinned_versions()
    assert {"boto3", "botocore"} <= found.keys()


@pytest.mark.parametrize("service", get_args(clients.ServiceName))
def test_the_layer_holds_the_released_models_of_every_service_that_a_function_calls(built: Path, service: str) -> None:
    packages = built / "ComposeRunnerDependencies" / "python"
    code = (
        "import boto3, json, sys; client = boto3.client(sys.argv[1], region_name='us-east-1');"
        "print(json.dumps([boto3.__file__, client.meta.service_model.operation_names]))"
    )
    said = subprocess.run(
        [SAM / "bin" / "python3.13", "-S", "-c", code, service],
        cwd=packages,
        env={"PYTHONPATH": str(packages)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    origin, operations = json.loads(said)
    assert Path(origin).is_relative_to(packages)
    make: Callable[..., Any] = boto3.client  # its overloads take no name in a variable
    assert operations == make(service, region_name="us-east-1").meta.service_model.operation_names


def test_every_module_comes_with_byte_code_that_needs_no_check(built: Path) -> None:
    for layer in LAYERS:
        for source in (built / layer).rglob("*.py"):
            byte_code = source.parent / "__pycache__" / f"{source.stem}.cpython-313.pyc"
            # 1: by hash, and never compared with the source
            assert byte_code.read_bytes()[4:8] == b"\x01\x00\x00\x00", source


def test_all_artifacts_of_a_function_are_below_the_goal(built: Path) -> None:
    sizes = {name: zipped_bytes(built / name) for name in (*LAYERS, *FUNCTIONS.values())}
    print(json.dumps(sizes))
    layers = sum(sizes[layer] for layer in LAYERS)
    assert max(layers + sizes[name] for name in FUNCTIONS.values()) < GOAL_BYTES, sizes


@pytest.mark.parametrize("name", FUNCTIONS.values())
def test_a_function_and_its_layers_unpacked_are_below_the_limit_of_lambda(built: Path, name: str) -> None:
    assert sum(unpacked_bytes(built / part) for part in (name, *LAYERS)) < LIMIT_BYTES


@pytest.mark.slow
def test_a_cached_build_follows_every_change_and_equals_one_from_nothing(copy: Path, built: Path) -> None:
    from_nothing = {name: list_files(built, name) for name in (*LAYERS, *FUNCTIONS.values())}
    cached = sam_build(copy, "--cached")
    assert {name: list_files(cached, name) for name in from_nothing} == from_nothing

    errors = copy / "compose_runner" / "errors.py"
    errors.write_text(errors.read_text() + "\nCHANGED = True\n")
    handler = copy / "functions" / "status" / "app.py"
    handler.write_text(handler.read_text() + "\nCHANGED = True\n")
    cached = sam_build(copy, "--cached")

    layer = cached / "ComposeRunnerPackage" / "python" / "compose_runner"
    assert "CHANGED" in (layer / "errors.py").read_text()
    assert "CHANGED" in (cached / "ComposeRunnerStatus" / "app.py").read_text()


# ---- under the emulator


@dataclass
class Emulated:
    """The four functions, each in Lambda's runtime emulator."""

    addresses: dict[str, str]

    def invoke(self, name: str, sent: Any = None) -> Any:
        """Send an event to the function that its name begins with."""
        body = json.dumps(event(name) if sent is None else sent)
        address = self.addresses[name.split("-")[0]]
        return urllib3.request("POST", address, body=body, timeout=30, retries=False).json()


def free_port() -> int:
    """Find a port below those that outgoing connections of other tests take, so that none of them is faster."""
    while True:
        port = random.SystemRandom().randrange(15_000, 32_000)
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def await_listener(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while True:
        assert process.poll() is None, "the emulator ended"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        else:
            return


@pytest.fixture(scope="module")
def server() -> Iterator[embedded.SampleAws]:
    with embedded.embedded_aws() as aws:
        yield aws


@pytest.fixture(scope="module")
def deployed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    # a copy, as a deployment is: a build that follows takes its directory away from a running function
    return Path(shutil.copytree(built, tmp_path_factory.mktemp("deployed") / "build", symlinks=True))


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lambda's runtime, behind the layers on the path: its boto3, and what that needs, fail when they are imported."""
    folder = tmp_path_factory.mktemp("runtime")
    for name in RUNTIME_INTERFACE:
        (found,) = (SAM / "lib" / "python3.13" / "site-packages").glob(name)
        (folder / found.name).symlink_to(found)
    for name in RUNTIME_CLIENTS:
        (folder / f"{name}.py").write_text(f"raise ImportError('{name} of the runtime instead of the layer')\n")
    return folder


@contextmanager
def running(deployed: Path, runtime: Path, name: str, log: Path, handler: str = "app.handler") -> Iterator[str]:
    """Start one function under the emulator; gives the address to invoke."""
    port, api_port = free_port(), free_port()
    path = [deployed / name, *(deployed / layer / "python" for layer in LAYERS), runtime]
    with (
        log.open("wb") as written,
        subprocess.Popen(
            [
                EMULATOR,
                *("--runtime-interface-emulator-address", f"127.0.0.1:{port}"),
                *("--runtime-api-address", f"127.0.0.1:{api_port}"),
                *(str(SAM / "bin" / "python3.13"), "-S", "-m", "awslambdaric", handler),
            ],
            cwd=deployed / name,
            env={
                **os.environ,
                "PYTHONPATH": ":".join(map(str, path)),
                "PYTHONDONTWRITEBYTECODE": "1",
                "AWS_LAMBDA_FUNCTION_NAME": name,
                "AWS_LAMBDA_FUNCTION_TIMEOUT": "30",
                "LAMBDA_TASK_ROOT": str(deployed / name),
            },
            stdout=written,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            await_listener(port, process)
            yield f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
        finally:
            process.kill()


@pytest.fixture(scope="module")
def emulated(
    deployed: Path, runtime: Path, server: embedded.SampleAws, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Emulated]:
    logs = tmp_path_factory.mktemp("logs")
    with ExitStack() as stack:
        yield Emulated(
            {
                function: stack.enter_context(running(deployed, runtime, name, logs / function))
                for function, name in FUNCTIONS.items()
            }
        )


@pytest.mark.parametrize("name", FUNCTIONS.values())
def test_a_built_function_imports_everything_from_its_layers(
    deployed: Path, runtime: Path, server: embedded.SampleAws, tmp_path: Path, name: str
) -> None:
    shutil.copytree(deployed / name, tmp_path / name)
    for layer in LAYERS:
        (tmp_path / layer).symlink_to(deployed / layer)
    (tmp_path / name / "probe.py").write_text(PROBE)
    with running(tmp_path, runtime, name, tmp_path / "log", "probe.handler") as address:
        answer = urllib3.request("POST", address, body="{}", timeout=30, retries=False).json()

    assert answer.get("app"), answer
    layers = {layer: tmp_path / layer / "python" for layer in LAYERS}
    origins = {module: Path(file) for module, file in answer.items() if file}
    for module in ("boto3.session", "botocore.client", "urllib3", "pydantic", "aws_lambda_powertools.logging"):
        assert origins[module].is_relative_to(layers["ComposeRunnerDependencies"]), module
    assert origins["compose_runner"].is_relative_to(layers["ComposeRunnerPackage"])
    known = (tmp_path / name, *layers.values(), runtime, origins["os"].parent)
    elsewhere = {module: origin for module, origin in origins.items() if not any(map(origin.is_relative_to, known))}
    assert not elsewhere
    assert not {module for module, origin in origins.items() if "site-packages" in origin.parts}


@pytest.fixture
def aws(server: embedded.SampleAws) -> embedded.SampleAws:
    embedded.prepare(server)
    return server


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith("-direct")])
def test_a_built_function_answers_each_sample_event_as_the_contract_says(
    emulated: Emulated, aws: embedded.SampleAws, name: str
) -> None:
    answer = emulated.invoke(name)

    assert answer.get("statusCode") == expected_status(name), answer
    if answer["statusCode"] >= 400:
        body = json.loads(answer["body"])
        assert body["status"] == "FAILED"
        assert body["error"]


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("-direct")])
def test_a_built_function_answers_a_direct_invocation_with_the_bare_body(
    emulated: Emulated, aws: embedded.SampleAws, name: str
) -> None:
    answer = emulated.invoke(name)

    assert "statusCode" not in answer
    assert answer["artifact_prefix"]


def test_a_built_function_raises_on_a_direct_invocation_that_is_wrong(
    emulated: Emulated, aws: embedded.SampleAws
) -> None:
    answer = emulated.invoke("status-direct", {})

    assert answer["errorType"]
    assert "job_id" in answer["errorMessage"]
