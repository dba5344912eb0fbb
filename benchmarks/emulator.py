"""The functions as ``sam build`` made them, under Lambda's runtime emulator, against the peer's handlers.

Both sides run on the same interpreter with the same runtime interface client; ours with the built artifact and its
layers, the peer with everything from its own environment. A cold start is from the start of the emulator to the first
answer.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import urllib3

from benchmarks.cold_start import EVENTS, PEER, stub_of_aws, variables
from benchmarks.paths import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SAM = REPOSITORY / ".make" / "sam"
BUILT = REPOSITORY / ".aws-sam" / "build"
PACKAGES = SAM / "lib" / "python3.13" / "site-packages"
ARCHITECTURE = "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"
EMULATOR = PACKAGES / "samcli" / "local" / "rapid" / f"aws-lambda-rie-{ARCHITECTURE}"
PYTHON = SAM / "bin" / "python3.13"
FUNCTIONS = {
    "submit": "ComposeRunnerSubmit",
    "status": "ComposeRunnerStatus",
    "logs": "ComposeRunnerLogPoller",
    "results": "ComposeRunnerResultsFetcher",
}
LAYERS = ("ComposeRunnerDependencies", "ComposeRunnerPackage")
# what of the runtime starts a function; its boto3 is left out, since both sides bring theirs
INTERFACE = ("awslambdaric", "runtime_client*.so", "snapshot_restore_py.py", "simplejson")
WARM_CALLS = 10
PATIENCE_SECONDS = 30.0


class NotBuiltError(Exception):
    """What has to be measured does not exist; the text says how to make it."""


def require_build() -> None:
    """Raise unless the emulator and the built functions are there."""
    missing = [path for path in (EMULATOR, PYTHON, *(BUILT / name for name in FUNCTIONS.values())) if not path.exists()]
    if missing:
        raise NotBuiltError(f"{missing[0].relative_to(REPOSITORY)} is missing: `make build` makes it")


def _runtime(folder: Path, names: tuple[str, ...]) -> Path:
    """Link a part of the runtime's packages into a folder of its own, with the byte code of single modules."""
    (folder / "__pycache__").mkdir(parents=True)
    for name in names:
        (found,) = PACKAGES.glob(name)
        (folder / found.name).symlink_to(found)
        for compiled in PACKAGES.glob(f"__pycache__/{found.stem}.cpython-*.pyc"):
            (folder / "__pycache__" / compiled.name).symlink_to(compiled)
    return folder


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def _running(handler: str, folder: Path, settings: dict[str, str]) -> Iterator[tuple[str, int]]:
    """Start one function under the emulator; gives the address to invoke, and the emulator's process id."""
    port, api_port = _free_port(), _free_port()
    process = subprocess.Popen(
        [
            EMULATOR,
            *("--runtime-interface-emulator-address", f"127.0.0.1:{port}"),
            *("--runtime-api-address", f"127.0.0.1:{api_port}"),
            *(str(PYTHON), "-S", "-m", "awslambdaric", handler),
        ],
        cwd=folder,
        env=settings,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations", process.pid
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _invoke(pool: urllib3.PoolManager, address: str, event: bytes) -> None:
    """Call a function and insist on success; an emulator that does not listen yet is asked again."""
    patience = time.perf_counter() + PATIENCE_SECONDS
    while True:
        try:
            answer = pool.request("POST", address, body=event, retries=False)
            break
        except urllib3.exceptions.HTTPError:
            if time.perf_counter() > patience:
                raise
            time.sleep(0.002)
    document: dict[str, Any] = json.loads(answer.data)
    if document.get("statusCode") not in {200, 202}:
        raise SystemExit(f"{address}: {document}")


def _processor_ms(emulator_id: int) -> float:
    """Processor time of the function's process, the emulator's child, in milliseconds with a resolution below one."""
    spent = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # a process that has ended
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            if parent == emulator_id:
                spent += sum(int(task.read_text().split()[0]) for task in stat.parent.glob("task/*/schedstat"))
    return spent / 1e6


def _times(handler: str, folder: Path, settings: dict[str, str], event: bytes) -> tuple[float, float, list[float]]:
    """Milliseconds from the start to the first answer, processor time until it, and each call after it."""
    with urllib3.PoolManager() as pool:
        started = time.perf_counter()
        with _running(handler, folder, settings) as (address, emulator_id):
            _invoke(pool, address, event)
            cold = time.perf_counter() - started
            processor = _processor_ms(emulator_id)
            warm = []
            for _ in range(WARM_CALLS):
                started = time.perf_counter()
                _invoke(pool, address, event)
                warm.append((time.perf_counter() - started) * 1000)
    return cold * 1000, processor, warm


def measure(peer_packages: Path, rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure all functions in turns.

    Parameters
    ----------
    peer_packages : Path
        ``site-packages`` of the peer's environment.
    rounds : int
        Cold starts of each; one more before them fills caches.
    say : callable
        Called for every function.

    Returns
    -------
    dict
        Per function ``cold`` (pairs of peer and ours, milliseconds), ``processor`` (the same starts in processor time)
        and ``warm``.

    Raises
    ------
    NotBuiltError
        ``make build`` has not run.
    """
    require_build()
    figures: dict[str, Any] = {}
    with stub_of_aws() as port, tempfile.TemporaryDirectory(prefix="bench-") as name:
        interface = _runtime(Path(name) / "interface", INTERFACE)
        for function, body in EVENTS.items():
            folder = BUILT / FUNCTIONS[function]
            layers = [str(BUILT / layer / "python") for layer in LAYERS]
            ours = _settings(port, [str(folder), *layers, str(interface)], folder)
            peers = _settings(port, [str(peer_packages), str(interface)], Path(name))
            event = _function_url_event(body)
            cold, processor, warm = [], [], []
            for _ in range(rounds + 1):
                peer_cold, peer_processor, peer_warm = _times(f"{PEER[function]}.handler", Path(name), peers, event)
                our_cold, our_processor, our_warm = _times("app.handler", folder, ours, event)
                cold.append((peer_cold, our_cold))
                processor.append((peer_processor, our_processor))
                warm += list(zip(peer_warm, our_warm, strict=True))
            figures[function] = {"cold": cold[1:], "processor": processor[1:], "warm": warm[WARM_CALLS:]}
            say(f"  {function}: first answer of the peer {cold[-1][0]:.0f} ms, ours {cold[-1][1]:.0f} ms")
    return figures


def _settings(port: int, path: list[str], root: Path) -> dict[str, str]:
    return {
        **variables(port, ":".join(path)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_LAMBDA_FUNCTION_TIMEOUT": "30",
        "LAMBDA_TASK_ROOT": str(root),
    }


def _function_url_event(body: dict[str, object]) -> bytes:
    return json.dumps(
        {
            "version": "2.0",
            "rawPath": "/",
            "rawQueryString": "",
            "headers": {},
            "requestContext": {"http": {"method": "POST", "path": "/"}},
            "body": json.dumps(body),
        }
    ).encode()
