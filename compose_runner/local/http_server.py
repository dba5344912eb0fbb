"""What every port of the embedded service has in common: a thread, and refusals that are JSON and that arrive."""

from __future__ import annotations

import json
import logging
import re
import socket
import sys
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

from compose_runner import __version__
from compose_runner.local.visitors import LOOPBACK, RefusedError, Visitors, has_broken_header, in_address

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)

# so much of a refused request is read, for so long: a client that still sends would see a reset instead of the answer
_DRAIN_BYTES = 64 * 1024 * 1024
_DRAIN_SECONDS = 5.0
_LENGTH = re.compile(r"[0-9]{1,18}")
HARDENING = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
}
_PHRASES = {
    HTTPStatus.REQUEST_URI_TOO_LONG: "the address is too long",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "the headers are too many or too long",
}


class _Server(ThreadingHTTPServer):
    """A server with a thread for each connection."""

    daemon_threads = True
    # connections that wait while all threads are being made: many clients at once
    request_queue_size = 256
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.getaddrinfo(address[0] or None, address[1], type=socket.SOCK_STREAM)[0][0]
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Bind without asking a name server for the machine's name, which may take seconds."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what was not foreseen; a client that has gone is nothing to report."""
        if isinstance(sys.exc_info()[1], OSError):
            log.debug("a connection ended early", exc_info=True)
        else:
            log.error("a request could not be answered", exc_info=True)


class JsonHandler(BaseHTTPRequestHandler):
    """A request handler whose every refusal is JSON in the contract's form of errors.

    A subclass says who may ask (``visitors``), how long a body may be (``max_body``, bytes), and defines
    :meth:`answer`; it is reached by every method that is in ``methods``.
    """

    protocol_version = "HTTP/1.1"
    server_version = f"compose-runner/{__version__}"
    # an answer is two writes: without this the second waits for the client's acknowledgement
    disable_nagle_algorithm = True
    timeout = 60
    visitors: Visitors
    methods: tuple[str, ...] = ("GET", "HEAD")
    max_body = 0

    def answer(self) -> None:
        """Serve a request that was let in."""
        raise NotImplementedError

    def __getattr__(self, name: str) -> Any:
        # every method comes here, so that one that is unknown is refused like the rest
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def _answer(self) -> None:
        try:
            self._check_form()
            self.visitors.check(self.headers)
            if self.command not in self.methods:
                raise RefusedError(
                    HTTPStatus.METHOD_NOT_ALLOWED,
                    f"The method {self.command[:20]} is not one of {', '.join(self.methods)}.",
                    {"allow": ", ".join(self.methods)},
                )
            if not self.path.startswith("/"):
                raise RefusedError(HTTPStatus.BAD_REQUEST, "the address must begin with /")
            self.answer()
        except RefusedError as refusal:
            self.refuse(refusal)

    def _check_form(self) -> None:
        """Refuse a request of which a part was not read: Python leaves out all headers behind a line that is none."""
        if self.request_version == "HTTP/0.9":
            self.request_version = self.protocol_version
            raise RefusedError(HTTPStatus.BAD_REQUEST, "the request must name a version of HTTP")
        if has_broken_header(self.headers):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "a line among the headers is no header")

    def body(self, most: int | None = None) -> bytes:
        """Read the request's body.

        Parameters
        ----------
        most : int, optional
            How many bytes it may have; ``max_body`` by default.

        Raises
        ------
        RefusedError
            Its length is missing, is wrong, or is more than that.
        """
        most = self.max_body if most is None else most
        if "transfer-encoding" in self.headers:
            raise RefusedError(HTTPStatus.LENGTH_REQUIRED, "the request must give its Content-Length")
        lengths = {length.strip() for length in self.headers.get_all("content-length") or ["0"]}
        text = lengths.pop()
        if lengths or not _LENGTH.fullmatch(text):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "Content-Length: it must be one number")
        if int(text) > most:
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the request has more than {most} bytes")
        data = self.rfile.read(int(text))
        if len(data) < int(text):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "the request ended before its Content-Length")
        return data

    def reply(self, status: int, headers: Mapping[str, str], data: bytes) -> None:
        """Send an answer."""
        self.send_response(status)
        for name, value in {**HARDENING, **headers}.items():
            if name != "content-length":
                self.send_header(name, value)
        if status != HTTPStatus.NO_CONTENT:
            self.send_header("content-length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD" and status != HTTPStatus.NO_CONTENT:
            self.wfile.write(data)

    def refuse(self, refusal: RefusedError) -> None:
        """Send a refusal and end the connection: what is left of the request must not be read as the next one."""
        document = {"status": "FAILED", "error": str(refusal)}
        headers = {"content-type": "application/json", "cache-control": "no-store", "connection": "close"}
        self.reply(refusal.status, {**headers, **refusal.headers}, json.dumps(document).encode())
        self._drain()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what :mod:`http.server` cannot read."""
        status = HTTPStatus(code)
        # the line may be no request at all
        self.command, self.request_version = self.command or "", self.protocol_version
        self.refuse(RefusedError(status, _PHRASES.get(status, message or status.phrase)))

    def _drain(self) -> None:
        """Read on until the client has seen the answer, within bounds."""
        deadline = time.monotonic() + _DRAIN_SECONDS
        left = _DRAIN_BYTES
        try:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_WR)
            while left > 0 and (seconds := deadline - time.monotonic()) > 0:
                self.connection.settimeout(seconds)
                data = self.connection.recv(1 << 16)
                if not data:
                    return
                left -= len(data)
        except OSError:  # it has gone
            return

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the server's own lines off the terminal."""


class HttpServer:
    """A port that a handler answers, in a thread of its own; a context manager.

    Parameters
    ----------
    handler : type
        Subclass of :class:`JsonHandler`.
    host : str
        Where to listen.
    port : int
        0 for any free port.
    origins : tuple of str
        Origins of other sites whose pages may ask as well; ``*`` for all.
    follow_links : bool
        Whether a person may come by a link on another site's page.
    names : tuple of str
        Further names that the port is known by.
    **attributes : object
        What the handler finds as attributes of its class.
    """

    # how often the thread looks whether it has to end, in seconds
    poll_seconds = 0.5

    def __init__(
        self,
        handler: type[JsonHandler],
        host: str = LOOPBACK,
        port: int = 0,
        *,
        origins: tuple[str, ...] = (),
        follow_links: bool = False,
        names: tuple[str, ...] = (),
        **attributes: Any,
    ) -> None:
        self._server = _Server((host, port), handler)
        self.port = self._server.server_port
        self.endpoint = f"http://{in_address(host)}:{self.port}"
        visitors = Visitors(host, self.port, origins, follow_links, names)
        self._server.RequestHandlerClass = type("Handler", (handler,), {**attributes, "visitors": visitors})
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(self.poll_seconds,), name=type(self).__name__, daemon=True
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Answer requests from now on."""
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()
