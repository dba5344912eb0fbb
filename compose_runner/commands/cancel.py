"""``compose-runner cancel``: stop a running job."""

from __future__ import annotations

import click

from compose_runner.commands.exit_codes import exit_with_code
from compose_runner.commands.service_options import CONTEXT, make_client, print_json, say, service_options


@click.command(context_settings=CONTEXT)
@click.argument("job_id")
@service_options
def cancel(job_id: str, endpoint: str | None, profile: str | None, as_json: bool) -> None:
    """Stop the job JOB_ID, where the service allows it."""

    def action() -> None:
        job = make_client(endpoint, profile).cancel(job_id)
        if as_json:
            print_json(job.document)
        else:
            say(job.status)

    exit_with_code(action)
