"""``compose-runner check``: look at a meta-analysis's inputs, without computing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from compose_runner.commands.exit_codes import exit_with_code
from compose_runner.commands.job_options import allow_hosts_option, environment_option
from compose_runner.compose.environments import DEFAULT_ENVIRONMENT
from compose_runner.errors import EXIT_CANNOT_RUN
from compose_runner.escaping import json_text, visible

if TYPE_CHECKING:
    from compose_runner.analysis.checking import CheckedInputs

_WIDTH = 80
_COLOURS = {"error": "bold red", "warning": "yellow", "note": "cyan"}
# rows of the account: what they are called, and where the figures stand
_STAGES = (
    ("Studies in the studyset", ("studyset", "studies")),
    ("Studies selected", ("selected", "studies")),
    ("Analyses selected", ("selected", "analyses")),
    ("Studies with foci", ("with_foci", "studies")),
    ("Studies with maps", ("with_images", "studies")),
    ("Foci listed", ("foci", "listed")),
    ("  not three finite numbers", ("foci", "without_coordinates")),
    ("  outside the brain mask", ("foci", "outside_mask")),
    ("  used", ("foci", "used")),
    ("Maps listed", ("images", "listed")),
    ("  left out", ("images", "left_out")),
    ("  used", ("images", "used")),
    ("Studies used", ("used", "studies")),
    ("Experiments used", ("used", "experiments")),
    ("Participants", ("used", "participants")),
)


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  compose-runner check YOUR_ID            what is on Neurosynth Compose
  compose-runner check bundle.json        a bundle from disk, file or directory
  compose-runner check YOUR_ID --json     for scripts
\b
Exit codes: 0 it can run, 1 it cannot (something has to be changed), 2 wrong
usage, 75 try again later, 130 stopped by Ctrl-C.""",
)
@click.argument("inputs", metavar="ID|BUNDLE")
@environment_option("to talk to.", default=DEFAULT_ENVIRONMENT, show_default=True)
@allow_hosts_option
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON, for scripts.")
def check(inputs: str, environment: str, allow_hosts: tuple[str, ...], as_json: bool) -> None:
    """Say what goes into a meta-analysis, and what in it may mislead, without computing.

    ID is the last part of the meta-analysis's address on compose.neurosynth.org; BUNDLE is a bundle from disk. Errors
    are what a run is refused for, warnings what may mislead, notes what was done with the inputs. The page "What is
    checked" of the documentation explains each code.
    """
    bundle = inputs if Path(inputs).expanduser().exists() else None
    if bundle is None and ("/" in inputs or inputs.endswith((".json", ".gz"))):
        raise click.UsageError(f"There is no file or directory {click.format_filename(inputs)}.")
    if allow_hosts and bundle is None:
        raise click.UsageError("--allow-host is for the maps of a bundle from disk.")

    def action() -> None:
        from compose_runner.analysis.checking import check_inputs
        from compose_runner.analysis.interpreter import own_process
        from compose_runner.commands.terminal import watching
        from compose_runner.progress import Progress

        with own_process(), watching() as listener:
            checked = check_inputs(
                None if bundle else inputs,
                environment=environment,
                bundle=bundle,
                allow_hosts=allow_hosts,
                progress=Progress(listener),
            )
        if as_json:
            click.echo(json_text(checked.about))
        else:
            _show(checked)
        if checked.findings.errors:
            sys.exit(EXIT_CANNOT_RUN)

    exit_with_code(action)


def _show(checked: CheckedInputs) -> None:
    """Print the account and the findings as tables."""
    from rich.console import Console

    console = Console(highlight=False)
    if console.width > _WIDTH or not console.is_terminal:
        console.width = _WIDTH
    accounting: dict[str, dict[str, Any]] = checked.about.get("accounting", {})
    if accounting:
        console.print(_account(accounting))
        console.print()
    found = checked.about["audit"]
    if found:
        console.print(_listed(found))
        console.print()
    numbers = {word: sum(one["severity"] == word for one in found) for word in _COLOURS}
    counted = ", ".join(f"{number} {word}{'' if number == 1 else 's'}" for word, number in numbers.items())
    console.print(f"{counted}. {'It cannot run as it is.' if numbers['error'] else 'It can run.'}")


def _account(accounting: dict[str, dict[str, Any]]) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Counted")
    for name in accounting:
        table.add_column("all" if len(accounting) == 1 else f"{name} group", justify="right")
    for words, (stage, what) in _STAGES:
        figures = [group.get(stage, {}).get(what) for group in accounting.values()]
        if any(figure is not None for figure in figures):
            table.add_row(words, *("not known" if figure is None else f"{figure:,}" for figure in figures))
    return table


def _listed(found: list[dict[str, Any]]) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Finding", no_wrap=True)
    table.add_column("What it is, and its code")
    for one in found:
        words = Text(visible(one["message"]))
        words.append(f"\n{one['code']}", style="dim")
        table.add_row(Text(one["severity"], style=_COLOURS[one["severity"]]), words)
    return table
