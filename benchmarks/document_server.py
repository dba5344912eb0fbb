"""Compose and NeuroStore on 127.0.0.1, as far as a job that uploads nothing asks for them."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote, urlsplit

from compose_runner.local.http_server import HttpServer, JsonHandler
from compose_runner.local.visitors import RefusedError

COMPOSE_HOST = "compose.neurosynth.org"
STORE_HOST = "neurostore.org"


class DocumentServer(HttpServer):
    """The server; a context manager.

    Addresses are ``http://127.0.0.1:PORT/<host>/api/<collection>/<id>``, so that one port plays both services.
    """

    def __init__(self) -> None:
        self._documents: dict[str, Any] = {}
        super().__init__(_Handler, documents=self._documents)

    @property
    def compose_api(self) -> str:
        """Base address of Compose's API."""
        return f"{self.endpoint}/{COMPOSE_HOST}/api"

    @property
    def neurostore_api(self) -> str:
        """Base address of NeuroStore's API."""
        return f"{self.endpoint}/{STORE_HOST}/api"

    def variables(self) -> dict[str, str]:
        """Environment variables that send a run to this server."""
        return {"COMPOSE_API_URL": self.compose_api, "NEUROSTORE_API_URL": self.neurostore_api}

    def put(self, path: str, document: Any, *, host: str = COMPOSE_HOST) -> None:
        """Serve a document.

        Parameters
        ----------
        path : str
            Collection and id, such as ``studysets/abc``.
        document : object
            What JSON can hold.
        host : str
            Which of the two services serves it.
        """
        self._documents[f"/{host}/api/{path}"] = document


class _Handler(JsonHandler):
    methods = ("GET",)
    documents: dict[str, Any]

    def answer(self) -> None:
        path = unquote(urlsplit(self.path).path).rstrip("/")
        if path not in self.documents:
            raise RefusedError(HTTPStatus.NOT_FOUND, "not found")
        self.reply(HTTPStatus.OK, {"content-type": "application/json"}, json.dumps(self.documents[path]).encode())
