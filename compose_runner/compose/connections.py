"""Connections of urllib3 that end at a deadline, and those that lead to the public internet only."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from compose_runner.compose.addresses import AddressRefusedError, is_public

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

log = logging.getLogger(__name__)

_thread = threading.local()


class TimeLimitError(urllib3.exceptions.TimeoutError):
    """A request took longer than it may take altogether, retries and redirects included."""


class Deadline:
    """Ends the requests of this thread when their time is over, wherever they are.

    Time-outs of sockets bound each wait for a byte, not their sum: a server that sends a byte every few seconds could
    hold a request for hours. At the deadline the connections are shut down, so that whatever waits for them returns.

    Parameters
    ----------
    seconds : float
        From the beginning of the block.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._connections: list[socket.socket] = []
        self._timer = threading.Timer(max(seconds, 0.0), self._expire)
        self._timer.daemon = True
        self._outer: Deadline | None = None
        self._expired = False

    def __enter__(self) -> Self:
        self._outer, _thread.deadline = current_deadline(), self
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _thread.deadline = self._outer
        self._timer.cancel()
        with self._lock:
            connections, self._connections = self._connections, []
        for connection in connections:
            connection.close()

    @property
    def remaining(self) -> float:
        """Seconds that are left, 0 when there are none."""
        return max(self._end - time.monotonic(), 0.0)

    def check(self) -> None:
        """Raise :class:`TimeLimitError` when the time is over."""
        if self._expired or not self.remaining:
            raise TimeLimitError("it took too long altogether")

    def watch(self, connection: socket.socket) -> None:
        """End a connection with the deadline."""
        # a duplicate: TLS takes the descriptor away from the socket that it begins on
        duplicate = connection.dup()
        with self._lock:
            self._connections.append(duplicate)
            expired = self._expired
        if expired:
            _shut_down(duplicate)

    def _expire(self) -> None:
        with self._lock:
            self._expired = True
            for connection in self._connections:
                _shut_down(connection)


def current_deadline() -> Deadline | None:
    """The deadline of this thread's requests, if there is one."""
    found: Deadline | None = getattr(_thread, "deadline", None)
    return found


def _shut_down(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it is closed already
        connection.shutdown(socket.SHUT_RDWR)


class _Watched(HTTPConnection):
    """A connection that ends with the deadline of the thread that uses it."""

    def _new_conn(self) -> socket.socket:
        connection = self._connected()
        deadline = current_deadline()
        if deadline is not None:
            deadline.watch(connection)
        return connection

    def _connected(self) -> socket.socket:
        return super()._new_conn()

    def putrequest(self, method: str, url: str, *args: Any, **kwargs: Any) -> None:
        """Begin a request, on a connection of an earlier one where that is still open."""
        deadline = current_deadline()
        if deadline is not None and self.sock is not None:
            deadline.watch(self.sock)
        super().putrequest(method, url, *args, **kwargs)


class _Public(_Watched):
    """A connection to the public internet: the addresses that were checked are those that are connected to."""

    def _connected(self) -> socket.socket:
        error: urllib3.exceptions.HTTPError | None = None
        for address in public_addresses(self):
            try:
                return urllib3.util.connection.create_connection(
                    (address, self.port),
                    self.timeout,
                    source_address=self.source_address,
                    socket_options=self.socket_options,
                )
            except TimeoutError:
                error = urllib3.exceptions.ConnectTimeoutError(self, f"Connection to {self.host} timed out")
            except OSError as problem:
                error = urllib3.exceptions.NewConnectionError(self, f"Failed to establish a new connection: {problem}")
        raise error or urllib3.exceptions.NewConnectionError(self, "the host has no address")


def public_addresses(connection: HTTPConnection) -> list[str]:
    """Resolve a connection's host, once.

    Raises
    ------
    AddressRefusedError
        One of the addresses is not public. That another one is does not help: a name that leads both ways is a trap.
    """
    host = connection._dns_host
    try:
        found = socket.getaddrinfo(host, connection.port, type=socket.SOCK_STREAM)
    except (UnicodeError, ValueError) as error:
        raise AddressRefusedError("its host is no host's name") from error
    except socket.gaierror as error:
        raise urllib3.exceptions.NameResolutionError(connection.host, connection, error) from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        if not is_public(address):
            log.debug("%s is not asked: it is at %s, which is not public.", connection.host, address)
            raise AddressRefusedError("its host is not on the public internet")
    return addresses


class _WatchedHTTP(_Watched):
    pass


class _WatchedHTTPS(_Watched, HTTPSConnection):
    pass


class _PublicHTTP(_Public):
    pass


class _PublicHTTPS(_Public, HTTPSConnection):
    pass


class _WatchedHTTPPool(HTTPConnectionPool):
    ConnectionCls = _WatchedHTTP


class _WatchedHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedHTTPS


class PublicHTTPPool(HTTPConnectionPool):
    """Connections to one public host."""

    ConnectionCls = _PublicHTTP


class PublicHTTPSPool(HTTPSConnectionPool):
    """Connections to one public host, encrypted; the certificate is that of the host's name."""

    ConnectionCls = _PublicHTTPS


def pool_of_connections(*, public: bool, headers: dict[str, str]) -> urllib3.PoolManager:
    """Make a pool for all threads of the process, which asks no proxy that the environment names.

    Parameters
    ----------
    public : bool
        Refuse hosts that are not on the public internet.
    headers : dict
        Sent with every request.
    """
    manager = urllib3.PoolManager(maxsize=8, headers=headers)
    if public:
        manager.pool_classes_by_scheme = {"http": PublicHTTPPool, "https": PublicHTTPSPool}
    else:
        manager.pool_classes_by_scheme = {"http": _WatchedHTTPPool, "https": _WatchedHTTPSPool}
    return manager
