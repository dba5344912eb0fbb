"""Options that several commands take about a job: which Compose, which keys, how many cores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

from compose_runner.compose.environments import ENVIRONMENTS

if TYPE_CHECKING:
    from collections.abc import Callable

Command = TypeVar("Command", bound="Callable[..., Any] | click.Command")


def environment_option(purpose: str, **more: Any) -> Callable[[Command], Command]:
    """Make the option that names one of Compose's environments.

    Parameters
    ----------
    purpose : str
        What stands behind "Which Neurosynth Compose" in the help.
    **more : object
        Further arguments of :func:`click.option`.
    """
    environments = click.Choice(ENVIRONMENTS, case_sensitive=False)
    return click.option("--environment", type=environments, help=f"Which Neurosynth Compose {purpose}", **more)


nsc_key_option = click.option("--nsc-key", envvar="NSC_KEY", show_envvar=True, help="Upload key of Neurosynth Compose.")
n_cores_option = click.option("--n-cores", type=click.IntRange(min=1), help="Cores to use.  [default: all]")
yes_option = click.option(
    "-y", "--yes", is_flag=True, help="Publish without asking first, as is done where no person is there."
)
open_option = click.option("--open", "open_report", is_flag=True, help="Open the report in a browser at the end.")
allow_hosts_option = click.option(
    "--allow-host",
    "allow_hosts",
    multiple=True,
    metavar="HOST[:PORT]",
    help="Let maps of the bundle come from this host although it is not on the public internet; can be repeated.",
)
