"""``compose-runner logs``: a job's log records."""

from __future__ import annotations

import sys

import click

from compose_runner.client.client import name_of
from compose_runner.client.models import SUCCEEDED
from compose_runner.commands import following
from compose_runner.commands.exit_codes import exit_with_code
from compose_runner.commands.service_options import CONTEXT, make_client, print_json, say, service_options
from compose_runner.errors import EXIT_CANNOT_RUN


@click.command(
    context_settings=CONTEXT,
    epilog="""\b
JOB is the job's name (artifact_prefix) or its id.""",
)
@click.argument("job")
@click.option("--follow", is_flag=True, help="Go on until the job has ended.")
@click.option("--since", type=click.FloatRange(min=0), metavar="HOURS", help="How far back.  [default: the last hour]")
@service_options
def logs(job: str, follow: bool, since: float | None, endpoint: str | None, profile: str | None, as_json: bool) -> None:
    """Print the log records of JOB."""
    account = following.FollowingAccount(name_of(job) if follow else None)

    def action() -> bool:
        client = make_client(endpoint, profile)
        if follow:
            updates = client.follow(job)
            show = following.follow_as_json if as_json else following.follow_in_terminal
            return show(updates).status == SUCCEEDED
        start = None
        if since is not None:
            import time

            start = int((time.time() - since * 3600) * 1000)
        records = client.logs(job, start_time=start)
        if not records:
            asked = "the last hour" if since is None else f"the last {since:g} hours"
            say(f"{name_of(job)} has no records of {asked}; --since HOURS looks further back.", err=True)
        for record in records:
            if as_json:
                print_json({"timestamp": record.timestamp, "message": record.message})
            else:
                say(following.format_line(record))
        return True

    if not exit_with_code(action, account):
        sys.exit(EXIT_CANNOT_RUN)
