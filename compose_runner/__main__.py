"""``python -m compose_runner``: the command ``compose-runner``."""

from __future__ import annotations

from compose_runner.cli import compose_runner

if __name__ == "__main__":
    compose_runner(prog_name="compose-runner")
