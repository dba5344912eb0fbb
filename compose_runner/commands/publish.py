"""``compose-runner publish``: publish a result directory on Neurosynth Compose."""

from __future__ import annotations

from typing import Any

import click

from compose_runner.commands.ending import publish_command
from compose_runner.commands.exit_codes import exit_with_code
from compose_runner.commands.job_options import environment_option, nsc_key_option, yes_option
from compose_runner.compose.environments import environment_named
from compose_runner.errors import AnalysisError, UploadKeyError
from compose_runner.escaping import visible


class _PublishAccount:
    """What an upload can say when it ends early.

    Parameters
    ----------
    result_dir : str
        Where the result is.
    """

    def __init__(self, result_dir: str) -> None:
        self._result_dir = result_dir

    def stopped(self) -> str:
        """Say that the upload can be gone on with."""
        return f"The result is safe in {self._result_dir}, and the same command goes on with its upload."

    def failed(self, error: BaseException) -> str:
        """Say what to do about a key."""
        if isinstance(error, UploadKeyError):
            return (
                f"The result is safe in {self._result_dir}. To publish it: {publish_command(self._result_dir)} "
                "--nsc-key KEY"
            )
        return ""


def agreed_to_publish(page: str) -> bool:
    """Ask the person at the terminal; where there is none, nobody is asked."""
    from compose_runner.commands.terminal import agreed, has_person

    return not has_person() or agreed(f"This publishes the result on {page}, for everyone to see. Go on?")


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  compose-runner publish results                  after 'compose-run YOUR_ID --no-upload'
  compose-runner publish results --nsc-key KEY    with an upload key of your own
  compose-runner publish results --yes            without being asked first
\b
An upload that failed or was interrupted is gone on with: a result that Compose has
already is filled, not made twice. What was published before is left as it is.
\b
Exit codes: 0 done, 1 it cannot be published (something has to be changed),
2 wrong usage, 75 try again later, 130 stopped by Ctrl-C.""",
)
@click.argument("result_dir", type=click.Path(exists=True, file_okay=False))
@nsc_key_option
@environment_option("to publish on.  [default: the one that the run talked to]")
@yes_option
@click.option("--log-format", type=click.Choice(["text", "json"]), help="How to log on standard error.")
def publish(result_dir: str, nsc_key: str | None, environment: str | None, yes: bool, log_format: Any) -> None:
    """Publish the result in RESULT_DIR on Neurosynth Compose, and print its page.

    RESULT_DIR is the result directory of a run of a meta-analysis from Compose that was not uploaded, or whose upload
    failed. Nothing is computed again, and only files that the run wrote are sent. In a terminal you are asked first.
    """

    def action() -> None:
        from compose_runner.analysis.job import publish_again
        from compose_runner.analysis.publish.publishing import find_page
        from compose_runner.commands.terminal import watching
        from compose_runner.progress import Progress

        page, published = find_page(result_dir, environment_named(environment) if environment else None)
        if not (published or yes or agreed_to_publish(page)):
            raise AnalysisError(f"Not published. The result is still in {result_dir}.")
        with watching(log_format) as listener:
            url = publish_again(result_dir, nsc_key=nsc_key, environment=environment, progress=Progress(listener))
        click.echo(visible(url))

    exit_with_code(action, _PublishAccount(result_dir))
