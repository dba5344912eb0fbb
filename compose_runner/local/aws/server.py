"""The embedded AWS's port: moto's application behind a check of every request's signature."""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import threading
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from compose_runner.local.aws.request_signatures import AccessKeys, SignatureRefusedError, check_headers
from compose_runner.local.visitors import LOOPBACK, has_broken_header

# no request of the service's own comes near, but for uploads to S3, whose signature is checked before they are read
MAX_UNSEEN_BODY = 8 * 1024 * 1024
_BROWSER_HEADERS = ("origin", "referer", "cookie", "access-control-request-method")
# moto's pages for developers: anybody could reset everything there, or record what is asked
_MOTO_PAGES = "moto-api"


class AwsServer:
    """moto's server, for who knows the keys.

    Parameters
    ----------
    keys : AccessKeys
        Who may ask.
    port : int
        0 for any free port.
    """

    def __init__(self, keys: AccessKeys, port: int = 0) -> None:
        handler = type("Handler", (_Handler,), {"keys": keys})
        application = DomainDispatcherApplication(create_backend_app)
        self._server = make_server(LOOPBACK, port, application, threaded=True, request_handler=handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="aws", daemon=True)
        self.endpoint = f"http://{LOOPBACK}:{self._server.server_port}"

    def start(self) -> None:
        """Answer requests from now on."""
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Handler(MotoRequestHandler):  # type: ignore[misc]
    # a request that does not come to its end must not hold a thread for ever
    timeout = 60
    keys: AccessKeys

    def run_wsgi(self) -> None:
        self._body = b""
        try:
            self._check()
        except SignatureRefusedError as refusal:
            self._refuse(str(refusal))
            return
        super().run_wsgi()

    def _check(self) -> None:
        """Let in what a process of this service signed, before moto or the body is looked at."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        if (
            len(headers) != len(self.headers)
            or has_broken_header(self.headers)
            or self.command == "OPTIONS"
            or any(name in _BROWSER_HEADERS or name.startswith("sec-fetch-") for name in headers)
        ):
            raise SignatureRefusedError("the request comes from a browser")
        if headers.get("host") != f"{LOOPBACK}:{self.server.server_port}" or not self.path.startswith("/"):
            raise SignatureRefusedError("the request is for somebody else")
        if unquote(self.path).lstrip("/").startswith(_MOTO_PAGES):
            raise SignatureRefusedError("there are no such pages")
        digest = headers.get("x-amz-content-sha256")
        if digest is None:
            self._body = self._read(headers, MAX_UNSEEN_BODY)
            check_headers(self.keys, self.command, self.path, headers, self._body)
            return
        check_headers(self.keys, self.command, self.path, headers, None)
        self._body = self._read(headers, None)
        if not hmac.compare_digest(hashlib.sha256(self._body).hexdigest().encode(), digest.encode()):
            raise SignatureRefusedError("the body is not the one that was signed")

    def _read(self, headers: dict[str, str], limit: int | None) -> bytes:
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not (length.isascii() and length.isdigit()):
            raise SignatureRefusedError("the request does not give its length")
        if limit is not None and int(length) > limit:
            raise SignatureRefusedError("the request is too large")
        if headers.get("expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            del self.headers["expect"]
        data: bytes = self.rfile.read(int(length))
        return data

    def make_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().make_environ()
        environ["wsgi.input"] = io.BytesIO(self._body)
        return environ

    def _refuse(self, reason: str) -> None:
        data = json.dumps({"__type": "AccessDeniedException", "message": reason}).encode()
        self.send_response(HTTPStatus.FORBIDDEN)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        """Keep the server's own lines off the terminal."""

    def log_error(self, format: str, *args: Any) -> None:
        """The same for what cannot be read: anybody on this machine can send that."""
