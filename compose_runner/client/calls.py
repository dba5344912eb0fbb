"""One call of a function of a service: signed, repeated where that is safe, its answer read or its refusal raised."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import urllib3

from compose_runner.client.models import (
    REFUSALS,
    RequestRefusedError,
    ServiceError,
)
from compose_runner.compose.http_client import RETRYABLE, explain_error, pool, retries

if TYPE_CHECKING:
    from compose_runner.client.addresses import ServiceAddresses

# Compose's own client waits as long
ANSWER_SECONDS = 30.0
_ATTEMPTS = 3


def call(
    service: ServiceAddresses,
    function: str,
    payload: dict[str, Any],
    *,
    method: str = "POST",
    headers: dict[str, str] | None = None,
    repeatable: bool = True,
) -> dict[str, Any]:
    """Call a function.

    Parameters
    ----------
    service : ServiceAddresses
        Where the functions are and how requests are signed.
    function : str
        Its name, such as ``"submit"``.
    payload : dict
        The request.
    method : str
        Of HTTP.
    headers : dict, optional
        Further headers.
    repeatable : bool
        Whether a request that may have arrived can be sent once more.

    Raises
    ------
    ServiceError
        The service does not answer, or answers what may be different next time.
    RequestRefusedError
        It refused the request.
    """
    url = service.function_url(function)
    body = json.dumps(payload).encode()
    sent = {"Content-Type": "application/json", "Accept": "application/json", **(headers or {})}
    try:
        answer = pool().request(
            method,
            url,
            body=body,
            headers=service.signed(method, url, body, sent),
            timeout=urllib3.Timeout(connect=10.0, read=ANSWER_SECONDS),
            retries=retries(_ATTEMPTS, (method,)) if repeatable else False,
        )
    except urllib3.exceptions.HTTPError as error:
        raise ServiceError(
            f"{function} at {url} does not answer: {explain_error(error)}. Start a service with compose-runner "
            "serve, or name the address of one that runs (--endpoint)."
        ) from error
    return _parse_document(function, url, answer.status, answer.data)


def _parse_document(function: str, url: str, status: int, data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except ValueError:
        document = None
    if status < HTTPStatus.BAD_REQUEST:
        if isinstance(document, dict):
            return document
        raise ServiceError(f"{function} at {url} answered {status} with something that is not a JSON object")
    words = (
        (document.get("error") or document.get("Message") or document.get("message"))
        if isinstance(document, dict)
        else None
    )
    reason = str(words) if words else f"{function} at {url} answered {status}"
    if status in RETRYABLE or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise ServiceError(f"{reason} ({function}, HTTP {status})")
    raise REFUSALS.get(HTTPStatus(status), RequestRefusedError)(status, reason)
