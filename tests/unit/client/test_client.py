from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from compose_runner.client.addresses import ServiceAddresses, SettingsError, addresses
from compose_runner.client.client import Client
from compose_runner.client.download import DownloadError
from compose_runner.client.models import (
    JobExistsError,
    JobUnknownError,
    LogRecord,
    NotAllowedError,
    RequestRefusedError,
    ServiceError,
)
from compose_runner.local.http_server import HttpServer, JsonHandler

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message
    from pathlib import Path


class _Handler(JsonHandler):
    methods = ("GET", "POST", "DELETE")
    max_body = 1 << 20
    service: Service

    def answer(self) -> None:
        status, data = self.service.answer(self.command, self.path.strip("/"), self.headers, self.body())
        self.reply(status, {}, data)


class Service(HttpServer):
    """Answers each function with what a test has planned, in turn; the last answer stays."""

    poll_seconds = 0.01

    def __init__(self) -> None:
        super().__init__(_Handler, service=self)
        self.answers: dict[str, list[tuple[int, Any]]] = {}
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str, dict[str, Any], dict[str, str]]] = []
        self.client = Client.configured(endpoint=self.endpoint)

    def answer(self, method: str, name: str, headers: Message, body: bytes) -> tuple[int, bytes]:
        if name in self.files:
            return 200, self.files[name]
        sent = {key.lower(): value for key, value in headers.items()}
        self.requests.append((method, name, json.loads(body or b"{}"), sent))
        planned = self.answers[name]
        status, document = planned.pop(0) if len(planned) > 1 else planned[0]
        return status, document if isinstance(document, bytes) else json.dumps(document).encode()

    def artifacts(self, **files: bytes) -> None:
        """Offer files, named with ``__`` for a slash."""
        listed = []
        for name, content in files.items():
            path = name.replace("__", "/").replace("_json", ".json")
            self.files[f"store/{path}"] = content
            url = f"{self.endpoint}/store/{path}"
            key = f"results/job/{path}"
            listed.append({"key": key, "filename": path.rpartition("/")[2], "size": len(content), "url": url})
        self.answers["results"] = [(200, {"artifacts": listed, "prefix": "results/job"})]


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as running:
        yield running


def test_submit_sends_only_what_was_given(service: Service) -> None:
    service.answers["submit"] = [(202, {"job_id": "arn:job", "artifact_prefix": "job", "status": "SUBMITTED"})]
    job = service.client.submit("abc", no_upload=True)
    assert (job.job_id, job.artifact_prefix) == ("arn:job", "job")
    method, _, payload, _ = service.requests[0]
    assert method == "POST"
    assert payload == {"meta_analysis_id": "abc", "environment": "production", "no_upload": True}


def test_submit_takes_the_address_of_a_page_for_the_id_and_the_environment(service: Service) -> None:
    service.answers["submit"] = [(202, {"job_id": "arn:job", "artifact_prefix": "job"})]
    service.client.submit("https://staging.synth.neurostore.xyz/projects/p/meta-analyses/abc")
    assert service.requests[0][2] == {"meta_analysis_id": "abc", "environment": "staging", "no_upload": False}


def test_a_job_that_cannot_run_says_why_at_once(service: Service) -> None:
    answer = {"job_id": "arn:job", "artifact_prefix": "job", "status": "SUBMITTED"}
    service.answers["submit"] = [(202, {**answer, "error": "no estimator 'Nonsense'"}), (202, answer)]
    assert service.client.submit("abc").error == "no estimator 'Nonsense'"
    assert service.client.submit("abc").error is None


def test_a_service_that_is_full_may_be_asked_again(service: Service) -> None:
    service.answers["submit"] = [(429, {"status": "FAILED", "error": "The service runs 20 jobs at a time."})]
    with pytest.raises(ServiceError, match="20 jobs at a time") as full:
        service.client.submit("abc")
    assert full.value.exit_code == 75
    assert len(service.requests) == 1


def test_submit_with_an_idempotency_key_sends_it_as_a_header_and_may_be_repeated(service: Service) -> None:
    service.answers["submit"] = [(503, {"error": "busy"}), (202, {"job_id": "arn:job", "artifact_prefix": "job"})]
    assert service.client.submit("abc", idempotency_key="once").job_id == "arn:job"
    assert [headers["idempotency-key"] for *_, headers in service.requests] == ["once", "once"]


def test_submit_without_a_key_is_never_repeated(service: Service) -> None:
    service.answers["submit"] = [(503, {"error": "busy"})]
    with pytest.raises(ServiceError, match="busy"):
        service.client.submit("abc")
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, RequestRefusedError), (403, NotAllowedError), (404, JobUnknownError), (409, JobExistsError)],
)
def test_a_refusal_carries_the_services_words(service: Service, status: int, error: type[RequestRefusedError]) -> None:
    service.answers["status"] = [(status, {"status": "FAILED", "error": "the service's own words"})]
    with pytest.raises(error, match="the service's own words") as raised:
        service.client.status("arn:job")
    assert raised.value.status == status


def test_an_answer_that_is_not_json_is_an_error_of_the_service(service: Service) -> None:
    service.answers["status"] = [(200, b"<html>")]
    with pytest.raises(ServiceError, match="not a JSON object"):
        service.client.status("arn:job")


def test_a_service_that_is_not_there_is_named(service: Service) -> None:
    client = Client.configured(endpoint="http://127.0.0.1:9")
    with pytest.raises(ServiceError, match=r"127\.0\.0\.1:9/submit does not answer"):
        client.submit("abc")


def test_cancel_is_a_delete_on_status(service: Service) -> None:
    service.answers["status"] = [(200, {"status": "FAILED", "artifact_prefix": "job", "error": "stopped"})]
    assert service.client.cancel("arn:job").ended
    assert service.requests[0][:3] == ("DELETE", "status", {"job_id": "arn:job"})


@pytest.mark.parametrize(("job", "sent"), [("arn:a:job", {"job_id": "arn:a:job"}), ("job", {"artifact_prefix": "job"})])
def test_a_job_is_known_by_its_id_or_by_its_name(service: Service, job: str, sent: dict[str, str]) -> None:
    service.answers = {
        "status": [(200, {"status": "SUCCEEDED", "artifact_prefix": "job"})],
        "logs": [(200, {"events": []})],
        "results": [(200, {"artifacts": []})],
    }
    service.client.status(job)
    service.client.cancel(job)
    list(service.client.follow(job))
    service.client.logs(job)
    service.client.results(job)
    assert [payload for _, name, payload, _ in service.requests if name == "status"] == [sent] * 3
    assert {payload["artifact_prefix"] for _, name, payload, _ in service.requests if name != "status"} == {"job"}


def test_jobs_are_listed_with_what_they_are_doing(service: Service) -> None:
    entries = [
        {"artifact_prefix": "a", "status": "RUNNING", "progress": {"stage": "waiting", "jobs_before": 2}},
        {"artifact_prefix": "b", "status": "FAILED", "error": "no studies", "meta_analysis_id": "id1"},
        {"artifact_prefix": "c", "status": "SUCCEEDED", "result_url": "http://x", "name": "Pain", "start_time": "no"},
    ]
    service.answers["jobs"] = [(200, {"jobs": entries})]
    assert [(job.artifact_prefix, job.title, job.result) for job in service.client.jobs()] == [
        ("a", "", "2 before it"),
        ("b", "id1", "no studies"),
        ("c", "Pain", "http://x"),
    ]
    assert service.requests[0][0] == "GET"


def test_a_service_without_a_list_of_jobs_says_so(service: Service) -> None:
    service.answers["jobs"] = [(404, {"error": "there is no function 'jobs'"})]
    with pytest.raises(RequestRefusedError, match="no list of jobs"):
        service.client.jobs()
    with pytest.raises(SettingsError, match="no list of jobs"):
        Client(ServiceAddresses({"submit": "https://x"})).jobs()


def test_logs_follows_every_page(service: Service) -> None:
    page = [{"timestamp": 1, "message": "one"}], [{"timestamp": 2, "message": "two"}]
    service.answers["logs"] = [
        (200, {"events": page[0], "next_token": "more"}),
        (200, {"events": [], "next_token": "still more"}),
        (200, {"events": page[1], "next_token": None}),
    ]
    assert service.client.logs("job", start_time=0) == [LogRecord(1, "one"), LogRecord(2, "two")]
    assert [payload.get("next_token") for _, _, payload, _ in service.requests] == [None, "more", "still more"]


def test_following_gives_each_record_once_and_ends_with_the_job(service: Service) -> None:
    running = {"status": "RUNNING", "artifact_prefix": "job", "start_time": "2026-01-01T00:00:00+00:00"}
    ended = {**running, "status": "SUCCEEDED"}
    first = {"timestamp": 1_767_225_600_000, "message": '{"message": "workflow.start"}'}
    second = {"timestamp": 1_767_225_601_000, "message": '{"message": "workflow.success"}'}
    service.answers["status"] = [(200, running), (503, {}), (200, running), (200, ended)]
    service.answers["logs"] = [
        (200, {"events": [first], "next_token": None}),
        (200, {"events": [first], "next_token": None}),
        (200, {"events": [first, second], "next_token": None}),
    ]
    updates = list(service.client.follow("arn:job", poll_seconds=1, sleep=lambda _: None))
    assert [update.status.status for update in updates] == ["RUNNING", "RUNNING", "SUCCEEDED"]
    messages = [record.fields["message"] for update in updates for record in update.records]
    assert messages == ["workflow.start", "workflow.success"]


def test_following_gives_up_on_a_service_that_stays_away(service: Service) -> None:
    service.answers["status"] = [(500, {"error": "away"})]
    client = service.client
    waits: list[float] = []
    with pytest.raises(ServiceError, match="away"):
        list(client.follow("arn:job", poll_seconds=10, patience_seconds=30, sleep=waits.append))
    assert waits == [10, 10, 10]


def test_a_download_has_the_jobs_folders_and_verified_content(service: Service, tmp_path: Path) -> None:
    table = b"x\ty"
    metadata = {"artifacts": [{"filename": "tables/a.tsv", "sha256": hashlib.sha256(table).hexdigest()}]}
    service.artifacts(**{"tables__a.tsv": table, "metadata_json": json.dumps(metadata).encode()})
    pieces: list[int] = []
    files = service.client.download("job", tmp_path, on_bytes=pieces.append)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in files) == ["metadata.json", "tables/a.tsv"]
    assert (tmp_path / "tables" / "a.tsv").read_bytes() == table
    assert sum(pieces) == len(table) + len(json.dumps(metadata))


def test_a_file_with_another_checksum_is_refused_and_not_kept(service: Service, tmp_path: Path) -> None:
    metadata = {"artifacts": [{"filename": "a.tsv", "sha256": "0" * 64}]}
    service.artifacts(**{"a.tsv": b"changed", "metadata_json": json.dumps(metadata).encode()})
    with pytest.raises(DownloadError, match=r"a\.tsv has another checksum"):
        service.client.download("job", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["metadata.json"]


@pytest.mark.parametrize("path", ["../a", "/etc/a", "b/../../a", "C:/a", "a\\b"])
def test_a_name_that_leads_out_of_the_directory_is_refused(service: Service, tmp_path: Path, path: str) -> None:
    entry = {"key": "results/job/a", "filename": "a", "path": path, "size": 1, "url": f"{service.endpoint}/store/a"}
    service.answers["results"] = [(200, {"artifacts": [entry], "prefix": "results/job"})]
    with pytest.raises(DownloadError, match="leads out of"):
        service.client.download("job", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "path", ["a\0b", "a\x1b[31m", "CON", "nul.tsv", ".bashrc", "a/.ssh/keys", "x" * 300, "a\u202eb", "", "b."]
)
def test_a_name_that_is_none_on_every_system_is_refused(service: Service, tmp_path: Path, path: str) -> None:
    entry = {"key": path, "path": path, "size": 1, "url": f"{service.endpoint}/store/a"}
    service.answers["results"] = [(200, {"artifacts": [entry], "prefix": ""})]
    with pytest.raises(DownloadError):
        service.client.download("job", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("one", "other"), [("a.tsv", "A.TSV"), ("a", "a__b"), ("a.tsv", "a.tsv")])
def test_two_files_of_one_name_are_refused(service: Service, tmp_path: Path, one: str, other: str) -> None:
    entries = [
        {"key": name, "path": name.replace("__", "/"), "size": 1, "url": f"{service.endpoint}/store/{name}"}
        for name in (one, other)
    ]
    service.answers["results"] = [(200, {"artifacts": entries, "prefix": ""})]
    with pytest.raises(DownloadError, match="one file"):
        service.client.download("job", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_symbolic_links_are_not_followed_out_of_the_directory(service: Service, tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "here"
    outside.mkdir()
    folder.mkdir()
    (outside / "kept").write_bytes(b"mine")
    (folder / "figures").symlink_to(outside)
    (folder / "kept").symlink_to(outside / "kept")
    service.artifacts(**{"kept": b"them"})
    with pytest.raises(DownloadError, match="holds other files"):
        service.client.download("job", folder)
    assert (folder / "kept").is_symlink()
    assert (outside / "kept").read_bytes() == b"mine"
    service.artifacts(**{"figures__new": b"theirs"})
    with pytest.raises(DownloadError, match="symbolic link"):
        service.client.download("job", folder)
    assert [path.name for path in outside.iterdir()] == ["kept"]


def with_metadata(**files: bytes) -> dict[str, bytes]:
    """A job's files, and the account that its metadata.json gives of them."""
    listed = [{"filename": name, "sha256": hashlib.sha256(content).hexdigest()} for name, content in files.items()]
    return {**files, "metadata_json": json.dumps({"artifacts": listed}).encode()}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["references.bib", "metadata.json", "figures/own.png", "z.nii.gz"])
@pytest.mark.parametrize("content", [b"mine", b"", b"them", b'{"artifacts": 5}'])
@pytest.mark.parametrize("has_metadata", [True, False])
def test_a_download_replaces_no_file_of_a_person(
    service: Service, tmp_path: Path, name: str, content: bytes, has_metadata: bool
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(content)
    before = contents(tmp_path)
    files = {"references.bib": b"from", "z.nii.gz": b"from", "figures/own.png": b"from"}
    answer = with_metadata(**files) if has_metadata or name == "metadata.json" else files
    service.artifacts(**{path.replace("/", "__"): data for path, data in answer.items()})
    with pytest.raises(DownloadError, match=name):
        service.client.download("job", tmp_path)
    after = contents(tmp_path)
    assert {path: after[path] for path in before} == before
    if has_metadata or len(content) != len(b"from"):
        assert after == before


def test_a_download_replaces_what_the_one_before_put_there_unless_it_was_changed(
    service: Service, tmp_path: Path
) -> None:
    service.artifacts(**with_metadata(a=b"first", b=b"first"))
    service.client.download("job", tmp_path)
    service.artifacts(**with_metadata(a=b"next", b=b"next"))
    service.client.download("job", tmp_path)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == b"next"
    # the same again: what is there is kept
    service.artifacts(**with_metadata(a=b"next", b=b"next"))
    service.client.download("job", tmp_path)
    (tmp_path / "b").write_bytes(b"with my notes")
    before = contents(tmp_path)
    service.artifacts(**with_metadata(a=b"third", b=b"third"))
    with pytest.raises(DownloadError, match="of this job's files: b"):
        service.client.download("job", tmp_path)
    assert contents(tmp_path) == before


def test_no_more_is_kept_of_a_file_than_the_service_announced(service: Service, tmp_path: Path) -> None:
    service.artifacts(**{"a.tsv": b"x" * 1000})
    service.answers["results"][0][1]["artifacts"][0]["size"] = 10
    with pytest.raises(DownloadError, match="more than the 10 bytes"):
        service.client.download("job", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_job_without_files_is_an_error(service: Service, tmp_path: Path) -> None:
    service.artifacts()
    with pytest.raises(DownloadError, match="no files"):
        service.client.download("job", tmp_path)


def test_an_endpoint_comes_before_everything_else(tmp_path: Path) -> None:
    found = addresses("http://here/", None, {"COMPOSE_RUNNER_SUBMIT_URL": "http://there"})
    assert found.function_url("submit") == "http://here/submit"


def test_single_addresses_come_from_the_environment(tmp_path: Path) -> None:
    found = addresses(None, None, {"COMPOSE_RUNNER_SUBMIT_URL": "http://there"})
    assert found.function_url("submit") == "http://there"
    with pytest.raises(SettingsError, match="COMPOSE_RUNNER_STATUS_URL"):
        found.function_url("status")


def test_a_profile_gives_addresses_and_how_to_sign(tmp_path: Path) -> None:
    file = tmp_path / "profiles.toml"
    file.write_text('[lab]\nsubmit = "https://a.lambda-url.eu-west-1.on.aws/"\nauth = "iam"\n')
    variables = {"COMPOSE_RUNNER_PROFILES": str(file)}
    assert addresses(None, "lab", variables).sign
    with pytest.raises(SettingsError, match="no profile other"):
        addresses(None, "other", variables)
    file.write_text('[lab]\nsubmitt = "x"\n')
    with pytest.raises(SettingsError, match="submitt"):
        addresses(None, "lab", variables)
    file.write_text("[lab")
    with pytest.raises(SettingsError, match="cannot be read"):
        addresses(None, "lab", variables)


def test_nothing_configured_means_the_embedded_service(tmp_path: Path) -> None:
    found = addresses(None, None, {"COMPOSE_RUNNER_PROFILES": str(tmp_path / "none")})
    assert found.function_url("logs") == "http://127.0.0.1:8642/logs"


def test_requests_are_signed_for_lambda_in_the_region_of_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    url = "https://abc.lambda-url.eu-west-1.on.aws/"
    headers = ServiceAddresses({"submit": url}, sign=True).signed("POST", url, b"{}", {"Content-Type": "a/b"})
    assert headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert "/eu-west-1/lambda/aws4_request" in headers["Authorization"]
    assert "not-a-secret" not in str(headers)


def test_an_address_without_a_region_cannot_be_signed_for() -> None:
    with pytest.raises(SettingsError, match="region"):
        ServiceAddresses({}, sign=True).signed("POST", "https://example.org/", b"", {})
