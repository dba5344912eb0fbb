"""The one HTTP client of this package: time-outs, retries with backoff, limits, errors that name document and address.

urllib3 is in Lambda's runtime already and costs little to import, so that functions and analysis can both use it.
"""

from __future__ import annotations

import logging
import time
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urljoin

import urllib3
from urllib3.util.retry import Retry

from compose_runner import __version__
from compose_runner.compose.addresses import AddressRefusedError, AllowedHosts, RedirectLimitError, check_address
from compose_runner.compose.connections import (
    Deadline,
    PublicHTTPPool,
    PublicHTTPSPool,
    TimeLimitError,
    current_deadline,
    pool_of_connections,
)
from compose_runner.compose.json_documents import MOST_BYTES, parse_json
from compose_runner.errors import DocumentMalformedError, DocumentMissingError, ServiceUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Self

log = logging.getLogger(__name__)
# the pool's own words for the same are an object's representation
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)

RETRYABLE = frozenset({408, 425, 429, 500, 502, 503, 504})
CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
# what one document may take altogether, with its retries
DOCUMENT_SECONDS = 600.0
# a service that asks for more is asked by the next run
LONGEST_WAIT_SECONDS = 60.0
MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_READ_AT_ONCE = 1 << 16
# special kinds come before the kinds that they are of
_REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (TimeLimitError, "it took too long altogether"),
    (RedirectLimitError, f"it redirects more than {MOST_REDIRECTS} times, or in a loop"),
    (AddressRefusedError, "its address may not be asked"),
    (urllib3.exceptions.NameResolutionError, "no host has this name, or there is no network"),
    (urllib3.exceptions.NewConnectionError, "nothing listens there, or there is no network"),
    (urllib3.exceptions.ConnectTimeoutError, "the connection took too long"),
    (urllib3.exceptions.ReadTimeoutError, "the answer took too long"),
    (urllib3.exceptions.SSLError, "the connection cannot be made secure"),
    (urllib3.exceptions.ProxyError, "the proxy cannot be reached"),
    (urllib3.exceptions.ProtocolError, "the connection was closed before the answer was complete"),
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file or document may cost.

    Parameters
    ----------
    n_bytes : int
        Bytes of the body, as they are sent and after decompression.
    seconds : float
        Time altogether: every try, redirect and wait.
    redirects : int
        Redirects that are followed.
    """

    n_bytes: int
    seconds: float
    redirects: int = MOST_REDIRECTS


class SizeLimitError(urllib3.exceptions.HTTPError):
    """A body is larger than it may be."""


DOCUMENT_LIMITS = Limits(MOST_BYTES, DOCUMENT_SECONDS)


@cache
def pool() -> urllib3.PoolManager:
    """Connections to wherever an operator's settings lead, shared by all threads of the process."""
    return pool_of_connections(public=False, headers={"User-Agent": f"compose-runner/{__version__}"})


@cache
def public_pool() -> urllib3.PoolManager:
    """Connections to the public internet only, shared by all threads of the process."""
    return pool_of_connections(public=True, headers={"User-Agent": f"compose-runner/{__version__}"})


class _ToldRetry(Retry):
    """Says in one line that a request is tried again, and why; never waits beyond the deadline."""

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: urllib3.BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: Any = None,
        _stacktrace: Any = None,
    ) -> Self:
        deadline = current_deadline()
        if deadline is not None:
            deadline.check()
        fewer = super().increment(method, url, response, error, _pool, _stacktrace)
        reason = (
            _status_text(response.status) if response is not None else explain_error(error) if error else "no answer"
        )
        host = getattr(_pool, "host", url)
        if isinstance(_pool, PublicHTTPPool | PublicHTTPSPool):
            # a document named this host: what is found there must not reach the document's author
            log.debug("%s: %s", host, reason)
            reason = "no usable answer"
        log.warning("%s: %s; trying again", host, reason)
        return fewer

    def get_retry_after(self, response: urllib3.BaseHTTPResponse) -> float | None:
        """Seconds that a service asks to wait, :data:`LONGEST_WAIT_SECONDS` at most; None where it says nothing."""
        try:
            seconds = super().get_retry_after(response)
        except (urllib3.exceptions.InvalidHeader, ValueError, OverflowError):
            return None
        return None if seconds is None else min(seconds, LONGEST_WAIT_SECONDS)

    def sleep(self, response: urllib3.BaseHTTPResponse | None = None) -> None:
        """Wait before the next try."""
        asked = self.get_retry_after(response) if response is not None and self.respect_retry_after_header else None
        seconds = self.get_backoff_time() if asked is None else asked
        deadline = current_deadline()
        time.sleep(seconds if deadline is None else min(seconds, deadline.remaining))


def retries(attempts: int, methods: tuple[str, ...] = ("GET", "HEAD", "PUT")) -> Retry:
    """Retry temporary failures, with growing and jittered waits; a POST is never repeated."""
    return _ToldRetry(
        total=attempts,
        status_forcelist=RETRYABLE,
        allowed_methods=methods,
        backoff_factor=0.5,
        backoff_jitter=0.5,
        backoff_max=20.0,
        raise_on_status=False,
        respect_retry_after_header=True,
    )


@contextmanager
def answering(
    address: str,
    *,
    limits: Limits,
    allowed: AllowedHosts,
    attempts: int = 4,
    headers: Mapping[str, str] | None = None,
    connect_seconds: float = CONNECT_SECONDS,
    read_seconds: float = READ_SECONDS,
) -> Iterator[urllib3.BaseHTTPResponse]:
    """Ask for something with GET and give the answer, its body not yet read.

    Every address on the way, the first one and that of each redirect, is either at an allowed host or on the public
    internet, where the name of its host resolves to; a redirect never leads from HTTPS to HTTP.

    Parameters
    ----------
    address : str
        Where it is.
    limits : Limits
        Time for everything in the block, and redirects.
    allowed : AllowedHosts
        Hosts that may be anywhere.
    attempts : int
        Retries after the first try, at each address on the way.
    headers : mapping, optional
        Further request headers.
    connect_seconds, read_seconds : float
        Time-outs of one connection and of each wait for a byte, in seconds.

    Raises
    ------
    AddressRefusedError
        An address on the way may not be asked.
    compose_runner.compose.connections.TimeLimitError
        The time is over; raised in the block as well.
    urllib3.exceptions.HTTPError
        No answer.
    """
    timeouts = urllib3.Timeout(connect=connect_seconds, read=read_seconds)
    with Deadline(limits.seconds) as deadline:
        try:
            answer = _asked(address, limits, allowed, retries(attempts), dict(headers or {}), timeouts)
            try:
                yield answer
            finally:
                answer.close()
            deadline.check()
        except urllib3.exceptions.HTTPError:
            deadline.check()  # what broke off because the time was over says so
            raise


def _asked(
    address: str,
    limits: Limits,
    allowed: AllowedHosts,
    tries: Retry,
    headers: dict[str, str],
    timeouts: urllib3.Timeout,
) -> urllib3.BaseHTTPResponse:
    """Follow the redirects, each address checked before it is asked."""
    for _ in range(limits.redirects + 1):
        connections = pool() if check_address(address, allowed) else public_pool()
        try:
            answer = connections.request(
                "GET",
                address,
                headers={**connections.headers, "Accept-Encoding": "identity", **headers},
                timeout=timeouts,
                retries=tries,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except ValueError as error:  # urllib3's words for an address that is none
            raise AddressRefusedError("it is no address") from error
        location = answer.headers.get("Location") if answer.status in _REDIRECTS else None
        if not location:
            return answer
        answer.close()
        address = _redirected(address, location)
    raise RedirectLimitError("it is redirected too often")


def _redirected(address: str, location: str) -> str:
    try:
        target = urljoin(address, location)
    except ValueError as error:
        raise AddressRefusedError("it is redirected to something that is no address") from error
    if address.lower().startswith("https:") and not target.lower().startswith("https:"):
        raise AddressRefusedError("it is redirected from HTTPS to something else")
    return target


def _body(answer: urllib3.BaseHTTPResponse, n_bytes: int) -> bytes:
    """Read a whole body; what is compressed although nobody asked for that is bounded as it unfolds."""
    encoding = answer.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise urllib3.exceptions.DecodeError(f"the encoding {encoding[:20]!r} was not asked for")
    unfolding = zlib.decompressobj(zlib.MAX_WBITS | 16) if encoding.endswith("gzip") else None
    content = bytearray()
    for block in answer.stream(_READ_AT_ONCE, decode_content=False):
        try:
            content += block if unfolding is None else unfolding.decompress(block, n_bytes + 1 - len(content))
        except zlib.error as error:
            raise urllib3.exceptions.DecodeError("it is not compressed as it says") from error
        if len(content) > n_bytes:
            raise SizeLimitError(f"it has more than {n_bytes} bytes")
    return bytes(content)


def get_json(
    address: str,
    document: str,
    *,
    fields: dict[str, str] | None = None,
    attempts: int = 4,
    read_seconds: float = READ_SECONDS,
    connect_seconds: float = CONNECT_SECONDS,
    limits: Limits = DOCUMENT_LIMITS,
) -> Any:
    """Fetch one JSON document from a service that an operator configured.

    Parameters
    ----------
    address : str
        Where it is. Its host may be anywhere; redirects lead to the same host, or to a public one.
    document : str
        What it is, for error texts, such as ``"annotation mmaYdBWkKPoQ"``.
    fields : dict, optional
        The query string.
    attempts : int
        Retries after the first try.
    read_seconds, connect_seconds : float
        Time-outs of one try, in seconds.
    limits : Limits
        What the document may cost altogether.

    Raises
    ------
    DocumentMissingError
        The service answers 404, or another refusal that trying again will not change.
    ServiceUnavailableError
        No answer, or a temporary refusal (429, 5xx), after all retries.
    DocumentMalformedError
        The answer is not JSON, or too large.
    """
    asked = f"{address}?{urlencode(fields)}" if fields else address
    try:
        with answering(
            asked,
            limits=limits,
            allowed=AllowedHosts.of(address),
            attempts=attempts,
            connect_seconds=connect_seconds,
            read_seconds=read_seconds,
        ) as answer:
            if answer.status in RETRYABLE:
                reason = f"the service answered {_status_text(answer.status)}"
                raise ServiceUnavailableError(document, address, reason)
            if answer.status != HTTPStatus.OK:
                raise DocumentMissingError(document, address, f"the service answered {_status_text(answer.status)}")
            content = _body(answer, limits.n_bytes)
    except AddressRefusedError as error:
        raise DocumentMissingError(document, address, explain_error(error)) from error
    except (SizeLimitError, urllib3.exceptions.DecodeError) as error:
        raise DocumentMalformedError(document, address, str(error)) from error
    except urllib3.exceptions.HTTPError as error:
        raise ServiceUnavailableError(document, address, f"no answer ({explain_error(error)})") from error
    return parse_json(content, document, address)


def _status_text(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def explain_error(error: BaseException) -> str:
    """Innermost reason of a connection error in words, without the library's object addresses."""
    while isinstance(error, urllib3.exceptions.MaxRetryError) and error.reason is not None:
        error = error.reason
    return next((words for kind, words in _REASONS if isinstance(error, kind)), type(error).__name__)
