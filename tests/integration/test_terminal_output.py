"""Whatever a document or a service says, a terminal shows it: on a pseudo-terminal and on a pipe."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
from rich.console import Console

from compose_runner import cli, errors
from compose_runner.commands import exit_codes
from compose_runner.commands.terminal import records_on
from compose_runner.local.http_server import HttpServer, JsonHandler
from tests.support import hostile_texts

if TYPE_CHECKING:
    from collections.abc import Iterator

COMPOSE_RUNNER = str(Path(sys.executable).with_name("compose-runner"))
PAYLOAD = "".join(hostile_texts.ON_A_TERMINAL)
# what a progress bar and colours need, and nothing that a document could want
_OF_RICH = re.compile(r"\x1b\[(\d+(;\d+)*m|\?25[hl]|\d*A|2K)")
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2066-\u2069\ufeff\U000e0041]")
_RECORD = json.dumps({"message": PAYLOAD, "level": PAYLOAD, PAYLOAD: PAYLOAD, "timestamp": PAYLOAD})
_ENDED = {
    "status": PAYLOAD,
    "artifact_prefix": PAYLOAD,
    "start_time": PAYLOAD,
    "stop_time": PAYLOAD,
    "error": PAYLOAD,
    "progress": {"stage": PAYLOAD, "percent": 3.0, "seconds_left": 5},
    "result": {"result_url": PAYLOAD},
}
_ANSWERS: dict[str, Any] = {
    "status": _ENDED,
    "submit": {"job_id": PAYLOAD, "artifact_prefix": PAYLOAD, "status": "SUBMITTED"},
    "logs": {"events": [{"timestamp": 10**17, "message": _RECORD}, {"timestamp": 1, "message": PAYLOAD}]},
    "results": {"artifacts": [{"key": PAYLOAD, "path": PAYLOAD, "size": 3, "url": PAYLOAD}], "prefix": PAYLOAD},
    "jobs": {"jobs": [{"artifact_prefix": PAYLOAD, "status": PAYLOAD, "name": PAYLOAD, "title": PAYLOAD}]},
    "jobs/job": {"artifact_prefix": PAYLOAD, "status": PAYLOAD, "left": [PAYLOAD]},
    "refused/status": None,
}
_COMMANDS = [
    ["status", "arn:job"],
    ["cancel", "arn:job"],
    ["logs", "job"],
    ["logs", "arn:job", "--follow"],
    ["results", "job"],
    ["results", "job", "--download", "here"],
    ["submit", "abc"],
    ["submit", "abc", "--follow"],
    ["jobs"],
    ["rm", "job"],
]


class _Handler(JsonHandler):
    methods = ("GET", "POST", "DELETE")
    max_body = 1 << 20

    def answer(self) -> None:
        self.body()
        document = _ANSWERS[self.path.strip("/")]
        body = json.dumps({"error": PAYLOAD} if document is None else document).encode()
        self.reply(400 if document is None else 200, {}, body)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with HttpServer(_Handler) as server:
        yield server.endpoint


def _on_a_pipe(arguments: list[str]) -> tuple[str, str]:
    done = subprocess.run([COMPOSE_RUNNER, *arguments], capture_output=True, check=False, timeout=60)
    return done.stdout.decode(), done.stderr.decode()


def _on_a_terminal(arguments: list[str]) -> str:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [COMPOSE_RUNNER, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color"},
    )
    os.close(theirs)
    written = b""
    try:
        while piece := os.read(ours, 65536):
            written += piece
    except OSError:  # the other end is closed
        pass
    process.wait(60)
    os.close(ours)
    return written.decode()


@pytest.fixture(scope="module", autouse=True)
def _runnable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("somewhere"))
    yield
    os.chdir(before)


@pytest.mark.parametrize("arguments", _COMMANDS, ids=" ".join)
@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_no_command_writes_control_characters_of_a_service(endpoint: str, arguments: list[str], as_json: bool) -> None:
    arguments = [*arguments, "--endpoint", endpoint, *(["--json"] if as_json else [])]
    out, err = _on_a_pipe(arguments)
    assert out + err
    assert "Traceback" not in err
    assert _HIDDEN.findall(out + err) == []
    if as_json:
        assert all(isinstance(json.loads(line), dict | list) for line in out.splitlines())
    shown = _on_a_terminal(arguments).replace("\r\n", "\n")
    assert _HIDDEN.findall(_OF_RICH.sub("", shown).replace("\r", "")) == []
    assert ("\x1b[31malarm" in shown) is False


def test_every_command_that_shows_what_a_service_says_is_tried() -> None:
    ours = {"run", "check", "publish", "serve", "completion"}  # texts of documents, and of this machine
    assert {arguments[0] for arguments in _COMMANDS} | ours == set(
        cli.compose_runner.list_commands(click.Context(cli.compose_runner))
    )


def test_a_refusal_in_a_services_words_is_one_visible_line(endpoint: str) -> None:
    out, err = _on_a_pipe(["status", "arn:job", "--endpoint", f"{endpoint}/refused"])
    assert out == ""
    assert err.count("\n") == 1
    assert "[red]alarm[/red]" in err
    assert _HIDDEN.findall(err) == []


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["status", "x", "--endpoint", "nonsense"]
    assert "\x1b[31m" in _on_a_terminal(arguments)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in _on_a_terminal(arguments)


def test_an_error_that_holds_a_text_of_a_document_is_one_visible_line(capsys: pytest.CaptureFixture[str]) -> None:
    def action() -> None:
        raise errors.SelectionError(PAYLOAD)

    with pytest.raises(SystemExit):
        exit_codes.exit_with_code(action)
    written = capsys.readouterr().err
    assert written.count("\n") == 1
    assert _HIDDEN.findall(written) == []


@pytest.mark.parametrize("is_terminal", [False, True])
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_record_holds_a_control_character(log_format: Any, is_terminal: bool) -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=is_terminal, width=300)
    with records_on(stream, log_format, console):
        logging.getLogger("compose_runner.x").warning("study %s", PAYLOAD, extra={"study": PAYLOAD})
        try:
            raise ValueError(PAYLOAD)
        except ValueError:
            logging.getLogger("nimare").exception(PAYLOAD)
    written = stream.getvalue()
    assert "alarm" in written
    assert _HIDDEN.findall(_OF_RICH.sub("", written)) == []
    if log_format == "json":
        assert json.loads(written.splitlines()[0])["study"] == PAYLOAD
