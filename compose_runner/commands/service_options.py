"""Options that every command of a service takes: where the service is, and what the answer looks like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from compose_runner.client.addresses import TOKEN_VARIABLE
from compose_runner.client.client import Client
from compose_runner.escaping import json_text, visible

if TYPE_CHECKING:
    from collections.abc import Callable

_TOKEN = "compose_runner.token"  # noqa: S105 - a name
CONTEXT = {"help_option_names": ["-h", "--help"]}


def service_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--endpoint``, ``--profile``, ``--token`` and ``--json`` to a command."""
    decorators = (
        click.option(
            "--endpoint",
            metavar="URL",
            help="Address below which the functions are.  [default: COMPOSE_RUNNER_*_URL, the profile, "
            "http://127.0.0.1:8642]",
        ),
        click.option(
            "--profile", envvar="COMPOSE_RUNNER_PROFILE", show_envvar=True, help="Profile of the profile file."
        ),
        click.option(
            "--token",
            metavar="TEXT",
            expose_value=False,
            callback=_keep_token,
            help="Token of a service that wants one. Better set in the environment: other users of this machine see "
            f"options in the list of processes.  [env var: {TOKEN_VARIABLE}]",
        ),
        click.option("--json", "as_json", is_flag=True, help="Answer in JSON, for scripts."),
    )
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


def make_client(endpoint: str | None, profile: str | None) -> Client:
    """Make the command's client."""
    return Client.configured(endpoint, profile, token=click.get_current_context().meta.get(_TOKEN))


def _keep_token(context: click.Context, _option: click.Parameter, token: str | None) -> None:
    context.meta[_TOKEN] = token


def print_json(document: Any) -> None:
    """Print a document on one line of standard output, at once."""
    click.echo(json_text(document))


def say(text: object, *, err: bool = False, fg: str | None = None) -> None:
    """Print one line, in which control characters of documents and of a service's answers are visible.

    Parameters
    ----------
    text : object
        What to print.
    err : bool
        On standard error rather than on standard output.
    fg : str, optional
        Colour, on a terminal.
    """
    click.secho(visible(text), err=err, fg=fg)
