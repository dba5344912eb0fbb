"""What is typed in place of a command names the one that was meant; shells complete; variables are documented."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from compose_runner import __version__, cli
from compose_runner.commands import run, serve
from compose_runner.commands.names import SUBCOMMANDS, describe_unknown

if TYPE_CHECKING:
    import click

REPOSITORY = Path(__file__).parents[3]


@pytest.mark.parametrize("name", [name for name in SUBCOMMANDS if name != "run"])
def test_a_subcommand_in_place_of_an_id_is_understood(name: str) -> None:
    ended = CliRunner().invoke(run.run, [name])
    assert ended.exit_code == 2
    assert f"did you mean compose-runner {name}?" in ended.output


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("serv", "compose-runner serve?"),
        ("version", "compose-runner --version?"),
        ("list", "compose-runner jobs?"),
        ("ataCTPAt2LMw", "compose-runner run ataCTPAt2LMw --no-upload?"),
        ("https://compose.neurosynth.org/meta-analyses/x", "/meta-analyses/x --no-upload?"),
        ("frobnicate", "There are: run, check, publish"),
    ],
)
def test_what_is_no_command_says_which_was_meant(typed: str, meant: str) -> None:
    assert meant in describe_unknown(typed)
    ended = CliRunner().invoke(cli.compose_runner, [typed])
    assert ended.exit_code == 2
    assert "Did you mean" in ended.output or "There are" in ended.output


@pytest.mark.parametrize("command", [cli.compose_runner, run.run])
def test_the_version_has_a_short_option(command: click.Command) -> None:
    assert __version__ in CliRunner().invoke(command, ["-V"]).output


def test_the_completion_is_a_script_for_both_commands() -> None:
    script = CliRunner().invoke(cli.compose_runner, ["completion", "bash"]).output
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    for program in ("compose-run", "compose-runner"):
        assert re.search(rf"^ *complete .* {program}$", script, re.MULTILINE)


@pytest.mark.parametrize(("arguments", "wanted"), [([], "http://x/api"), (["--demo"], None)])
def test_the_service_honours_the_variables_unless_it_brings_its_own_compose(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], wanted: str | None
) -> None:
    started: list[Any] = []

    def run_service(_service: Any, options: Any) -> int:
        started.append(options)
        return 0

    monkeypatch.setattr(serve, "run", run_service)
    monkeypatch.setattr("gc.disable", lambda: None)
    variables = {"COMPOSE_API_URL": "http://x/api", "NEUROSTORE_API_URL": "http://x/api"}
    ended = CliRunner().invoke(serve.serve, arguments, env=variables)
    assert ended.exit_code == 0, ended.output
    assert (started[0].compose_url, started[0].neurostore_url) == (wanted, wanted)


def test_every_variable_that_a_person_may_set_is_in_the_table() -> None:
    table = (REPOSITORY / "docs" / "commands.md").read_text(encoding="utf-8")
    sources = [path.read_text(encoding="utf-8") for path in (REPOSITORY / "compose_runner").rglob("*.py")]
    found = {name for source in sources for name in re.findall(r'"(COMPOSE_RUNNER_[A-Z_]+|[A-Z]+_API_URL)"', source)}
    found |= {name for source in sources for name in re.findall(r'envvar="([A-Z_]+)"', source)}
    # of the task's image
    found -= {"COMPOSE_RUNNER_VERSION"}
    assert len(found) > 8
    assert [name for name in sorted(found) if f"`{name}`" not in table] == []
