"""The subcommands of ``compose-runner``, one module each, and what they share: exit codes and the terminal."""
