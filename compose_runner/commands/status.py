"""``compose-runner status``: how a job is."""

from __future__ import annotations

import click

from compose_runner.commands import following
from compose_runner.commands.exit_codes import exit_with_code
from compose_runner.commands.service_options import CONTEXT, make_client, print_json, say, service_options
from compose_runner.progress import time_left


@click.command(context_settings=CONTEXT)
@click.argument("job")
@service_options
def status(job: str, endpoint: str | None, profile: str | None, as_json: bool) -> None:
    """Say how JOB is, which is a job's name or its id."""

    def action() -> None:
        found = make_client(endpoint, profile).status(job)
        if as_json:
            print_json(found.document)
            return
        say(found.status)
        for name in ("artifact_prefix", "start_time", "stop_time"):
            if found.document.get(name):
                say(f"{name.replace('_', ' ')}: {found.document[name]}")
        if found.waits:
            say(following.describe_waiting(found))
        elif found.progress:
            percent = found.progress.get("percent")
            parts = (
                found.progress.get("stage"),
                f"{percent:.0f} %" if isinstance(percent, int | float) else None,
                time_left(found.progress.get("seconds_left")),
            )
            say(f"progress: {', '.join(str(part) for part in parts if part)}")
        if found.error:
            say(f"error: {found.error}")
        url = (found.document.get("result") or {}).get("result_url")
        if url:
            say(f"page: {url}")

    exit_with_code(action)
