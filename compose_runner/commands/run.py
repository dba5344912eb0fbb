"""``compose-run`` and ``compose-runner run``: one meta-analysis, in this process."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from compose_runner import __version__
from compose_runner.analysis import DEFAULT_SEED
from compose_runner.commands.ending import publish_command
from compose_runner.commands.exit_codes import exit_with_code
from compose_runner.commands.job_options import (
    allow_hosts_option,
    environment_option,
    n_cores_option,
    nsc_key_option,
    open_option,
    yes_option,
)
from compose_runner.commands.names import PROGRAM_CONTEXT, SUBCOMMANDS
from compose_runner.commands.publish import agreed_to_publish
from compose_runner.compose.environments import DEFAULT_ENVIRONMENT, environment_named
from compose_runner.compose.page_addresses import parse_meta_analysis
from compose_runner.errors import UploadKeyError
from compose_runner.escaping import visible
from compose_runner.run import DEFAULT_RESULT_DIRECTORY
from compose_runner.service.storage import METADATA_FILENAME

if TYPE_CHECKING:
    from collections.abc import Mapping

    from compose_runner.progress import ProgressListener, ProgressRecord, Stage


class _RunAccount:
    """What a run can say about its result when it ends early.

    Parameters
    ----------
    result_dir : str
        Where the result goes.
    """

    def __init__(self, result_dir: str) -> None:
        self._result_dir = result_dir
        self._stage: Stage | None = None
        self._checkpoints = ""
        self._names: Mapping[str, str] = {}

    def listening(self, listener: ProgressListener) -> ProgressListener:
        """Give a listener that keeps the stage, and passes every record on."""
        # here, since another thread that imports may be interrupted together with the run
        from compose_runner.analysis.compute.checkpoints import CHECKPOINTS
        from compose_runner.progress import STAGE_NAMES

        self._checkpoints, self._names = CHECKPOINTS, STAGE_NAMES

        def listen(record: ProgressRecord) -> None:
            self._stage = record.stage
            listener(record)

        return listen

    def stopped(self) -> str:
        """Say how far the run was, and what of its result is there."""
        if self._stage is None or self._stage.value == "fetch":
            return "Nothing was computed yet, and nothing was changed."
        where = f"It was at: {self._names[self._stage.value]}."
        result_dir = Path(self._result_dir).expanduser()
        if (result_dir / METADATA_FILENAME).exists():
            return f"{where} The result is complete in {self._result_dir}.{self._how_to_publish()}"
        if any((result_dir / self._checkpoints).glob("*/*")):
            return f"{where} The permutations so far are kept: the same command goes on from them."
        if any(result_dir.glob("*.nii.gz")):
            return f"{where} Maps are in {self._result_dir}, but the result is not complete."
        return f"{where} There is no result yet; the same command begins again."

    def failed(self, error: BaseException) -> str:
        """Say that the result is safe when only its upload failed."""
        if self._stage is None or self._stage.value != "publish":
            return ""
        key = " --nsc-key KEY" if isinstance(error, UploadKeyError) else ""
        return f"The result is complete in {self._result_dir}.{self._how_to_publish(key)}"

    def _how_to_publish(self, key: str = "") -> str:
        if self._stage is None or self._stage.value != "publish":
            return ""
        return f" To publish it: {publish_command(self._result_dir)}{key}"


@click.command(
    "run",
    context_settings=PROGRAM_CONTEXT,
    epilog="""\b
Examples:
  compose-run YOUR_ID --no-upload              keep the result in ./results, to look at
  compose-runner publish results               publish what is in ./results
  compose-run YOUR_ID                          run it and publish the result at once
  compose-run my-label --bundle bundle.json    run from disk, without Compose
\b
Exit codes: 0 done, 1 the analysis cannot run (something has to be changed),
2 wrong usage, 75 try again later, 130 stopped by Ctrl-C.""",
)
@click.argument("meta_analysis_id", required=False, metavar="META_ANALYSIS_ID")
@environment_option("to talk to.", default=DEFAULT_ENVIRONMENT, show_default=True)
@click.option(
    "--result-dir",
    type=click.Path(file_okay=False),
    default=DEFAULT_RESULT_DIRECTORY,
    show_default=True,
    help="Where maps, tables and the report go.",
)
@nsc_key_option
@click.option("--nv-key", envvar="NV_KEY", show_envvar=True, help="NeuroVault key (Compose needs none of its callers).")
@click.option("--no-upload", is_flag=True, help="Keep the result on this machine; it can be published later.")
@yes_option
@click.option(
    "--overwrite",
    is_flag=True,
    help="Use a result directory that holds other files. They stay as they are.",
)
@n_cores_option
@click.option(
    "--seed",
    type=click.IntRange(min=0, max=2**32 - 1),
    default=DEFAULT_SEED,
    show_default=True,
    help="Seed of every random draw, unless the specification gives one as random_state.",
)
@click.option(
    "--bundle",
    type=click.Path(exists=True),
    help="Studyset, annotation and specification from disk: one JSON file, or a directory with studyset.json, "
    "annotation.json and specification.json. Nothing is uploaded then.",
)
@allow_hosts_option
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
    help="How to log on standard error.  [default: text; json in a container without a terminal]",
)
@click.option("-v", "--verbose", is_flag=True, help="Show what NiMARE and other libraries say; run.log has it anyhow.")
@open_option
@click.version_option(__version__, "-V", "--version", prog_name="compose-runner")
def run(meta_analysis_id: str | None, **options: Any) -> None:
    """Run a meta-analysis of Neurosynth Compose and print the page of its result.

    META_ANALYSIS_ID is the last part of the meta-analysis's address on compose.neurosynth.org, or all of that address.
    With --bundle it is not looked up, and can be left out. With --no-upload or --bundle the result directory is printed
    instead of the page.

    Without --no-upload the result becomes public on that page; in a terminal you are asked first. In the result
    directory only what an earlier run wrote is replaced.
    """
    if meta_analysis_id in SUBCOMMANDS and options["bundle"] is None:
        raise click.UsageError(
            f"compose-run runs a meta-analysis, and {meta_analysis_id} is a command: did you mean compose-runner "
            f"{meta_analysis_id}?"
        )
    if meta_analysis_id is None and options["bundle"] is None:
        raise click.UsageError("Give a META_ANALYSIS_ID, or a bundle from disk with --bundle.")
    if options["allow_hosts"] and options["bundle"] is None:
        raise click.UsageError("--allow-host is for the maps of a bundle from disk: give it with --bundle.")
    log_format, no_report, yes = options.pop("log_format"), options.pop("no_report"), options.pop("yes")
    verbose, show = options.pop("verbose"), options.pop("open_report")
    account = _RunAccount(options["result_dir"])

    def action() -> None:
        from compose_runner.analysis.interpreter import own_process
        from compose_runner.analysis.write.result_record import PUBLISH_RECORD
        from compose_runner.analysis.write.summary import REPORT
        from compose_runner.commands.ending import open_page, tell_result
        from compose_runner.commands.terminal import watching
        from compose_runner.run import run as run_meta_analysis

        if not (options["no_upload"] or options["bundle"] or yes):
            identity, environment = parse_meta_analysis(str(meta_analysis_id), options["environment"])
            page = environment_named(environment).find_page(identity)
            options["no_upload"] = not agreed_to_publish(page)
        with own_process(), watching(log_format, verbose=verbose) as listener:
            url, _ = run_meta_analysis(
                meta_analysis_id, report=not no_report, progress=account.listening(listener), **options
            )
        result_dir = Path(options["result_dir"]).expanduser()
        if sys.stderr.isatty():
            tell_result(result_dir, warned=True, can_publish=url is None and (result_dir / PUBLISH_RECORD).exists())
        click.echo(visible(url) if url else click.format_filename(options["result_dir"]))
        if show:
            open_page((result_dir / REPORT).resolve().as_uri() if (result_dir / REPORT).exists() else None)

    exit_with_code(action, account)
