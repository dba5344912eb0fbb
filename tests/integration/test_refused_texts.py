"""A word of a document that cannot be computed with is shown where the run's end is told, and executed nowhere."""

from __future__ import annotations

import io
import json
import logging
import re
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from compose_runner.analysis import stages
from compose_runner.analysis.fetch.bundle_files import load_bundle
from compose_runner.analysis.write.result_directory import ResultDirectory
from compose_runner.commands.exit_codes import exit_with_code
from compose_runner.commands.terminal import records_on
from compose_runner.compose.environments import environment_named
from compose_runner.errors import ComposeRunnerError
from compose_runner.progress import Progress
from compose_runner.service.contract import StatusReply, StatusRequest
from compose_runner.service.failure import explain_failure
from compose_runner.service.lambda_http import serves
from compose_runner.service.operations import STATUS
from compose_runner.service.ports import Execution
from compose_runner.specification.parsing import parse_specification
from tests.support import hostile_texts, synthetic
from tests.support.hostile_documents import Field, fields, good_bundle, with_value

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from selenium.webdriver import Chrome

PAYLOADS = (*hostile_texts.IN_HTML, *hostile_texts.ON_A_TERMINAL)
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2066-\u2069\ufeff\U000e0041\ud800-\udfff]")


def _bundle(folder: Path, image_based: bool) -> dict[str, Any]:
    document = good_bundle(image_based)
    # one study with one map, so that nothing is left where it cannot be used
    study = document["studyset"]["studies"][0]
    study["analyses"][0]["images"] = []
    studyset = synthetic.with_maps({**document["studyset"], "studies": [study]}, folder / "maps", kinds=["z"])
    studyset["studies"][0]["analyses"][0]["images"][0]["url"] = None
    return {**document, "studyset": studyset, "annotation": synthetic.annotated(studyset)}


def _words(document: dict[str, Any]) -> list[tuple[Field, str]]:
    """Fields at which a document says what it is, and objects in which a word is a name."""
    parts = {name: document[name] for name in ("studyset", "annotation", "specification")}
    found = [field for field in fields(parts) if hostile_texts.WORDS.intersection(field)]
    named = [field for field in found if isinstance(_at(document, field), dict)]
    return [*((field, "value") for field in found), *((field, "name") for field in named)]


def _at(document: Any, field: Field) -> Any:
    for step in field:
        document = document[step]
    return document


def _poisoned(document: dict[str, Any], field: Field, role: str, payload: str) -> dict[str, Any]:
    before = _at(document, field)
    value = {**before, payload: 1} if role == "name" else f"{payload}{before}" if isinstance(before, str) else payload
    poisoned: dict[str, Any] = with_value(document, field, value)
    return poisoned


def _refusal(folder: Path, document: dict[str, Any]) -> ComposeRunnerError | None:
    """Why a run ends before it computes; None where it goes on."""
    path = folder / "bundle.json"
    path.write_text(json.dumps(document))
    try:
        inputs = load_bundle(path)
        specification = parse_specification(inputs.specification)
        stages.select_studies(
            inputs, specification, environment_named("local"), ResultDirectory(folder / "results"), Progress()
        )
    except ComposeRunnerError as error:
        return error
    return None


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], list[ComposeRunnerError]]:
    """Of each word of a document, why each of the payloads in its place is refused."""
    folder = tmp_path_factory.mktemp("words")
    found: dict[tuple[str, str], list[ComposeRunnerError]] = {}
    for image_based in (False, True):
        document = _bundle(folder, image_based)
        assert _refusal(folder, document) is None
        for field, role in _words(document):
            # a word with which a run goes on is shown in its results
            for payload in PAYLOADS:
                error = _refusal(folder, _poisoned(document, field, role, payload))
                if error is None:
                    break
                found.setdefault((".".join(map(str, field)), role), []).append(error)
    return found


def test_the_words_that_are_refused_are_those_of_every_kind(refusals: dict[tuple[str, str], Any]) -> None:
    ended = {f"{field} as a {role}" for field, role in refusals}
    assert {
        "specification.type as a value",
        "specification.estimator.type as a value",
        "specification.corrector.type as a value",
        "specification.estimator.args as a name",
        "specification.corrector.args.method as a value",
        "annotation.note_keys as a value",
        "studyset.studies.0.analyses.0.images.0.value_type as a value",
        "studyset.studies.0.analyses.0.images.0.filename as a value",
    } <= ended


def test_a_refusal_is_one_visible_line_on_a_terminal(
    refusals: dict[tuple[str, str], list[ComposeRunnerError]], capsys: pytest.CaptureFixture[str]
) -> None:
    for error in (error for errors in refusals.values() for error in errors):

        def action(error: ComposeRunnerError = error) -> None:
            raise error

        with pytest.raises(SystemExit):
            exit_with_code(action)
        written = capsys.readouterr().err
        assert written.count("\n") == 1
        assert _HIDDEN.findall(written) == []


def test_a_refusal_is_one_visible_record_of_a_log(refusals: dict[tuple[str, str], list[ComposeRunnerError]]) -> None:
    stream = io.StringIO()
    with records_on(stream, "json", None):
        for error in (error for errors in refusals.values() for error in errors):
            logging.getLogger("compose_runner").error("workflow.failed", extra={"error": str(error)})
    lines = stream.getvalue().splitlines()
    assert [json.loads(line)["error"] for line in lines] == [str(e) for errors in refusals.values() for e in errors]
    assert _HIDDEN.findall("".join(lines)) == []


def _status(error: str) -> dict[str, Any]:
    """What the function answers about a job that ended with an error."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    cause = json.dumps({"error": error})
    execution = Execution(
        job_id="arn:job", name="job", status="FAILED", started=moment, stopped=moment, error="JobFailed", cause=cause
    )

    @serves(STATUS)
    def handler(request: StatusRequest, _call: Any) -> StatusReply:
        return StatusReply(
            job_id=request.job_id,
            artifact_prefix="job",
            status="FAILED",
            execution_status="FAILED",
            start_time=moment,
            output={},
            error=explain_failure(execution, None),
            cause=cause,
        )

    answer: dict[str, Any] = handler(
        {"requestContext": {"http": {"method": "GET"}}, "rawQueryString": "job_id=arn%3Ajob"}, None
    )
    assert answer["statusCode"] == 200
    return answer


def test_a_refusal_in_a_status_is_json_and_says_what_the_error_says(
    refusals: dict[tuple[str, str], list[ComposeRunnerError]],
) -> None:
    for error in (error for errors in refusals.values() for error in errors):
        answer = _status(str(error))
        assert answer["headers"]["Content-Type"] == "application/json"
        assert json.loads(answer["body"])["error"] == str(error)[:2000].strip()


@pytest.fixture
def page() -> Iterator[tuple[str, dict[str, Any]]]:
    """An address, and the answer of a function that is given there."""
    answer: dict[str, Any] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = answer["body"].encode()
            self.send_response(answer["statusCode"])
            for name, value in {**answer["headers"], "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/", answer
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.slow
def test_a_browser_that_opens_a_status_shows_the_refusals_and_runs_none(
    refusals: dict[tuple[str, str], list[ComposeRunnerError]], browser: Chrome, page: tuple[str, dict[str, Any]]
) -> None:
    address, answer = page
    for errors in refusals.values():
        answer |= _status(" ".join(hostile_texts.IN_HTML) + " " + " ".join(map(str, errors)))
        browser.get(address)
        assert browser.current_url == address
        assert browser.execute_script(f"return document.documentElement.hasAttribute('{hostile_texts.MARK}')") is False
        assert hostile_texts.IN_HTML[4] in json.loads(browser.execute_script("return document.body.innerText"))["error"]
        assert browser.execute_script("return document.querySelectorAll('script, iframe, img, svg, a').length") == 0
