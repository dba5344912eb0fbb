"""``compose-runner cancel``: stop a running job."""

from __future__ import annotations

import click

from compose_runner.commands.exit_codes import exit_with_code
from compose_runner.commands.service_options import CONTEXT, make_client, print_json, say, service_options


@click.command(context_settings=CONTEXT)
@click.argument("job")
@service_options
def cancel(job: str, endpoint: str | None, profile: str | None, as_json: bool) -> None:
    """Stop JOB, which is a job's name or its id, where the service allows it."""

    def action() -> None:
        client = make_client(endpoint, profile)
        before = client.status(job)
        after = before if before.ended else client.cancel(job)
        if as_json:
            print_json(after.document)
        elif before.ended:
            say(f"{before.artifact_prefix} had ended already: {before.status}")
        else:
            say(after.status)

    exit_with_code(action)
