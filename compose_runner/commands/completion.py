"""``compose-runner completion``: what makes a shell complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_SHELLS = ("bash", "zsh", "fish")
_PROGRAMS = ("compose-runner", "compose-run")


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  eval "$(compose-runner completion bash)"        in ~/.bashrc
  eval "$(compose-runner completion zsh)"         in ~/.zshrc
  compose-runner completion fish > ~/.config/fish/completions/compose-runner.fish""",
)
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """Print the script that makes SHELL complete compose-runner and compose-run."""
    from compose_runner.commands.run import run

    compose_runner = click.get_current_context().find_root().command

    chosen = get_completion_class(shell)
    assert chosen is not None
    for program, command in zip(_PROGRAMS, (compose_runner, run), strict=True):
        variable = f"_{program.replace('-', '_').upper()}_COMPLETE"
        click.echo(chosen(command, {}, program, variable).source())
