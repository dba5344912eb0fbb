"""The demo through the embedded service, with a real task: from submit to a report that a browser shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("moto", reason="needs the local extra")

from compose_runner.client.client import Client
from compose_runner.local.demo import studies
from compose_runner.local.demo.compose import DemoCompose
from tests.support import backend_client
from tests.support.browser import look_at_report
from tests.support.running_service import RunningService

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from selenium.webdriver import Chrome

pytestmark = pytest.mark.slow

ITERATIONS = 200
JOB_SECONDS = 300


@pytest.fixture(scope="module")
def compose() -> Iterator[DemoCompose]:
    with DemoCompose(n_iterations=ITERATIONS) as server:
        yield server


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, compose: DemoCompose) -> Iterator[RunningService]:
    hosts = ("--compose-url", compose.url, "--neurostore-url", compose.url)
    with RunningService(tmp_path_factory.mktemp("service"), *hosts, stub=False) as running:
        yield running


@pytest.fixture(scope="module")
def polls(service: RunningService) -> list[backend_client.Poll]:
    """The demo, called as Compose calls it."""
    return backend_client.run(service, studies.META_ANALYSIS_ID, JOB_SECONDS, environment="production", no_upload=False)


@pytest.fixture(scope="module")
def ended(polls: list[backend_client.Poll]) -> dict[str, Any]:
    return polls[-1].status


def test_compose_sees_progress_records_and_the_end(
    polls: list[backend_client.Poll], ended: dict[str, Any], compose: DemoCompose
) -> None:
    assert ended["status"] == "SUCCEEDED", ended
    assert {poll.status["status"] for poll in polls[:-1]} == {"RUNNING"}
    assert any(poll.status.get("progress") for poll in polls)
    for message in ("workflow.start", "workflow.completed", "artifacts.uploaded", "metadata.written"):
        assert message in polls[-1].messages
    assert polls[-1].messages[-1] == "workflow.success"
    assert ended["result"]["result_url"].endswith(f"/meta-analyses/{studies.META_ANALYSIS_ID}")
    (result,) = compose.results.values()
    assert any(name.endswith("_tab-clust.tsv") for name in result["files"])


def test_every_artifact_can_be_downloaded_and_has_its_checksum(
    service: RunningService, ended: dict[str, Any], tmp_path: Path
) -> None:
    client = Client.configured(endpoint=service.endpoint)
    client.download(ended["artifact_prefix"], tmp_path)
    artifacts = {artifact["filename"] for artifact in ended["result"]["artifacts"]}
    assert {"z.nii.gz", "report.html", "boilerplate.txt", "references.bib", "meta_results.pkl"} <= artifacts
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert artifacts | {"metadata.json"} <= found


def test_the_address_of_the_report_opens_in_a_browser_that_asks_nobody_else(
    service: RunningService, ended: dict[str, Any], browser: Chrome
) -> None:
    client = Client.configured(endpoint=service.endpoint)
    (report,) = (one for one in client.results(ended["artifact_prefix"]) if one.path == "report.html")
    answer = service.pool.request("HEAD", report.url)
    assert answer.headers["content-type"].startswith("text/html")
    assert "content-disposition" not in answer.headers

    seen = look_at_report(browser, report.url)

    assert seen.picture_widths
    assert seen.errors == []
    assert {urlsplit(address).netloc for address in seen.addresses} == {urlsplit(report.url).netloc}
    assert report.url in seen.addresses
