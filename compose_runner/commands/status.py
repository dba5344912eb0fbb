"""``compose-runner status``: how a job is."""

from __future__ import annotations

import click

from compose_runner.commands.exit_codes import exit_with_code
from compose_runner.commands.service_options import CONTEXT, make_client, print_json, say, service_options
from compose_runner.progress import time_left


@click.command(context_settings=CONTEXT)
@click.argument("job_id")
@service_options
def status(job_id: str, endpoint: str | None, profile: str | None, as_json: bool) -> None:
    """Say how the job JOB_ID is."""

    def action() -> None:
        job = make_client(endpoint, profile).status(job_id)
        if as_json:
            print_json(job.document)
            return
        say(job.status)
        for name in ("artifact_prefix", "start_time", "stop_time"):
            if job.document.get(name):
                say(f"{name.replace('_', ' ')}: {job.document[name]}")
        if job.progress:
            percent = job.progress.get("percent")
            parts = (
                job.progress.get("stage"),
                f"{percent:.0f} %" if isinstance(percent, int | float) else None,
                time_left(job.progress.get("seconds_left")),
            )
            say(f"progress: {', '.join(str(part) for part in parts if part)}")
        if job.error:
            say(f"error: {job.error}")
        url = (job.document.get("result") or {}).get("result_url")
        if url:
            say(f"page: {url}")

    exit_with_code(action)
