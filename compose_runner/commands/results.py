"""``compose-runner results``: a job's files, listed or downloaded."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from compose_runner.client.client import name_of
from compose_runner.commands.ending import open_job_report, open_page, tell_result
from compose_runner.commands.exit_codes import exit_with_code
from compose_runner.commands.job_options import open_option
from compose_runner.commands.service_options import CONTEXT, make_client, print_json, say, service_options
from compose_runner.service.contract import DEFAULT_EXPIRES_SECONDS, MAX_EXPIRES_SECONDS

if TYPE_CHECKING:
    from compose_runner.client.client import Client
    from compose_runner.client.models import JobArtifact

REPORT = "report.html"


@click.command(
    context_settings=CONTEXT,
    epilog="""\b
JOB is the job's name (artifact_prefix) or its id.
Examples:
  compose-runner results my-job                          list its files
  compose-runner results my-job --open                   open its report in a browser
  compose-runner results my-job --download results       fetch them, verify checksums""",
)
@click.argument("job")
@click.option(
    "--download",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Fetch the files into DIR.",
)
@click.option(
    "--expires-in",
    type=click.IntRange(1, MAX_EXPIRES_SECONDS),
    default=DEFAULT_EXPIRES_SECONDS,
    show_default=True,
    help="Seconds for which the listed addresses are valid.",
)
@click.option("--urls", is_flag=True, help="Show the addresses of the listed files.")
@open_option
@service_options
def results(
    *,
    job: str,
    directory: Path | None,
    expires_in: int,
    urls: bool,
    open_report: bool,
    endpoint: str | None,
    profile: str | None,
    as_json: bool,
) -> None:
    """List the files of JOB, or download them."""

    def action() -> None:
        client = make_client(endpoint, profile)
        if directory is not None:
            files = _download(client, name_of(job), directory)
            if as_json:
                print_json({"directory": str(directory.resolve()), "files": [str(path) for path in files]})
                return
            report = directory / REPORT
            if sys.stderr.isatty():
                tell_result(directory)
            say(report if report in files else directory)
            if open_report:
                open_page(report.resolve().as_uri() if report in files else None)
            return
        if open_report:
            open_job_report(client, job)
            return
        artifacts = client.results(job, expires_in=expires_in)
        if as_json:
            print_json([artifact.document for artifact in artifacts])
            return
        if not artifacts:
            say(f"There are no files of {name_of(job)}: it has not written any yet, or is not a job.", err=True)
        for artifact in artifacts:
            say(f"{artifact.size:>12,}  {artifact.path}")
            if urls:
                say(f"{'':14}{artifact.url}")

    exit_with_code(action)


def _download(client: Client, artifact_prefix: str, directory: Path) -> list[Path]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=28),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not Console(stderr=True).is_terminal,
    )
    lock = threading.Lock()
    with bar:
        task = bar.add_task("Download", total=None)

        def on_files(artifacts: list[JobArtifact]) -> None:
            bar.update(
                task, total=sum(artifact.size for artifact in artifacts), description=f"Download {len(artifacts)} files"
            )

        def on_bytes(size: int) -> None:
            with lock:
                bar.advance(task, size)

        return client.download(artifact_prefix, directory, on_files=on_files, on_bytes=on_bytes)
