from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from compose_runner import cli, errors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.SpecificationError("no such estimator"), 1),
        (errors.ServiceUnavailableError("studyset s1", "http://x", "no answer"), 75),
        (errors.InterruptedRunError("stopped"), 75),
        (errors.TerminationRequested(), 75),
        (KeyboardInterrupt(), 130),
        (OSError(28, "No space left on device", "results/z.nii.gz"), 1),
    ],
)
def test_every_error_ends_in_its_exit_code_and_one_line(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def action() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        cli.ending_well(action)
    assert ended.value.code == code
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.startswith("compose-runner: ")
    assert written.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["x", "--n-cores", "0"],
        ["x", "--environment", "nowhere"],
        ["x", "--bundle", "/does/not/exist"],
        ["x", "--what"],
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(cli.compose_run, arguments).exit_code == 2


@pytest.mark.parametrize("command", [[], ["run"], ["publish"]])
def test_help_shows_examples(command: list[str]) -> None:
    shown = CliRunner().invoke(cli.compose_runner, [*command, "--help"])
    assert shown.exit_code == 0
    assert "Example" in shown.output


def test_the_command_line_and_the_light_part_import_no_numpy() -> None:
    program = (
        "import sys, compose_runner.cli, compose_runner.run, compose_runner.console, compose_runner.specification;"
        "print([name for name in ('nimare', 'numpy', 'pandas') if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


@pytest.mark.parametrize("text", ["ShardThresholdSeconds", "=60", ""])
def test_a_parameter_of_the_service_that_is_not_name_and_value_is_refused(text: str) -> None:
    ended = CliRunner().invoke(cli.compose_runner, ["serve", "--parameter", text])
    assert ended.exit_code == 2
    assert "NAME=VALUE" in ended.output
