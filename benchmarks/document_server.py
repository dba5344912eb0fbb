"""Compose and NeuroStore on 127.0.0.1, as far as a job that uploads nothing asks for them."""

from __future__ import annotations

import json
import threading
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from compose_runner.local.http_server import LOOPBACK, JsonHandler, RefusedError, Server, Visitors

COMPOSE_HOST = "compose.neurosynth.org"
STORE_HOST = "neurostore.org"


class DocumentServer:
    """The server; a context manager.

    Addresses are ``http://127.0.0.1:PORT/<host>/api/<collection>/<id>``, so that one port plays both services.
    """

    def __init__(self) -> None:
        self._documents: dict[str, Any] = {}
        self._server = Server((LOOPBACK, 0), _Handler)
        visitors = Visitors(LOOPBACK, self._server.server_port)
        self._server.RequestHandlerClass = type(
            "Handler", (_Handler,), {"documents": self._documents, "visitors": visitors}
        )
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def compose_api(self) -> str:
        """Base address of Compose's API."""
        return f"http://{LOOPBACK}:{self._server.server_port}/{COMPOSE_HOST}/api"

    @property
    def neurostore_api(self) -> str:
        """Base address of NeuroStore's API."""
        return f"http://{LOOPBACK}:{self._server.server_port}/{STORE_HOST}/api"

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
