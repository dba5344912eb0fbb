"""A Neurosynth Compose for demonstrations: one meta-analysis of pain, and what takes its upload.

It serves what the runner asks of Compose and NeuroStore for
:data:`compose_runner.local.demo.studies.META_ANALYSIS_ID`, without a network.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import threading
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from compose_runner.local.demo import studies
from compose_runner.local.http_server import HttpServer, JsonHandler
from compose_runner.local.state.private_files import OddFileError, private_write
from compose_runner.local.visitors import LOOPBACK

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger("compose_runner.serve")

_NAME = "21 studies of pain: ALE with Monte Carlo correction"
# bytes of one result: some maps of the whole brain
MAX_UPLOAD = 512 * 1024 * 1024
# of who does not have the key, and is refused
MAX_WITHOUT_KEY = 64 * 1024
_KEY_HEADER = "Compose-Upload-Key"
_FILENAME = re.compile(rb'filename="([^"\r\n]*)"')


class DemoCompose(HttpServer):
    """The server; a context manager.

    Parameters
    ----------
    uploads : Path, optional
        Directory in which uploaded files are kept; they are only counted without one.
    n_iterations : int
        Monte Carlo iterations of the demo's specification.
    address : str
        Where to listen.

    Attributes
    ----------
    results : dict of str to dict
        What was uploaded, by result id: the document of the POST and the names of the files of the PUT.
    """

    def __init__(
        self, uploads: Path | None = None, n_iterations: int = studies.N_ITERATIONS, address: str = LOOPBACK
    ) -> None:
        self.results: dict[str, dict[str, Any]] = {}
        self._uploads = uploads
        self._run_key = secrets.token_urlsafe(16)
        self._documents = self._demo_documents(n_iterations)
        self._lock = threading.Lock()
        super().__init__(_Handler, address, follow_links=True, compose=self)
        self.url = f"{self.endpoint}/api"

    def _demo_documents(self, n_iterations: int) -> dict[str, Any]:
        studyset = studies.pain_studyset()
        annotation = studies.annotation(studyset)
        return {
            f"meta-analyses/{studies.META_ANALYSIS_ID}": {
                "id": studies.META_ANALYSIS_ID,
                "name": _NAME,
                "specification": studies.specification(n_iterations),
                "neurostore_studyset": {"id": studies.STUDYSET_ID},
                "neurostore_annotation": {"id": studies.ANNOTATION_ID},
                "run_key": self._run_key,
                "snapshots": [],
                "results": [],
            },
            f"studysets/{studies.STUDYSET_ID}": studyset,
            f"annotations/{studies.ANNOTATION_ID}": annotation,
        }

    def answer(self, method: str, path: str, key: str, body: bytes) -> tuple[HTTPStatus, Any]:
        """Answer one request.

        Parameters
        ----------
        method, path : str
            The path, without ``/api/`` at its beginning if it is one of the API.
        key : str
            The upload key that came with it.
        body : bytes
            The request's.
        """
        if method == "GET":
            if path == f"/meta-analyses/{studies.META_ANALYSIS_ID}":  # the page that a person would see
                return HTTPStatus.OK, {"name": _NAME, "uploaded": self.results}
            if path in self._documents:
                return HTTPStatus.OK, self._documents[path]
            return HTTPStatus.NOT_FOUND, {"detail": f"this demonstration only knows {studies.META_ANALYSIS_ID}"}
        if not path.startswith("meta-analysis-results"):
            return HTTPStatus.NOT_FOUND, {"detail": "not found"}
        if not self.knows(key):
            return HTTPStatus.UNAUTHORIZED, {"detail": "the upload key is wrong"}
        if method == "POST":
            return self._make_result(body)
        return self._take_files(path.rpartition("/")[2], body)

    def knows(self, key: str) -> bool:
        """Whether a key is the one with which results can be uploaded."""
        return secrets.compare_digest(key.encode(), self._run_key.encode())

    def _make_result(self, body: bytes) -> tuple[HTTPStatus, Any]:
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            return HTTPStatus.UNPROCESSABLE_ENTITY, {"detail": "the body must be a JSON object"}
        with self._lock:
            result_id = f"demoResult{len(self.results) + 1}"
            self.results[result_id] = {"meta_analysis_id": document.get("meta_analysis_id"), "files": []}
        return HTTPStatus.OK, {"id": result_id, "meta_analysis_id": document.get("meta_analysis_id")}

    def _take_files(self, result_id: str, body: bytes) -> tuple[HTTPStatus, Any]:
        if result_id not in self.results:
            return HTTPStatus.NOT_FOUND, {"detail": f"there is no result {result_id}"}
        names = sorted({name.decode(errors="replace") for name in _FILENAME.findall(body)})
        self.results[result_id]["files"] = names
        if self._uploads is not None:
            path = self._uploads / f"{result_id}.json"
            try:
                private_write(path, json.dumps(self.results[result_id], indent=1).encode(), self._uploads.parent)
            except (OSError, OddFileError) as error:
                log.warning("%s is not kept: %s", path, error)
        return HTTPStatus.OK, {"id": result_id}


class _Handler(JsonHandler):
    methods = ("GET", "POST", "PUT")
    compose: DemoCompose

    def answer(self) -> None:
        key = self.headers.get(_KEY_HEADER) or ""
        self.max_body = MAX_UPLOAD if self.compose.knows(key) else MAX_WITHOUT_KEY
        body = self.body()
        path = urlsplit(self.path).path.removeprefix("/api/")
        status, document = self.compose.answer(self.command, path, key, body)
        self.reply(status, {"content-type": "application/json"}, json.dumps(document).encode())
