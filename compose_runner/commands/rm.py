"""``compose-runner rm``: remove jobs that have ended from an embedded service."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from compose_runner.client.calls import call
from compose_runner.client.models import RequestRefusedError
from compose_runner.commands.exit_codes import exit_with_code
from compose_runner.commands.service_options import CONTEXT, make_client, print_json, say, service_options
from compose_runner.errors import AnalysisError
from compose_runner.service.storage import ARTIFACT_PREFIX_RULE, is_artifact_prefix

if TYPE_CHECKING:
    from collections.abc import Callable

    from compose_runner.client.addresses import ServiceAddresses

_STATUS = "/status"


@click.command(
    context_settings=CONTEXT,
    epilog="""\b
Examples:
  compose-runner rm my-pain                     of the service on this machine
  compose-runner rm my-pain --data ./jobs       of a service that is stopped""",
)
@click.argument("jobs", metavar="JOB...", nargs=-1, required=True)
@click.option(
    "--data",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="Directory of a service that is stopped; by default the service that runs is asked.",
)
@service_options
def rm(jobs: tuple[str, ...], data: Path | None, endpoint: str | None, profile: str | None, as_json: bool) -> None:
    """Remove each JOB that has ended: its record, its log, its bundle and its artifacts.

    JOB is a name or a job_id. A job that runs is not removed: cancel it first. Files in a job's folder that it did not
    write stay, and are named. Only compose-runner serve can remove jobs; on AWS the bucket's owner does.
    """

    def action() -> None:
        names = [_checked(job) for job in jobs]
        remove = _remove_from(data) if data is not None else _ask(make_client(endpoint, profile).service)
        for name in names:
            left = remove(name)
            if as_json:
                print_json({"artifact_prefix": name, "status": "REMOVED", "left": left})
                continue
            say(f"{name} removed")
            for path in left:
                say(f"{path} stays: the job did not write it", err=True)

    exit_with_code(action)


def _checked(job: str) -> str:
    name = job.rpartition(":")[2]  # the last part of a job_id, for whichever of the two was typed
    if not is_artifact_prefix(name):
        raise AnalysisError(f"{job} is no job: {ARTIFACT_PREFIX_RULE}")
    return name


def _ask(service: ServiceAddresses) -> Callable[[str], list[str]]:
    """Remove a job by the service that has it."""
    status = service.function_url("status").rstrip("/")
    if not status.endswith(_STATUS):
        raise AnalysisError(f"{status} is no address of compose-runner serve, which alone removes jobs.")

    def remove(name: str) -> list[str]:
        address = f"{status.removesuffix(_STATUS)}/jobs/{name}"
        # a repetition would find the job gone
        answer: dict[str, Any] = call(
            replace(service, urls={"jobs": address}), "jobs", {}, method="DELETE", repeatable=False
        )
        return [str(path) for path in answer.get("left", ())]

    return remove


def _remove_from(data: Path) -> Callable[[str], list[str]]:
    """Remove a job from the directory of a service that does not run."""
    from compose_runner.local.state.directory import StateDirectory
    from compose_runner.local.state.removal import JobNotRemovedError, remove_job

    # a directory of something else must not become one of a service
    if not ((data / ".lock").exists() and (data / "jobs").is_dir()):
        raise AnalysisError(f"{data} is not the directory of a service: it has no jobs.")

    def remove(name: str) -> list[str]:
        try:
            directory = StateDirectory(data)
        except FileExistsError:
            raise AnalysisError(f"A service uses {data}: leave out --data to ask it.") from None
        try:
            return [str(path) for path in remove_job(directory, name)]
        except JobNotRemovedError as error:
            raise RequestRefusedError(409, f"{str(error).capitalize()}.") from None
        finally:
            directory.close()

    return remove
