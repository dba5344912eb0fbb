"""What the gateway answers besides the functions: pages to browsers and JSON to everyone else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import urllib3

from tests.support.pages_service import PagesService, job_id, reply

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
TOKEN = "a long random text"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[PagesService]:
    with PagesService(tmp_path) as running:
        running.keep("job", metadata={"name": "Pain", "artifact_prefix": "job"})
        running.replies["job"] = [reply("job")]
        yield running


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[PagesService]:
    with PagesService(tmp_path, TOKEN) as running:
        running.keep("job")
        running.replies["job"] = [reply("job")]
        yield running


def ask(
    service: PagesService, path: str, method: str = "GET", body: bytes = b"", headers: Mapping[str, str] | None = None
) -> Any:
    return urllib3.request(
        method,
        f"{service.endpoint}{path}",
        body=body or None,
        headers=headers,
        redirect=False,
        retries=False,
    )


def test_the_root_is_json_for_everyone_but_a_browser(service: PagesService) -> None:
    for accept in (None, {"Accept": "*/*"}, {"Accept": "application/json"}):
        answer = ask(service, "/", headers=accept)
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        assert set(answer.json()) == {"submit", "status", "results"}
    assert ask(service, "/", headers=BROWSER).headers["content-type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("path", ["/", "/docs", "/status", f"/status/jobs/{job_id('job')}", "/status/jobs/anything"])
def test_a_page_comes_with_a_policy_and_is_kept_nowhere(service: PagesService, path: str) -> None:
    answer = ask(service, path, headers=BROWSER)

    assert answer.status == 200
    assert answer.data.startswith(b"<!doctype html>")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-frame-options"] == "DENY"
    assert service.asked == []  # nothing was asked for it


@pytest.mark.parametrize("path", ["/submit", "/results", "/nothing", "/docs/more", "/health/more"])
def test_what_is_no_page_is_json_for_a_browser_as_well(service: PagesService, path: str) -> None:
    answer = ask(service, path, headers=BROWSER)

    assert answer.headers["content-type"] == "application/json"


def test_the_documentation_has_no_script_and_every_operation(service: PagesService) -> None:
    page = ask(service, "/docs").data.decode()
    document = ask(service, "/openapi.json").json()

    assert "<script" not in page
    assert "http://www." not in page
    for methods in document["paths"].values():
        for operation in methods.values():
            assert f'id="{operation["operationId"]}"' in page
    for name in document["components"]["schemas"]:
        assert f'id="schema-{name}"' in page


def test_health_answers_whoever_asks(locked: PagesService) -> None:
    assert ask(locked, "/health").json() == {"status": "ok"}


def test_jobs_are_listed_and_told_by_name_and_by_id(service: PagesService) -> None:
    (entry,) = ask(service, "/jobs").json()["jobs"]
    assert (entry["artifact_prefix"], entry["name"], entry["status"]) == ("job", "Pain", "SUCCEEDED")
    assert entry["status_url"] == f"/status/jobs/{job_id('job')}"
    for job in ("job", job_id("job")):
        assert ask(service, f"/jobs/{job}").json() == reply("job") | {"start_time": "2026-06-01T10:00:00Z"}
    assert ask(service, "/jobs/other").status == 404


def test_a_browser_is_led_to_the_page_of_a_job(service: PagesService) -> None:
    for job in ("job", job_id("job")):
        answer = ask(service, f"/jobs/{job}", headers=BROWSER)
        assert (answer.status, answer.headers["location"]) == (303, f"/status/jobs/{job_id('job')}")
    assert ask(service, "/jobs", headers=BROWSER).headers["location"] == "/"
    # never away from here, and in one line
    for path in ("/jobs//evil.example/", "/jobs/%0d%0aSet-Cookie:%20a=b", "/jobs/%5cevil.example"):
        answer = ask(service, path, headers=BROWSER)
        assert answer.headers["location"].startswith("/status/jobs/")
        assert "set-cookie" not in answer.headers


def test_a_job_that_ended_is_removed_and_one_that_runs_is_not(service: PagesService) -> None:
    service.keep("runs", "RUNNING")
    assert ask(service, "/jobs/runs", "DELETE").status == 409
    assert ask(service, "/jobs/nothing", "DELETE").status == 404
    assert ask(service, "/jobs/..%2Fjobs", "DELETE").status == 400
    assert ask(service, "/jobs/arn:other:job", "DELETE").status == 400
    assert ask(service, f"/jobs/{job_id('job')}", "DELETE").json() == {
        "artifact_prefix": "job",
        "status": "REMOVED",
        "left": [],
    }
    assert [one["artifact_prefix"] for one in ask(service, "/jobs").json()["jobs"]] == ["runs"]


@pytest.mark.parametrize(
    ("path", "method"),
    [("/bundles", "GET"), ("/bundles", "PUT"), ("/jobs", "POST"), ("/jobs", "OPTIONS"), ("/openapi.json", "POST")],
)
def test_a_method_that_is_none_is_refused(service: PagesService, path: str, method: str) -> None:
    answer = ask(service, path, method)

    assert answer.status == 405
    assert answer.headers["allow"]


def test_a_bundle_becomes_a_job_or_a_sentence(service: PagesService) -> None:
    answer = ask(service, "/bundles?artifact_prefix=mine", "POST", b'{"a": 1}')
    assert (answer.status, answer.json()["artifact_prefix"]) == (202, "mine")
    assert service.sent == [(b'{"a": 1}', "mine")]
    refused = ask(service, "/bundles", "POST", b"wrong")
    assert (refused.status, refused.json()["status"]) == (400, "FAILED")


def test_a_bundle_that_says_it_is_too_large_is_not_read(service: PagesService) -> None:
    answer = ask(service, "/bundles", "POST", b"{}", headers={"Content-Length": str(129 << 20)})

    assert answer.status == 413
    assert service.sent == []


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/", "GET"),
        ("/jobs", "GET"),
        ("/jobs/job", "GET"),
        ("/jobs/job", "DELETE"),
        ("/openapi.json", "GET"),
        ("/bundles", "POST"),
        ("/submit", "POST"),
        ("/status", "POST"),
        (f"/status/jobs/{job_id('job')}", "GET"),
        ("/docs", "POST"),
        ("/health", "DELETE"),
    ],
)
def test_all_but_the_pages_needs_the_token(locked: PagesService, path: str, method: str) -> None:
    assert ask(locked, path, method, b"{}" if method == "POST" else b"").status == 401
    assert ask(locked, path, method, headers={"Authorization": "Bearer wrong"}).status == 401
    assert not (locked.asked)
    assert not (locked.sent)
    assert not (locked.submitted)
    assert locked.directory.jobs.knows("job")


@pytest.mark.parametrize("path", ["/", "/docs", f"/status/jobs/{job_id('job')}"])
def test_a_page_needs_no_token_and_holds_nothing_of_a_job(locked: PagesService, path: str) -> None:
    answer = ask(locked, path, headers=BROWSER)

    assert answer.status == 200
    assert b"abc123" not in answer.data
    assert TOKEN.encode() not in answer.data
    assert locked.asked == []


FOREIGN = (
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Referer": "https://evil.example/"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    {"Host": "evil.example"},
)


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/", "GET"),
        ("/docs", "GET"),
        ("/health", "GET"),
        ("/openapi.json", "GET"),
        ("/jobs", "GET"),
        ("/jobs/job", "DELETE"),
        ("/bundles", "POST"),
        (f"/status/jobs/{job_id('job')}", "GET"),
    ],
)
def test_a_page_of_another_site_gets_and_does_nothing(
    service: PagesService, path: str, method: str, headers: dict[str, str]
) -> None:
    answer = urllib3.request(
        method, f"{service.endpoint}{path}", body=b"{}", headers={**BROWSER, **headers}, redirect=False, retries=False
    )

    assert answer.status == 403
    assert json.loads(answer.data)["status"] == "FAILED"
    assert not (service.asked)
    assert not (service.sent)
    assert service.directory.jobs.knows("job")


def test_the_pages_own_requests_are_let_in(service: PagesService) -> None:
    own = {"Origin": service.endpoint, "Sec-Fetch-Site": "same-origin", "Referer": f"{service.endpoint}/"}

    assert urllib3.request("POST", f"{service.endpoint}/bundles", body=b"{}", headers=own).status == 202
    assert urllib3.request("DELETE", f"{service.endpoint}/jobs/job", headers=own).status == 200
