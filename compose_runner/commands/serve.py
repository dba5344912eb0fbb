"""``compose-runner serve``: the whole service on this machine."""

from __future__ import annotations

import errno
import gc
import json
import logging
import os
import re
import signal
import socket
import sys
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from compose_runner.client.addresses import TOKEN_VARIABLE
from compose_runner.compose.environments import COMPOSE_API_URL, NEUROSTORE_API_URL
from compose_runner.errors import EXIT_CANNOT_RUN, EXIT_DONE

if TYPE_CHECKING:
    from types import FrameType

    from compose_runner.local.service import Service, ServiceOptions


def _values(_context: click.Context, _option: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    for text, (name, sign, _) in zip(texts, pairs, strict=True):
        if not (name and sign):
            raise click.BadParameter(f"{text!r} is not NAME=VALUE")
    return {name: value for name, _, value in pairs}


def _origin(_context: click.Context, _option: click.Parameter, text: str | None) -> str | None:
    if text is not None and not re.fullmatch(r"https?://[A-Za-z0-9._-]+(:[0-9]{1,5})?/?", text):
        raise click.BadParameter(f"{text!r} is not http://HOST[:PORT] or https://HOST[:PORT]")
    return text


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  compose-runner serve --demo                      try it: brings its own Compose along
  compose-runner serve --data ./jobs               keep artifacts in ./jobs
  compose-runner serve --compose-url http://localhost:81/api
\b
Once everything answers, one line of JSON on standard output holds the addresses of
submit, status, logs and results. Ctrl-C stops running jobs and ends; what they had
written is kept.""",
)
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the addresses; 0 for any.  [default: 8642]")
@click.option("--artifacts-port", type=click.IntRange(0, 65535), help="Port of artifacts.  [default: any free one]")
@click.option(
    "--artifacts-url",
    metavar="URL",
    callback=_origin,
    help="Where browsers reach the artifacts' port, when that is a proxy in front of it: https://HOST[:PORT].",
)
@click.option(
    "--host",
    help="Where to listen; beyond this machine (such as 0.0.0.0) only with a token.  [default: 127.0.0.1]",
)
@click.option(
    "--token",
    metavar="TEXT",
    envvar=TOKEN_VARIABLE,
    help="What every request must carry (Authorization: Bearer TEXT). Better set in the environment: other users of "
    f"this machine see options in the list of processes.  [env var: {TOKEN_VARIABLE}]",
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where artifacts, jobs and logs are kept.  [default: the user's data directory]",
)
@click.option(
    "--max-parallel-jobs",
    type=click.IntRange(min=1),
    help="Jobs that run at the same time; others wait.  [default: one for every four cores]",
)
@click.option(
    "--keep-days",
    type=click.FloatRange(min=0, min_open=True),
    help="Remove a job so many days after its end: its record, log and artifacts.  [default: keep all]",
)
@click.option(
    "--compose-url",
    envvar=COMPOSE_API_URL,
    show_envvar=True,
    help="Address of Neurosynth Compose's API, for every environment.",
)
@click.option(
    "--neurostore-url",
    envvar=NEUROSTORE_API_URL,
    show_envvar=True,
    help="Address of NeuroStore's API, for every environment.",
)
@click.option("--demo", is_flag=True, help="Bring along a Compose that serves one meta-analysis of pain.")
@click.option(
    "--parameter",
    "parameters",
    metavar="NAME=VALUE",
    multiple=True,
    callback=_values,
    help="Value of a parameter of template.yaml, such as ShardThresholdSeconds=60; can be repeated.",
)
@click.option("--verbose", is_flag=True, help="Log every request.")
def serve(
    *,
    port: int | None,
    artifacts_port: int | None,
    artifacts_url: str | None,
    host: str | None,
    token: str | None,
    data: Path | None,
    max_parallel_jobs: int | None,
    keep_days: float | None,
    compose_url: str | None,
    neurostore_url: str | None,
    demo: bool,
    parameters: dict[str, str],
    verbose: bool,
) -> None:
    """Run the whole service on this machine: no account, no Docker.

    The deployed functions, the state machine and the task run as they do on AWS, with S3, logs, parameters and budget
    embedded. Addresses and artifacts are served on 127.0.0.1, or where --host says; all else is for the service's own
    processes. Pages of other sites can neither start a job nor read one.
    """
    # it is for this process alone, and would be in the environment of every other that it starts
    os.environ.pop(TOKEN_VARIABLE, None)
    if token is not None and not (token.strip() and token.isascii() and token.isprintable()):
        raise click.BadParameter("it must be printable ASCII characters", param_hint="--token")
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S"
    )
    if verbose:
        logging.getLogger("compose_runner").setLevel(logging.DEBUG)
    # moto's word for every error of which it has no model
    warnings.filterwarnings("ignore", "Exception.* does not match an error shape", UserWarning)
    # the start makes objects that live as long as the service: collecting them again and again costs a tenth of it
    gc.disable()
    try:
        from compose_runner.local.service import Service, ServiceOptions
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"{error.name} is missing: the embedded service needs pip install '.[local]' in the checkout"
        ) from error
    chosen: dict[str, Any] = {
        "port": port,
        "artifacts_port": artifacts_port,
        "artifacts_url": artifacts_url,
        "host": host,
        "token": token.strip() if token else None,
        "data": data,
        "max_parallel_jobs": max_parallel_jobs,
        "keep_days": keep_days,
        "compose_url": _host("compose_url", compose_url, demo),
        "neurostore_url": _host("neurostore_url", neurostore_url, demo),
        "demo": demo,
        "parameters": parameters,
    }
    options = ServiceOptions(**{name: value for name, value in chosen.items() if value is not None})
    sys.exit(run(Service(options), options))


def _host(option: str, address: str | None, demo: bool) -> str | None:
    """Leave a variable of the environment out of account where the demo brings its own Compose."""
    source = click.get_current_context().get_parameter_source(option)
    return None if demo and source is ParameterSource.ENVIRONMENT else address


def run(service: Service, options: ServiceOptions) -> int:
    """Run a service until SIGTERM or Ctrl-C; returns the exit code."""
    stopped = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        if stopped.is_set():
            service.force_stop()
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    log = logging.getLogger("compose_runner.serve")
    try:
        with service:
            if service.demo is not None:
                from compose_runner.local.demo.studies import META_ANALYSIS_ID

                log.info("the demo's meta-analysis is %s", META_ANALYSIS_ID)
            log.info("ready; %d jobs at a time", options.max_parallel_jobs)
            gc.freeze()
            gc.enable()
            click.echo(json.dumps(service.urls))
            sys.stdout.flush()
            while not stopped.wait(0.5):  # a wait without an end would keep signals waiting on some systems
                pass
            log.info("stopping")
    except (OSError, ValueError, RuntimeError) as error:
        click.secho(f"compose-runner: the service cannot run: {_message(error, options)}", fg="red", err=True)
        return EXIT_CANNOT_RUN
    return EXIT_DONE


def _message(error: Exception, options: ServiceOptions) -> str:
    """What a person can do about it."""
    if not isinstance(error, OSError) or (isinstance(error, FileExistsError) and error.filename is None):
        return str(error)
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return f"{options.host} is no address of this machine; choose another with --host"
    if error.errno == errno.EADDRINUSE:
        return f"port {options.port} is in use already; stop what listens there, or choose another with --port"
    if error.filename is not None:
        return f"{error.filename}: {error.strerror}; choose another directory with --data"
    return str(error)
