from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from compose_runner import cli, errors
from compose_runner.analysis.compute.checkpoints import CHECKPOINTS
from compose_runner.commands import run
from compose_runner.commands.exit_codes import exit_with_code
from compose_runner.progress import ProgressRecord, Stage
from compose_runner.run import run as run_in_python

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.SpecificationError("no such estimator"), 1),
        (errors.ServiceUnavailableError("studyset s1", "http://x", "no answer"), 75),
        (errors.InterruptedRunError("stopped"), 75),
        (errors.TerminationRequested(), 75),
        (KeyboardInterrupt(), 130),
        (OSError(28, "No space left on device", "results/z.nii.gz"), 1),
        (OSError("a library's own words\nin two lines"), 1),
        (ConnectionResetError(104, "Connection reset by peer"), 75),
        (TimeoutError(), 75),
    ],
)
def test_every_error_ends_in_its_exit_code_and_one_line(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def action() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        exit_with_code(action)
    assert ended.value.code == code
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.startswith("compose-runner: ")
    assert written.err.count("\n") == 1


def make_record(stage: Stage) -> ProgressRecord:
    return ProgressRecord(stage=stage)


def account_at(stage: Stage, result_dir: Path) -> run._RunAccount:
    account = run._RunAccount(str(result_dir))
    account.listening(lambda _: None)(make_record(stage))
    return account


def test_a_run_that_is_stopped_says_how_far_it_was_and_what_is_there(tmp_path: Path) -> None:
    assert "Nothing was computed" in run._RunAccount(str(tmp_path)).stopped()
    assert "Nothing was computed" in account_at(Stage.FETCH, tmp_path).stopped()
    assert "no result yet" in account_at(Stage.FIT, tmp_path).stopped()
    kept = tmp_path / CHECKPOINTS / "mark" / "null.npz"
    kept.parent.mkdir(parents=True)
    kept.touch()
    assert "permutations so far are kept" in account_at(Stage.CORRECT, tmp_path).stopped()
    shutil.rmtree(tmp_path / CHECKPOINTS)
    (tmp_path / "z.nii.gz").touch()
    assert "Maps are in" in account_at(Stage.WRITE, tmp_path).stopped()
    (tmp_path / "metadata.json").touch()
    assert f"compose-runner publish {tmp_path}" in account_at(Stage.PUBLISH, tmp_path).stopped()


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (errors.UploadKeyError("no"), "compose-runner publish 'my results' --nsc-key KEY"),
        (errors.PublishError("no"), "compose-runner publish 'my results'"),
        (errors.ServiceUnavailableError("result", "http://x", "no answer"), "compose-runner publish 'my results'"),
    ],
)
def test_a_failed_upload_says_that_the_result_is_safe_and_how_to_go_on(error: Exception, ending: str) -> None:
    account = account_at(Stage.PUBLISH, Path("my results"))
    assert account.failed(error).startswith("The result is complete in my results.")
    assert account.failed(error).endswith(ending)
    assert account_at(Stage.FIT, Path("my results")).failed(error) == ""


def test_words_of_others_cannot_command_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    def action() -> None:
        raise errors.SelectionError("study \x1b]0;owned\x07 is\nbad")

    with pytest.raises(SystemExit):
        exit_with_code(action)
    assert capsys.readouterr().err == "compose-runner: study \\x1b]0;owned\\x07 is bad\n"


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
    assert CliRunner().invoke(run.run, arguments).exit_code == 2


@pytest.mark.parametrize("command", [[], ["run"], ["publish"]])
def test_help_shows_examples(command: list[str]) -> None:
    shown = CliRunner().invoke(cli.compose_runner, [*command, "--help"])
    assert shown.exit_code == 0
    assert "Example" in shown.output


REPOSITORY = Path(__file__).parents[3]


@pytest.mark.parametrize("command", [["run"], ["submit"], []])
def test_the_first_command_of_a_help_text_publishes_nothing(command: list[str]) -> None:
    shown = CliRunner().invoke(cli.compose_runner, [*command, "--help"]).output
    first = shown.partition("Examples:\n")[2].splitlines()[0]
    assert "--no-upload" in first or "painDemoALE1" in first


def test_the_first_commands_of_the_readme_install_this_runner_and_publish_nothing() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert "pip install compose-runner" not in readme
    assert "'compose-runner[" not in readme
    runs = [line for line in readme.splitlines() if line.startswith(("compose-run ", "compose-runner submit "))]
    assert "--version" in runs[0]
    for line in runs[1:]:
        assert "--no-upload" in line or "--bundle" in line or "painDemoALE1" in line


# what starts a run or a job, in a shell or in Python
STARTS = re.compile(
    r"""(?:^|[`$])\s*compose-run(?:ner\ (?:run|submit))?\ (?!-)[\w"'.<-]+[^`]*
      | (?<![\w.])(?:run|client\.submit)\((?=["'])[^)]*""",
    re.VERBOSE,
)
# what does not publish; the demo's meta-analysis is on a Compose of its own
KEEPS = ("--no-upload", "no_upload=True", "--bundle", "bundle=", "painDemoALE1", "META_ANALYSIS_ID")


def commands_that_publish(text: str) -> list[str]:
    """Commands in a text that make something public, and whose line does not say so."""
    return [
        line.strip()
        for line in text.splitlines()
        for found in STARTS.findall(line)
        if not any(word in found for word in KEEPS) and not re.search("publi[sc]|without", line)
    ]


def shown_texts() -> Iterator[tuple[str, str]]:
    for path in [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md"), *(REPOSITORY / "examples").iterdir()]:
        if path.name != "CHANGELOG.md":
            yield path.name, path.read_text(encoding="utf-8")
    for name in (None, *cli.compose_runner.list_commands(click.Context(cli.compose_runner))):
        yield name or "help", CliRunner().invoke(cli.compose_runner, [*([name] if name else []), "--help"]).output
    yield "run()", str(run_in_python.__doc__)


@pytest.mark.parametrize(("name", "text"), [pytest.param(*one, id=one[0]) for one in shown_texts()])
def test_no_command_that_is_shown_anywhere_publishes_without_saying_so(name: str, text: str) -> None:
    assert commands_that_publish(text) == []


@pytest.mark.parametrize(
    "text",
    [
        *("compose-run YOUR_ID", "$ compose-run abc --n-cores 2", "compose-runner submit YOUR_ID --follow"),
        *("Type `compose-runner run abc`.", 'url, result = run("abc")', 'job = client.submit("abc", n_cores=2)'),
    ],
)
def test_a_command_that_publishes_would_be_found(text: str) -> None:
    assert commands_that_publish(text)


@pytest.mark.parametrize("command", ["run", "submit"])
def test_the_help_of_what_publishes_says_so(command: str) -> None:
    shown = CliRunner().invoke(cli.compose_runner, [command, "--help"]).output.partition("Options:")[0]
    assert "Without --no-upload the result becomes public" in " ".join(shown.split())


def test_the_command_line_and_the_light_part_import_no_numpy() -> None:
    program = (
        "import sys, compose_runner.cli, compose_runner.run, compose_runner.commands.terminal;"
        "import compose_runner.specification.parsing;"
        "print([name for name in ('nimare', 'numpy', 'pandas') if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


@pytest.mark.parametrize("text", ["ShardThresholdSeconds", "=60", ""])
def test_a_parameter_of_the_service_that_is_not_name_and_value_is_refused(text: str) -> None:
    ended = CliRunner().invoke(cli.compose_runner, ["serve", "--parameter", text])
    assert ended.exit_code == 2
    assert "NAME=VALUE" in ended.output
