"""Who must not get in: pages of other sites, names that point here, and everybody who does not know the secret.

Every port is tried on which the service's process tree listens, whichever it is.
"""

from __future__ import annotations

import http.client
import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("moto", reason="needs the local extra")

from benchmarks.processes import process_tree
from compose_runner.local.demo import studies
from tests.support.listening_ports import listening_ports
from tests.support.running_service import RunningService

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selenium.webdriver import Chrome

NOW = datetime.now(UTC)
ECS = "AmazonEC2ContainerServiceV20141113"
JSON_TARGETS = (
    f"{ECS}.ListTaskDefinitions",
    f"{ECS}.RunTask",
    f"{ECS}.RegisterTaskDefinition",
    "AWSStepFunctions.ListStateMachines",
    "AWSStepFunctions.StartExecution",
    "Logs_20140328.DescribeLogGroups",
    "AmazonSSM.GetParametersByPath",
)
MOTO_PAGES = ("/moto-api/", "/moto-api/data.json", "/moto-api/reset", "//moto-api/reset", "/%6doto-api/reset")


def credential(service: str, key: str = "EMBEDDED") -> str:
    return f"{key}/{NOW:%Y%m%d}/us-east-1/{service}/aws4_request"


def signed(service: str, **headers: str) -> dict[str, str]:
    """Headers of a request that somebody signed without knowing the secret."""
    return {
        "Authorization": f"AWS4-HMAC-SHA256 Credential={credential(service)}, SignedHeaders=host;x-amz-date, "
        f"Signature={'0' * 64}",
        "X-Amz-Date": f"{NOW:%Y%m%dT%H%M%SZ}",
        **headers,
    }


def presigned(path: str, when: datetime = NOW, signature: str = "0" * 64, key: str = "EMBEDDED") -> str:
    return (
        f"{path}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential('s3', key).replace('/', '%2F')}"
        f"&X-Amz-Date={when:%Y%m%dT%H%M%SZ}&X-Amz-Expires=3600&X-Amz-SignedHeaders=host&X-Amz-Signature={signature}"
    )


def attempts(job: dict[str, Any], bucket: str) -> Iterator[tuple[str, str, dict[str, str], bytes]]:
    """What somebody would try who knows everything but the secret."""
    prefix = job["artifact_prefix"]
    for target in JSON_TARGETS:
        service = {"Am": "ecs", "AW": "states", "Lo": "logs"}[target[:2]]
        yield (
            "POST",
            "/",
            signed(service, **{"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.1"}),
            b"{}",
        )
        yield "POST", "/", {"X-Amz-Target": target, "Content-Type": "text/plain"}, b"{}"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    yield "POST", "/", signed("ec2", **form), b"Action=DescribeSubnets&Version=2016-11-15"
    yield "POST", "/", signed("sts", **form), b"Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=a"
    for page in MOTO_PAGES:
        yield "GET", page, {}, b""
        yield "POST", page, {}, b""
    for method in ("GET", "PUT", "DELETE", "HEAD"):
        yield method, f"/{bucket}/compose-runner/results/{prefix}/metadata.json", {}, b""
        yield method, f"/{bucket}/compose-runner/results/{prefix}/metadata.json", signed("s3"), b""
    for when in (NOW, NOW - timedelta(days=1)):
        yield "GET", presigned(f"/{bucket}/compose-runner/results/{prefix}/metadata.json", when), {}, b""
    yield "POST", "/submit", {"Content-Type": "text/plain"}, b'{"meta_analysis_id": "stolen"}'
    yield "POST", "/submit", {"Content-Type": "application/json"}, b'{"meta_analysis_id": "stolen"}'
    yield "GET", "/submit?meta_analysis_id=stolen", {}, b""
    yield "HEAD", "/submit?meta_analysis_id=stolen", {}, b""
    yield "GET", f"/results?artifact_prefix={prefix}", {}, b""
    yield "GET", f"/status?job_id={job['job_id']}", {}, b""
    yield "DELETE", f"/status?job_id={job['job_id']}", {}, b""
    yield "GET", f"/api/meta-analyses/{studies.META_ANALYSIS_ID}", {}, b""
    yield "POST", "/api/meta-analysis-results", {}, b"{}"
    for method in ("OPTIONS", "TRACE", "PROPFIND"):
        yield method, "/", {"Access-Control-Request-Method": "POST"}, b""


def foreign(port: int) -> Iterator[dict[str, str]]:
    """What a browser adds when a page of another site asks, and the name by which a page could have come here."""
    own = {"Host": f"127.0.0.1:{port}"}
    for origin in (
        "https://evil.example",
        "null",
        f"http://localhost:{port}",
        "http://127.0.0.1",
        "http://127.0.0.1:1",
    ):
        yield {**own, "Origin": origin}
    for site in ("cross-site", "same-site"):
        yield {**own, "Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
        yield {**own, "Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
    yield {**own, "Referer": "https://evil.example/page"}
    for name in (f"evil.example:{port}", "evil.example", f"127.0.0.1.evil.example:{port}", f"10.1.2.3:{port}", ""):
        yield {"Host": name}


def ask(port: int, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.putrequest(method, target, skip_host="Host" in headers, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        if body or method in ("POST", "PUT"):
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)
        answer = connection.getresponse()
        answer.read()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}
    finally:
        connection.close()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with RunningService(tmp_path_factory.mktemp("service"), "--demo") as running:
        yield running


@pytest.fixture(scope="module")
def job(service: RunningService) -> dict[str, Any]:
    submitted = service.submit(studies.META_ANALYSIS_ID, artifact_prefix="mine")
    service.wait_for(submitted["job_id"])
    return submitted


@pytest.fixture(scope="module")
def ports(service: RunningService, job: dict[str, Any]) -> list[int]:
    assert service.process is not None
    found = listening_ports(service.process.pid)
    assert len(found) == 4  # addresses, artifacts, AWS, the demo's Compose
    return found


@pytest.fixture(scope="module")
def artifact(service: RunningService, job: dict[str, Any]) -> Any:
    answer = service.post("results", artifact_prefix=job["artifact_prefix"]).document
    return next(one for one in answer["artifacts"] if one["filename"] == "metadata.json")


def list_jobs(service: RunningService) -> list[str]:
    return sorted(path.name for path in (service.data / "jobs").glob("*"))


def test_pages_of_other_sites_and_other_names_are_refused_on_every_port(
    service: RunningService, ports: list[int], job: dict[str, Any], artifact: dict[str, Any]
) -> None:
    bucket = urlsplit(artifact["url"]).path.split("/")[1]
    valid = urlsplit(artifact["url"])
    before = list_jobs(service)
    for port in ports:
        for method, target, headers, body in (
            *attempts(job, bucket),
            ("GET", f"{valid.path}?{valid.query}", {}, b""),
        ):
            for added in foreign(port):
                status, answered = ask(port, method, target, {**headers, **added}, body)
                assert status in (403, 405), (port, method, target, added, status)
                assert not [name for name in answered if name.startswith("access-control")]
    assert list_jobs(service) == before


def test_ports_that_are_not_for_clients_answer_nobody_without_the_secret(
    service: RunningService, ports: list[int], job: dict[str, Any], artifact: dict[str, Any]
) -> None:
    before = list_jobs(service)
    # the demo's Compose tells everybody its one meta-analysis, and no other port does
    path = f"/api/meta-analyses/{studies.META_ANALYSIS_ID}"
    open_to_clients = [port for port in ports if ask(port, "GET", path, {}, b"")[0] == 200]
    closed = [port for port in ports if port not in (urlsplit(service.endpoint).port, *open_to_clients)]
    assert len(closed) == 2
    bucket = urlsplit(artifact["url"]).path.split("/")[1]
    for port in closed:
        for method, target, headers, body in attempts(job, bucket):
            status, answered = ask(port, method, target, headers, body)
            assert status >= 400, (port, method, target, status)
            assert not [name for name in answered if name.startswith("access-control")]
    assert list_jobs(service) == before


def test_an_artifacts_address_opens_one_object_on_its_own_port_only(
    service: RunningService, ports: list[int], artifact: dict[str, Any]
) -> None:
    url = urlsplit(artifact["url"])
    assert url.port != urlsplit(service.endpoint).port
    target = f"{url.path}?{url.query}"
    assert url.port is not None
    status, answered = ask(url.port, "GET", target, {}, b"")
    assert status == 200
    assert "sandbox allow-scripts" in answered["content-security-policy"]
    assert answered["x-content-type-options"] == "nosniff"
    assert answered["cross-origin-resource-policy"] == "same-origin"
    assert answered["referrer-policy"] == "no-referrer"
    for other in ports:
        if other != url.port:
            assert ask(other, "GET", target, {}, b"")[0] >= 400
    changed = {
        "key": target.replace("metadata.json", "tables/z_tab-clust.tsv"),
        "time": target.replace("X-Amz-Expires=900", "X-Amz-Expires=604800"),
        "signature": target[:-1] + ("0" if target[-1] != "0" else "1"),
        "twice": f"{target}&X-Amz-Expires=604800",
        "no signature": target.split("?")[0],
    }
    for what, other_target in changed.items():
        assert other_target != target, what
        assert ask(url.port, "GET", other_target, {}, b"")[0] == 403, what
    for method in ("PUT", "POST", "DELETE", "OPTIONS"):
        assert ask(url.port, method, target, {}, b"")[0] == 405
    part, headers = ask(url.port, "GET", target, {"Range": "bytes=0-3"}, b"")
    assert (part, headers["content-length"]) == (206, "4")


def test_the_secret_stands_in_environments_only(service: RunningService, job: dict[str, Any]) -> None:
    assert service.process is not None
    secrets = set()
    command_lines = b""
    for process in process_tree(service.process.pid):
        command_lines += Path(f"/proc/{process}/cmdline").read_bytes()
        for line in Path(f"/proc/{process}/environ").read_bytes().split(b"\0"):
            if line.startswith(b"AWS_SECRET_ACCESS_KEY="):
                secrets.add(line.partition(b"=")[2])
    (secret,) = secrets
    assert len(secret) > 30
    assert secret not in command_lines
    assert secret.decode() not in service.log
    kept = [path for path in service.data.rglob("*") if path.is_file()]
    assert kept
    assert not [path for path in kept if secret in path.read_bytes()]


PAGE = b"<!doctype html><title>a page of another site</title><body>"
# everything that a page can do without a person's help
SCRIPT = """
const [ports, id, done] = arguments;
const read = [];
const body = JSON.stringify({meta_analysis_id: id, artifact_prefix: 'from-a-page'});
const settle = (element, add) => new Promise((resolve) => {
  element.onload = () => resolve(true); element.onerror = () => resolve(false); add(); setTimeout(resolve, 3000); });
(async () => {
  for (const host of ['127.0.0.1', 'localhost']) for (const port of ports) {
    const base = `http://${host}:${port}`;
    const get = `${base}/submit?meta_analysis_id=${id}&artifact_prefix=from-a-page`;
    for (const url of [get, base + '/', base + '/results?artifact_prefix=mine', base + '/moto-api/data.json',
                       `${base}/api/meta-analyses/${id}`]) {
      for (const options of [{}, {mode: 'no-cors'}, {method: 'POST', body}, {method: 'POST', mode: 'no-cors', body},
          {method: 'POST', body, headers: {'Content-Type': 'application/json'}},
          {method: 'POST', body: '{}', headers: {'X-Amz-Target': 'AmazonEC2ContainerServiceV20141113.RunTask',
           'Content-Type': 'application/x-amz-json-1.1', 'Authorization': 'AWS4-HMAC-SHA256 Credential=x'}}]) {
        try { const text = await (await fetch(url, options)).text(); if (text) read.push([url, options, text]); }
        catch (error) { /* what should happen */ }
      }
      const image = new Image();
      if (await settle(image, () => { image.src = url; }) && image.naturalWidth) read.push([url, 'image']);
    }
    const frame = document.createElement('iframe');
    frame.name = 'target' + port;
    await settle(frame, () => { frame.src = get; document.body.append(frame); });
    const form = document.createElement('form');
    Object.assign(form, {method: 'POST', action: base + '/submit', target: frame.name, enctype: 'text/plain'});
    const field = document.createElement('input');
    Object.assign(field, {name: body.slice(0, -1) + ', "x": "', value: '"}'});
    form.append(field);
    document.body.append(form);
    await settle(frame, () => form.submit());
    try { if (frame.contentDocument.body.innerText) read.push([base, 'frame']); } catch (error) { /* as it should */ }
  }
  done(read);
})();
"""


class _OtherSite(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def other_site() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _OtherSite)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.mark.slow
def test_a_page_of_another_site_starts_and_reads_nothing_in_a_browser(
    service: RunningService, ports: list[int], other_site: int, browser: Chrome
) -> None:
    before = list_jobs(service)
    browser.set_script_timeout(120)
    for host in ("localhost", "127.0.0.1"):
        browser.get(f"http://{host}:{other_site}/")
        assert browser.execute_async_script(SCRIPT, ports, studies.META_ANALYSIS_ID) == []
    assert list_jobs(service) == before
    # the same request from a client is served
    service.submit(studies.META_ANALYSIS_ID, artifact_prefix="from-a-client")
    assert list_jobs(service) == sorted([*before, "from-a-client.json"])


@pytest.mark.slow
def test_an_artifact_that_is_opened_reaches_no_port(service: RunningService, ports: list[int], browser: Chrome) -> None:
    before = list_jobs(service)
    folder = service.data / "artifacts" / "with-a-page"
    folder.mkdir()
    (folder / "page.html").write_bytes(PAGE)
    (page,) = service.post("results", artifact_prefix="with-a-page").document["artifacts"]
    browser.get(page["url"])
    assert browser.title == "a page of another site"
    assert browser.execute_script("return window.origin") == "null"
    browser.set_script_timeout(120)
    assert browser.execute_async_script(SCRIPT, ports, studies.META_ANALYSIS_ID) == []
    assert list_jobs(service) == before


def test_a_token_is_wanted_of_every_request_and_shown_nowhere(tmp_path: Path) -> None:
    token = "a-token-that-nobody-knows"
    with RunningService(tmp_path, "--demo", "--host", "0.0.0.0", COMPOSE_RUNNER_TOKEN=token) as running:
        port = urlsplit(running.endpoint).port
        assert port is not None
        assert running.process is not None
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": token}, {"Authorization": "Bearer "}):
            for method, target, body in (
                ("GET", "/", b""),
                ("POST", "/submit", b'{"meta_analysis_id": "x"}'),
                ("GET", "/results?artifact_prefix=x", b""),
                ("OPTIONS", "/submit", b""),
            ):
                assert ask(port, method, target, headers, body)[0] == 401
        right = {"Authorization": f"Bearer {token}"}
        submitted = {"meta_analysis_id": studies.META_ANALYSIS_ID, "artifact_prefix": "mine"}
        assert ask(port, "POST", "/submit", right, json.dumps(submitted).encode())[0] == 202
        for foreign_name in ("evil.example", f"evil.example:{port}"):
            assert ask(port, "GET", "/", {**right, "Host": foreign_name}, b"")[0] == 403
        listening = {port for port in listening_ports(running.process.pid)}
        assert len(listening) == 4
        for process in process_tree(running.process.pid)[1:]:
            assert token.encode() not in Path(f"/proc/{process}/environ").read_bytes()
            assert token.encode() not in Path(f"/proc/{process}/cmdline").read_bytes()
        running.stop()
    assert token not in running.log
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and token.encode() in path.read_bytes()]


def test_the_service_does_not_listen_to_others_without_a_token(tmp_path: Path) -> None:
    refused = RunningService(tmp_path, "--host", "0.0.0.0")
    with pytest.raises(AssertionError, match="COMPOSE_RUNNER_TOKEN"), refused:
        pass
    assert refused.process is not None
    assert refused.process.wait() == 1
    assert list(tmp_path.iterdir()) == []


def test_pages_that_the_operator_names_may_ask(tmp_path: Path) -> None:
    page = "https://compose.example"
    with RunningService(tmp_path, "--demo", "--parameter", f"CorsOrigins={page}") as running:
        port = urlsplit(running.endpoint).port
        assert port is not None
        allowed = {"Origin": page, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
        asked = {**allowed, "Access-Control-Request-Method": "POST"}
        status, answered = ask(port, "OPTIONS", "/submit", asked, b"")
        assert (status, answered["access-control-allow-origin"]) == (204, page)
        status, answered = ask(port, "GET", "/results?artifact_prefix=x", allowed, b"")
        assert (status, answered["access-control-allow-origin"]) == (200, page)
        for other in ("https://compose.example.evil.example", "https://evil.example"):
            assert ask(port, "GET", "/results?artifact_prefix=x", {**allowed, "Origin": other}, b"")[0] == 403
