"""The command ``compose-runner``; ``compose-run`` is its subcommand ``run``.

A subcommand's module is imported when it is called, and NiMARE only by one that computes.
"""

from __future__ import annotations

from importlib import import_module

import click

from compose_runner import __version__
from compose_runner.commands.names import PROGRAM_CONTEXT, SUBCOMMANDS, describe_unknown


class _LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in SUBCOMMANDS:
            return None
        command: click.Command = getattr(import_module(f"compose_runner.commands.{cmd_name}"), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in SUBCOMMANDS and not ctx.resilient_parsing:
            raise click.UsageError(describe_unknown(args[0]), ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=_LazyGroup,
    context_settings=PROGRAM_CONTEXT,
    epilog="""\b
Examples:
  compose-runner run YOUR_ID --no-upload        one meta-analysis on this machine
  compose-runner check YOUR_ID                  what goes into it, and what may mislead
  compose-runner publish results                publish its result, once you have looked at it
  compose-runner serve --demo                   the whole service on this machine
  compose-runner submit painDemoALE1 --follow   a job of that service""",
)
@click.version_option(__version__, "-V", "--version", prog_name="compose-runner")
def compose_runner() -> None:
    """Run neuroimaging meta-analyses of Neurosynth Compose."""
