"""A stand-in for Neurosynth Compose and NeuroStore on 127.0.0.1: serves, receives uploads, fails on request.

An address is laid out as ``http://127.0.0.1:PORT/<host>/api/<collection>/<id>``, so that one server plays both
services and a directory of recorded exchanges (``<host>/api/<collection>/<id>.json``) can be replayed as it is::

    with ComposeStandIn() as compose:
        compose.put("meta-analyses/abc", {...})               # on Compose
        compose.put("studysets/def", {...}, host=STORE_HOST)  # on NeuroStore
        fetch_bundle("abc", compose.environment())
        compose.fail("GET", "meta-analyses/abc", Answer(503), Answer(drop=True))
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from compose_runner.compose.environments import Environment
from compose_runner.local.http_server import HttpServer, JsonHandler

if TYPE_CHECKING:
    from pathlib import Path

COMPOSE_HOST = "compose.neurosynth.org"
STORE_HOST = "neurostore.org"
RESULTS = "meta-analysis-results"
UPLOAD_KEY_HEADER = "Compose-Upload-Key"


@dataclass(slots=True)
class Answer:
    """What the server says once instead of its ordinary answer.

    Parameters
    ----------
    status : int
        HTTP status.
    body : object
        ``bytes`` as they are, anything else as JSON; None for a JSON problem document.
    headers : dict
        Further headers.
    hold : threading.Event, optional
        Answer only once this is set (or the server stops): a slow service without a clock.
    drop : bool
        Close the connection instead of answering.
    cut_at : int, optional
        Close the connection after so many bytes of the body: an interrupted download.
    receive : bool
        For an upload: take in what was sent, as if it had worked, and then answer this: a lost answer.
    """

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    hold: threading.Event | None = None
    drop: bool = False
    cut_at: int | None = None
    receive: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came in: ``path`` is unquoted, starts with the host, and has no query."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a multipart upload; ``filename`` is None for a plain field."""

    name: str
    filename: str | None
    content: bytes


@dataclass(slots=True)
class Result:
    """A result that was uploaded: the body of its POST, and the parts of every PUT in their order."""

    created: dict[str, Any]
    uploads: list[list[Part]] = field(default_factory=list)

    def parts(self, name: str) -> dict[str, bytes]:
        """Files of the last upload under one field name: filename to content."""
        return {part.filename or "": part.content for part in self.uploads[-1] if part.name == name}

    def field(self, name: str) -> str | None:
        """A plain field of the last upload."""
        found = [part.content.decode() for part in self.uploads[-1] if part.name == name]
        return found[0] if found else None


class ComposeStandIn(HttpServer):
    """The server; use it as a context manager.

    Parameters
    ----------
    recorded : Path, optional
        A directory of recorded exchanges to replay; documents given to :meth:`put` come first.
    upload_key : str, optional
        The key that uploads must carry; any key by default, but one there must be.
    compose_host, store_host : str
        First segment of the path of each service.

    Attributes
    ----------
    requests : list of Request
        Everything that was asked, in order.
    results : dict of str to Result
        What was uploaded, by result id.
    """

    poll_seconds = 0.01

    def __init__(
        self,
        recorded: Path | None = None,
        *,
        upload_key: str | None = None,
        compose_host: str = COMPOSE_HOST,
        store_host: str = STORE_HOST,
    ) -> None:
        self.recorded = recorded
        self.upload_key = upload_key
        self.compose_host = compose_host
        self.store_host = store_host
        self.requests: list[Request] = []
        self.results: dict[str, Result] = {}
        self._documents: dict[str, Any] = {}
        self._planned: dict[tuple[str, str], deque[Answer]] = {}
        self._lock = threading.Lock()
        self.stopped = threading.Event()
        super().__init__(_Handler, stand_in=self)

    def close(self) -> None:
        """Stop, and release the answers that are held."""
        self.stopped.set()
        super().close()

    @property
    def compose_api(self) -> str:
        """Base address of Compose's API."""
        return f"{self.endpoint}/{self.compose_host}/api"

    @property
    def neurostore_api(self) -> str:
        """Base address of NeuroStore's API."""
        return f"{self.endpoint}/{self.store_host}/api"

    def environment(self, name: str = "production") -> Environment:
        """The pair of services as the package knows them."""
        return Environment(name=name, compose_api=self.compose_api, neurostore_api=self.neurostore_api)

    def variables(self) -> dict[str, str]:
        """Environment variables that send a run to this server."""
        return {"COMPOSE_API_URL": self.compose_api, "NEUROSTORE_API_URL": self.neurostore_api}

    def put(self, name: str, document: Any, *, host: str | None = None) -> str:
        """Serve a document (or raw ``bytes``, with an ETag) at ``<host>/api/<name>``; return its address."""
        path = self._path(name, host)
        with self._lock:
            self._documents[path] = document
        return f"{self.endpoint}/{path}"

    def put_meta_analysis(self, meta_analysis: dict[str, Any], studyset: Any, annotation: Any) -> None:
        """Serve a meta-analysis, and the studyset and the annotation that it names."""
        self.put(f"meta-analyses/{meta_analysis['id']}", meta_analysis)
        self.put(f"studysets/{meta_analysis['neurostore_studyset']['id']}", studyset, host=self.store_host)
        self.put(f"annotations/{meta_analysis['neurostore_annotation']['id']}", annotation, host=self.store_host)

    def put_file(self, path: str, content: bytes) -> str:
        """Serve raw bytes at a path of their own, outside both APIs; return the address."""
        with self._lock:
            self._documents[path.strip("/")] = content
        return f"{self.endpoint}/{path.strip('/')}"

    def remove(self, name: str, *, host: str | None = None) -> None:
        """Answer 404 from now on."""
        with self._lock:
            self._documents.pop(self._path(name, host), None)

    def fail(self, method: str, name: str, *answers: Answer, host: str | None = None) -> None:
        """Give these answers, one per request, before the ordinary ones."""
        self.fail_path(method, self._path(name, host), *answers)

    def fail_path(self, method: str, path: str, *answers: Answer) -> None:
        """As :meth:`fail`, for what :meth:`put_file` serves."""
        with self._lock:
            self._planned.setdefault((method, path.strip("/")), deque()).extend(answers)

    def asked(self, method: str = "GET") -> Counter[str]:
        """How often each path was requested, such as ``neurostore.org/api/studysets/def``."""
        with self._lock:
            return Counter(request.path for request in self.requests if request.method == method)

    def _path(self, name: str, host: str | None) -> str:
        return f"{host or self.compose_host}/api/{name.strip('/')}"

    def take(self, request: Request) -> Answer:
        """Find the answer to one request."""
        with self._lock:
            self.requests.append(request)
            planned = self._planned.get((request.method, request.path))
            answer = planned.popleft() if planned else None
        if answer is not None and not answer.receive:
            return answer
        ordinary = self._ordinary(request)
        return ordinary if answer is None else answer

    def _ordinary(self, request: Request) -> Answer:
        if request.method == "GET":
            return self._document(request)
        prefix = self._path(RESULTS, None)
        if not request.path.startswith(prefix):
            return _problem(404, "not found")
        key = request.headers.get(UPLOAD_KEY_HEADER.lower())
        if not key or (self.upload_key is not None and key != self.upload_key):
            return _problem(401, "the upload key is missing or wrong")
        if request.method == "POST" and request.path == prefix:
            return self._create(request)
        if request.method == "PUT":
            return self._upload(request, request.path.removeprefix(f"{prefix}/"))
        return _problem(405, "not allowed")

    def _document(self, request: Request) -> Answer:
        with self._lock:
            document = self._documents.get(request.path)
        if document is None and self.recorded is not None:
            recorded = self.recorded / f"{request.path}.json"
            if recorded.resolve().is_relative_to(self.recorded.resolve()) and recorded.is_file():
                return Answer(body=recorded.read_bytes(), headers={"Content-Type": "application/json"})
        if document is None:
            return _problem(404, "The requested URL was not found on the server.")
        if not isinstance(document, bytes):
            return Answer(body=document)
        tag = f'"{hashlib.sha256(document).hexdigest()[:16]}"'
        if request.headers.get("if-none-match") == tag:
            return Answer(status=304, body=b"", headers={"ETag": tag})
        return Answer(body=document, headers={"ETag": tag})

    def _create(self, request: Request) -> Answer:
        created = request.json
        if not isinstance(created, dict) or not created.get("meta_analysis_id"):
            return _problem(422, "meta_analysis_id is missing")
        with self._lock:
            result_id = f"result{len(self.results) + 1}"
            self.results[result_id] = Result(created)
        return Answer(body={"id": result_id, "meta_analysis_id": created["meta_analysis_id"]})

    def _upload(self, request: Request, result_id: str) -> Answer:
        with self._lock:
            result = self.results.get(result_id)
            if result is None:
                return _problem(404, f"no result {result_id}")
            result.uploads.append(parse_multipart(request.headers.get("content-type", ""), request.body))
        return Answer(body={"id": result_id})


def parse_multipart(content_type: str, body: bytes) -> list[Part]:
    """Split a ``multipart/form-data`` body into its parts, byte for byte."""
    boundary = re.search(r'boundary="?([^";]+)"?', content_type)
    if not content_type.startswith("multipart/form-data") or boundary is None:
        raise ValueError(f"not a multipart upload: {content_type!r}")
    parts = []
    for piece in (b"\r\n" + body).split(b"\r\n--" + boundary[1].encode())[1:]:
        if piece.startswith(b"--"):
            break
        head, _, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        disposition = head.decode()
        name = re.search(r'\bname="([^"]*)"', disposition)
        filename = re.search(r'\bfilename="([^"]*)"', disposition)
        parts.append(Part(name[1] if name else "", filename[1] if filename else None, content))
    return parts


def _problem(status: int, detail: str) -> Answer:
    return Answer(status=status, body={"status": status, "title": "Problem", "detail": detail})


class _Handler(JsonHandler):
    methods = ("GET", "HEAD", "POST", "PUT", "DELETE")
    max_body = 1 << 40
    stand_in: ComposeStandIn

    def answer(self) -> None:
        address = urlsplit(self.path)
        request = Request(
            method=self.command,
            path=unquote(address.path).strip("/"),
            query=parse_qs(address.query),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.body(),
        )
        self.say(self.stand_in.take(request))

    def say(self, answer: Answer) -> None:
        if answer.hold is not None:
            while not answer.hold.wait(0.02) and not self.stand_in.stopped.is_set():
                pass
        if answer.drop:
            self.close_connection = True
            return
        content = answer.body
        if content is None and answer.status >= 400:
            content = _problem(answer.status, "this was arranged by a test").body
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        headers = {"Content-Type": "application/json"} if not isinstance(content, bytes) else {}
        headers |= answer.headers
        try:
            self.send_response(answer.status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body if answer.cut_at is None else body[: answer.cut_at])
        except OSError:  # the client gave up waiting
            self.close_connection = True
        if answer.cut_at is not None:
            self.close_connection = True
