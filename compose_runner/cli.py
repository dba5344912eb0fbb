"""The doors for shells: ``compose-run`` and ``compose-runner``. NiMARE is imported only by a command that computes."""

from __future__ import annotations

import signal
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from compose_runner import __version__
from compose_runner.analysis import DEFAULT_SEED
from compose_runner.environments import DEFAULT_ENVIRONMENT, ENVIRONMENTS
from compose_runner.errors import (
    EXIT_CANNOT_RUN,
    EXIT_INTERRUPTED,
    ComposeRunnerError,
    TerminationRequested,
)
from compose_runner.run import DEFAULT_RESULT_DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

# subcommand -> "module:attribute"; each module is imported when its command is called
_SUBCOMMANDS = {
    "run": "compose_runner.cli:compose_run",
    "publish": "compose_runner.cli:publish",
    "serve": "compose_runner.commands.serve:serve",
    "submit": "compose_runner.commands.submit:submit",
    "status": "compose_runner.commands.status:status",
    "logs": "compose_runner.commands.logs:logs",
    "results": "compose_runner.commands.results:results",
    "cancel": "compose_runner.commands.cancel:cancel",
}


class _LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _SUBCOMMANDS:
            return None
        module, _, attribute = _SUBCOMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


def _stop_on_sigterm(_signal: int, _frame: FrameType | None) -> None:
    raise TerminationRequested


def ending_well(action: Callable[[], Any]) -> Any:
    """Run an action of the command line, and turn its errors into one line and an exit code, in this one place.

    Exit codes: 0 done, 1 a person has to change something, 75 try again, 130 Ctrl-C.
    """
    signal.signal(signal.SIGTERM, _stop_on_sigterm)
    try:
        return action()
    except ComposeRunnerError as error:
        _complain(str(error))
        sys.exit(error.exit_code)
    except TerminationRequested as request:
        _complain("Stopped (SIGTERM); nothing half-written was left behind. The run can be started again.")
        sys.exit(request.exit_code)
    except KeyboardInterrupt:
        _complain("Stopped.")
        sys.exit(EXIT_INTERRUPTED)
    except OSError as error:
        _complain(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
        sys.exit(EXIT_CANNOT_RUN)


def _complain(text: str) -> None:
    click.secho(f"compose-runner: {text}", fg="red", err=True)


@click.command(
    "run",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  compose-run ataCTPAt2LMw                     run it, upload the result, print its page
  compose-run ataCTPAt2LMw --no-upload         keep the result in ./results
  compose-run my-label --bundle bundle.json    run from disk, without Compose
\b
Exit codes: 0 done, 1 the analysis cannot run (something has to be changed),
2 wrong usage, 75 try again later, 130 stopped by Ctrl-C.""",
)
@click.argument("meta_analysis_id", required=False, metavar="META_ANALYSIS_ID")
@click.option(
    "--environment",
    type=click.Choice(ENVIRONMENTS, case_sensitive=False),
    default=DEFAULT_ENVIRONMENT,
    show_default=True,
    help="Which Neurosynth Compose to talk to.",
)
@click.option(
    "--result-dir",
    type=click.Path(file_okay=False),
    default=DEFAULT_RESULT_DIRECTORY,
    show_default=True,
    help="Where maps, tables and the report go.",
)
@click.option("--nsc-key", envvar="NSC_KEY", show_envvar=True, help="Upload key of Neurosynth Compose.")
@click.option("--nv-key", envvar="NV_KEY", show_envvar=True, help="NeuroVault key (Compose needs none of its callers).")
@click.option("--no-upload", is_flag=True, help="Keep the result on this machine.")
@click.option("--n-cores", type=click.IntRange(min=1), help="Cores to use.  [default: all]")
@click.option(
    "--seed",
    type=click.IntRange(min=0, max=2**32 - 1),
    default=DEFAULT_SEED,
    show_default=True,
    help="Seed of every random draw.",
)
@click.option(
    "--bundle",
    type=click.Path(exists=True),
    help="Studyset, annotation and specification from disk: one JSON file, or a directory with studyset.json, "
    "annotation.json and specification.json. Nothing is uploaded then.",
)
@click.option(
    "--allow-host",
    "allow_hosts",
    multiple=True,
    metavar="HOST[:PORT]",
    help="Let maps of the bundle come from this host although it is not on the public internet; can be repeated.",
)
@click.option("--save-bundle", type=click.Path(), help="Keep the bundle that was fetched here.")
@click.option("--no-report", is_flag=True, help="Do not draw figures.")
@click.option(
    "--engine",
    type=click.Choice(["auto", "nimare"]),
    default="auto",
    show_default=True,
    help="Whose Monte Carlo code computes; the numbers are the same.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    help="How to log on standard error.  [default: text in a terminal, else json]",
)
@click.version_option(__version__, prog_name="compose-runner")
def compose_run(meta_analysis_id: str | None, **options: Any) -> None:
    """Run a meta-analysis of Neurosynth Compose and print the page of its result.

    META_ANALYSIS_ID is the last part of the meta-analysis's address on compose.neurosynth.org. With --bundle it is only
    a label and can be left out. With --no-upload or --bundle the result directory is printed instead of the page.
    """
    if meta_analysis_id is None and options["bundle"] is None:
        raise click.UsageError("Give a META_ANALYSIS_ID, or a bundle from disk with --bundle.")
    if options["allow_hosts"] and options["bundle"] is None:
        raise click.UsageError("--allow-host is for the maps of a bundle from disk: give it with --bundle.")
    log_format, no_report = options.pop("log_format"), options.pop("no_report")

    def action() -> None:
        from compose_runner.analysis.fast.interpreter import own_process
        from compose_runner.console import watching
        from compose_runner.run import run

        with own_process(), watching(log_format) as listener:
            url, _ = run(meta_analysis_id, report=not no_report, progress=listener, **options)
        click.echo(url or click.format_filename(options["result_dir"]))

    ending_well(action)


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nExample:\n  compose-runner publish results",
)
@click.argument("result_dir", type=click.Path(exists=True, file_okay=False))
@click.option("--nsc-key", envvar="NSC_KEY", show_envvar=True, help="Upload key of Neurosynth Compose.")
@click.option("--log-format", type=click.Choice(["text", "json"]), help="How to log on standard error.")
def publish(result_dir: str, nsc_key: str | None, log_format: Any) -> None:
    """Repeat the upload of RESULT_DIR to Neurosynth Compose, without computing anything again."""

    def action() -> None:
        from compose_runner.analysis.job import publish_again
        from compose_runner.console import watching
        from compose_runner.progress import Progress

        with watching(log_format) as listener:
            url = publish_again(result_dir, nsc_key=nsc_key, progress=Progress(listener))
        click.echo(url)

    ending_well(action)


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  compose-runner run ataCTPAt2LMw --no-upload   one meta-analysis on this machine
  compose-runner serve                          the whole service on this machine
  compose-runner submit ataCTPAt2LMw --follow   a job of a running service""",
)
@click.version_option(__version__, prog_name="compose-runner")
def compose_runner() -> None:
    """Run neuroimaging meta-analyses of Neurosynth Compose."""
