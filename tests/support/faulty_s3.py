"""Faults between a client and the embedded S3: refusals in S3's words, and connections that break, over the wire."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compose_runner.local.aws.emulator import EmbeddedAws


@dataclass
class Fault:
    """What happens to requests for objects instead of an answer.

    Parameters
    ----------
    kind : str
        ``"503 SlowDown"`` and the like: an answer with S3's code; ``"reset"``: the connection is reset; ``"cut"``: it
        is closed in the midst of the answer; ``"page"``: an answer of something before S3 that is no XML.
    times : int
        To how many requests.
    method : str
        Only to those with this method.
    hidden : bool
        To objects with a dot in front of their names (the progress of a job, its records) too.
    """

    kind: str
    times: int
    method: str = "PUT"
    hidden: bool = False
    happened: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def takes(self, environ: dict[str, Any]) -> bool:
        """Whether it happens to a request."""
        path = str(environ["PATH_INFO"])
        if environ["REQUEST_METHOD"] != self.method or path.count("/") < 3 or ("/." in path and not self.hidden):
            return False
        with self._lock:
            if self.happened >= self.times:
                return False
            self.happened += 1
        return True


@contextmanager
def s3_with(aws: EmbeddedAws, fault: Fault) -> Iterator[Fault]:
    """Let a fault happen to signed requests that reach the embedded S3 while the block lasts."""
    assert aws._server is not None
    server: Any = aws._server._server
    application = server.app

    def faulty(environ: dict[str, Any], start_response: Any) -> Any:
        if not fault.takes(environ):
            return application(environ, start_response)
        connection: socket.socket = environ["werkzeug.socket"]
        if fault.kind == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.shutdown(socket.SHUT_RDWR)
            raise ConnectionAbortedError
        if fault.kind == "cut":
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n<?xml")
            connection.shutdown(socket.SHUT_RDWR)
            raise ConnectionAbortedError
        if fault.kind == "page":
            start_response("502 Bad Gateway", [("Content-Type", "text/html")])
            return [b"<html>a proxy</html>"]
        status, code = fault.kind.split()
        start_response(f"{status} Refused", [("Content-Type", "application/xml")])
        return [f"<Error><Code>{code}</Code><Message>by the test</Message></Error>".encode()]

    server.app = faulty
    try:
        yield fault
    finally:
        server.app = application
