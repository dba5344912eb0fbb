"""``compose-runner submit``: start a job, and follow it if that is wanted."""

from __future__ import annotations

import sys
from typing import Any

import click

from compose_runner.client.models import SUCCEEDED, JobExistsError
from compose_runner.commands import following
from compose_runner.commands.ending import open_job_report
from compose_runner.commands.exit_codes import exit_with_code
from compose_runner.commands.job_options import environment_option, n_cores_option, nsc_key_option, open_option
from compose_runner.commands.service_options import CONTEXT, make_client, print_json, say, service_options
from compose_runner.compose.environments import DEFAULT_ENVIRONMENT
from compose_runner.errors import EXIT_CANNOT_RUN, AnalysisError
from compose_runner.escaping import visible


@click.command(
    context_settings=CONTEXT,
    epilog="""\b
Examples:
  compose-runner submit painDemoALE1 --follow     with compose-runner serve --demo
  compose-runner submit YOUR_ID --no-upload --json | jq -r .job_id
\b
Without --follow the job's id is printed. Exit codes: 0 the job was taken, with --follow it
succeeded; 1 it cannot run, or failed.""",
)
@click.argument("meta_analysis_id")
@environment_option("the service talks to.", default=DEFAULT_ENVIRONMENT, show_default=True)
@click.option("--no-upload", is_flag=True, help="Compute, and publish nothing.")
@click.option(
    "--artifact-prefix", metavar="NAME", help="Name of the job: letters, digits, - and _.  [default: made up]"
)
@n_cores_option
@nsc_key_option
@click.option("--nv-key", envvar="NV_KEY", show_envvar=True, help="Key of NeuroVault.")
@click.option(
    "--idempotency-key", metavar="KEY", help="Find the job that the same key started before, if there is one."
)
@click.option("--follow", is_flag=True, help="Show progress and log records until the job has ended.")
@open_option
@service_options
def submit(
    meta_analysis_id: str,
    follow: bool,
    endpoint: str | None,
    profile: str | None,
    as_json: bool,
    open_report: bool,
    **wanted: Any,
) -> None:
    """Start a job for META_ANALYSIS_ID, which may be the address of its page on Compose.

    Without --no-upload the result becomes public on its page on Compose. Nobody is asked: the job may end long after
    the command.
    """
    if open_report and (as_json or not follow):
        raise click.UsageError(
            "--open is for the end of a job that is followed: give it with --follow, without --json."
        )

    account = following.FollowingAccount()

    def action() -> bool:
        client = make_client(endpoint, profile)
        try:
            job = client.submit(meta_analysis_id, **wanted)
        except JobExistsError as error:
            name = wanted["artifact_prefix"]
            raise AnalysisError(f"{error} To see it: compose-runner status {name}") from error
        if not follow:
            print_json(job.document) if as_json else say(job.job_id)
            if job.error:
                click.secho(f"{job.artifact_prefix} failed: {visible(job.error)}", fg="red", err=True)
            return not job.error
        account.name = job.artifact_prefix
        if as_json:
            print_json({"type": "submit", **job.document})
            return following.follow_as_json(client.follow(job.job_id, job.artifact_prefix)).status == SUCCEEDED
        say(f"job {job.artifact_prefix}", err=True)
        status = following.follow_in_terminal(client.follow(job.job_id, job.artifact_prefix))
        following.tell_end(status)
        say(job.artifact_prefix)
        if open_report:
            open_job_report(client, job.artifact_prefix)
        return status.status == SUCCEEDED

    if not exit_with_code(action, account):
        sys.exit(EXIT_CANNOT_RUN)
