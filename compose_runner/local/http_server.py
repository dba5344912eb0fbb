"""What every port of the embedded service has in common: who may ask, and refusals that are JSON and that arrive.

A page of another site must neither start anything nor read anything. Three headers tell, which a page cannot change:

* ``Host``: a name that an attacker lets point to 127.0.0.1 (DNS rebinding) is none of the service's own names;
* ``Origin``, and in its place ``Referer``: which page asks;
* ``Sec-Fetch-Site``: whether the page is the service's own, even where there is no ``Origin``.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import re
import socket
import sys
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from compose_runner import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping
    from email.message import Message

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
_ANY_ADDRESS = ("", "0.0.0.0", "::")  # noqa: S104 - is compared with what was asked for
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


class RefusedError(Exception):
    """A request that is not served.

    Parameters
    ----------
    status : HTTPStatus
        What the answer says.
    reason : str
        The same for a person.
    headers : mapping, optional
        Further headers of the answer.
    """

    def __init__(self, status: HTTPStatus, reason: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = dict(headers or {})


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone; a name other than ``localhost`` counts as not."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def in_address(host: str) -> str:
    """Write a host as it stands in an address: IPv6 in brackets, the machine's name for all of its interfaces."""
    if host in _ANY_ADDRESS:
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


@dataclass(frozen=True, slots=True)
class Visitors:
    """Who may ask.

    Parameters
    ----------
    host : str
        Where the port listens.
    port : int
        The port.
    origins : tuple of str
        Origins of other sites whose pages may ask as well; ``*`` for all.
    follow_links : bool
        Whether a person may come by a link on another site's page; the page itself never sees the answer.
    """

    host: str
    port: int
    origins: tuple[str, ...] = ()
    follow_links: bool = False
    _names: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        names = {f"{name}:{self.port}" for name in (*_LOOPBACK_NAMES, in_address(self.host).lower())}
        object.__setattr__(self, "_names", frozenset(names))

    def check(self, headers: Message) -> None:
        """Refuse what a page of another site can send.

        Raises
        ------
        RefusedError
            ``Host``, ``Origin``, ``Referer`` or ``Sec-Fetch-Site`` is foreign.
        """
        hosts = headers.get_all("host") or []
        if len(hosts) != 1 or not self._is_own(hosts[0].strip().lower()):
            raise RefusedError(HTTPStatus.FORBIDDEN, "Host: the service does not have this name")
        own = f"http://{hosts[0].strip().lower()}"
        origins = [origin.strip() for origin in headers.get_all("origin") or []]
        if origins:
            if self.allows(origins):
                return
            if [origin.lower() for origin in origins] != [own]:
                raise RefusedError(HTTPStatus.FORBIDDEN, "Origin: pages of this site may not ask")
        if self.follow_links and _is_link(headers):
            return
        if not {site.strip().lower() for site in headers.get_all("sec-fetch-site") or []} <= {"same-origin", "none"}:
            raise RefusedError(HTTPStatus.FORBIDDEN, "Sec-Fetch-Site: pages of other sites may not ask")
        # with a form, browsers of old send neither of the two
        if not origins and any(not f"{one.lower()}/".startswith(f"{own}/") for one in headers.get_all("referer") or []):
            raise RefusedError(HTTPStatus.FORBIDDEN, "Referer: pages of other sites may not ask")

    def allows(self, origins: list[str]) -> bool:
        """Whether the operator named the origin of a request."""
        return len(origins) == 1 and ("*" in self.origins or origins[0].strip().rstrip("/") in self.origins)

    def _is_own(self, host: str) -> bool:
        if host in self._names or (self.port == 80 and f"{host}:80" in self._names):
            return True
        if self.host not in _ANY_ADDRESS:
            return False
        # an address in numbers is no name that could be made to point here
        try:
            parts = urlsplit(f"http://{host}")
            ipaddress.ip_address(parts.hostname or "")
            return (parts.port or 80) == self.port
        except ValueError:
            return False


def _is_link(headers: Message) -> bool:
    return (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == ("navigate", "document")


class Server(ThreadingHTTPServer):
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

    def body(self) -> bytes:
        """Read the request's body.

        Raises
        ------
        RefusedError
            Its length is not told, is wrong, or is more than ``max_body``.
        """
        if "transfer-encoding" in self.headers:
            raise RefusedError(HTTPStatus.LENGTH_REQUIRED, "the request must tell its Content-Length")
        lengths = {length.strip() for length in self.headers.get_all("content-length") or ["0"]}
        text = lengths.pop()
        if lengths or not _LENGTH.fullmatch(text):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "Content-Length: it must be one number")
        if int(text) > self.max_body:
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the request has more than {self.max_body} bytes")
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
