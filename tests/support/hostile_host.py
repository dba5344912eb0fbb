"""A host on 127.0.0.1 that answers as no decent one does: by drops, for ever, with anything behind the headers."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

OK = b"HTTP/1.1 200 OK\r\n"


class HostileHost:
    """Sends the pieces of a script to each client that connects, one script for all paths; use it as a context manager.

    Parameters
    ----------
    script : callable
        Gives the pieces of an answer, for as long as the connection lasts.
    pause : float
        Seconds between pieces.

    Attributes
    ----------
    connections : int
        How many there were.
    requests : list of bytes
        First line of each request.
    """

    def __init__(self, script: Callable[[], Iterator[bytes]], pause: float = 0.0) -> None:
        self.connections = 0
        self.requests: list[bytes] = []
        self._stopped = threading.Event()
        host = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                host.connections += 1
                with contextlib.suppress(OSError):
                    while line := self.rfile.readline():
                        host.requests.append(line.strip())
                        while self.rfile.readline().strip():
                            pass
                        for piece in script():
                            self.wfile.write(piece)
                            self.wfile.flush()
                            if host._stopped.wait(pause):
                                return

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/z.nii.gz"

    def __enter__(self) -> HostileHost:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def forever(head: bytes, piece: bytes) -> Callable[[], Iterator[bytes]]:
    """Script of an answer that never ends."""

    def script() -> Iterator[bytes]:
        yield head
        while True:
            yield piece

    return script


def once(answer: bytes) -> Callable[[], Iterator[bytes]]:
    """Script of an ordinary answer."""
    return lambda: iter([answer])


def answer(status: int, body: bytes = b"", **headers: Any) -> bytes:
    """The bytes of an answer."""
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
