"""The one HTTP client of this package: time-outs, retries with backoff, errors that name document and address.

urllib3 is in Lambda's runtime already and costs little to import, so that functions and analysis can both use it.
"""

from __future__ import annotations

import json
import logging
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import urllib3
from urllib3.util.retry import Retry

from compose_runner import __version__
from compose_runner.errors import DocumentMalformedError, DocumentMissingError, ServiceUnavailableError

if TYPE_CHECKING:
    from typing import Self

log = logging.getLogger(__name__)
# the pool's own words for the same are an object's representation
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)

MAY_PASS = frozenset({408, 425, 429, 500, 502, 503, 504})
CONNECT_SECONDS = 10.0
# special kinds come before the kinds that they are of
_REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (urllib3.exceptions.NameResolutionError, "no host has this name, or there is no network"),
    (urllib3.exceptions.NewConnectionError, "nothing listens there, or there is no network"),
    (urllib3.exceptions.ConnectTimeoutError, "the connection took too long"),
    (urllib3.exceptions.ReadTimeoutError, "the answer took too long"),
    (urllib3.exceptions.SSLError, "the connection cannot be made secure"),
    (urllib3.exceptions.ProxyError, "the proxy cannot be reached"),
    (urllib3.exceptions.ProtocolError, "the connection was closed before the answer was complete"),
)
READ_SECONDS = 60.0


@cache
def pool() -> urllib3.PoolManager:
    """Connections, shared by all threads of the process."""
    return urllib3.PoolManager(maxsize=8, headers={"User-Agent": f"compose-runner/{__version__}"})


class _ToldRetry(Retry):
    """Says in one line that a request is tried again, and why."""

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: urllib3.BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: Any = None,
        _stacktrace: Any = None,
    ) -> Self:
        fewer = super().increment(method, url, response, error, _pool, _stacktrace)
        reason = _status_text(response.status) if response is not None else reason_of(error) if error else "no answer"
        log.warning("%s: %s; trying again", getattr(_pool, "host", url), reason)
        return fewer


def retries(attempts: int, methods: tuple[str, ...] = ("GET", "HEAD", "PUT")) -> Retry:
    """Retry what may pass, with growing and jittered waits; a POST is never repeated."""
    return _ToldRetry(
        total=attempts,
        status_forcelist=MAY_PASS,
        allowed_methods=methods,
        backoff_factor=0.5,
        backoff_jitter=0.5,
        backoff_max=20.0,
        raise_on_status=False,
        respect_retry_after_header=True,
    )


def get_json(
    address: str,
    document: str,
    *,
    fields: dict[str, str] | None = None,
    attempts: int = 4,
    read_seconds: float = READ_SECONDS,
    connect_seconds: float = CONNECT_SECONDS,
) -> Any:
    """Fetch one JSON document.

    Parameters
    ----------
    address : str
        Where it is.
    document : str
        What it is, for error texts, such as ``"annotation mmaYdBWkKPoQ"``.
    fields : dict, optional
        The query string.
    attempts : int
        Retries after the first try.
    read_seconds, connect_seconds : float
        Time-outs of one try, in seconds.

    Raises
    ------
    DocumentMissingError
        The service answers 404, or another refusal that trying again will not change.
    ServiceUnavailableError
        No answer, or an answer that may pass (429, 5xx), after all retries.
    DocumentMalformedError
        The answer is not JSON.
    """
    try:
        answer = pool().request(
            "GET",
            address,
            fields=fields,
            timeout=urllib3.Timeout(connect=connect_seconds, read=read_seconds),
            retries=retries(attempts),
        )
    except urllib3.exceptions.HTTPError as error:
        raise ServiceUnavailableError(document, address, f"no answer ({reason_of(error)})") from error
    if answer.status in MAY_PASS:
        raise ServiceUnavailableError(document, address, f"the service answered {_status_text(answer.status)}")
    if answer.status != HTTPStatus.OK:
        raise DocumentMissingError(document, address, f"the service answered {_status_text(answer.status)}")
    try:
        return json.loads(answer.data)
    except (ValueError, RecursionError) as error:
        raise DocumentMalformedError(document, address, "the answer is not JSON") from error


def _status_text(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def reason_of(error: BaseException) -> str:
    """Innermost reason of a connection error in words, without the library's object addresses."""
    while isinstance(error, urllib3.exceptions.MaxRetryError) and error.reason is not None:
        error = error.reason
    return next((words for kind, words in _REASONS if isinstance(error, kind)), type(error).__name__)
