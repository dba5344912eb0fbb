"""The subcommands of ``compose-runner`` that speak to a service; each module is imported when its command is called."""

from __future__ import annotations

# subcommand -> "module:attribute"
COMMANDS = {
    "serve": "compose_runner.commands.serve:serve",
    "submit": "compose_runner.commands.submit:submit",
    "status": "compose_runner.commands.status:status",
    "logs": "compose_runner.commands.logs:logs",
    "results": "compose_runner.commands.results:results",
    "cancel": "compose_runner.commands.cancel:cancel",
}
