"""Signature Version 4, checked: only who knows the secret key that was made at the start may ask the embedded AWS.

The signature is computed again by botocore's own signers from what came over the wire, and compared in constant time.
The access key id is no secret, since it stands in every presigned address; the secret key cannot be derived from one.

References
----------
AWS, "Signature Version 4 signing process"; "Authenticating Requests: Using Query Parameters (AWS Signature Version 4)".
"""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qsl, urlsplit

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

if TYPE_CHECKING:
    from collections.abc import Mapping

ALGORITHM = "AWS4-HMAC-SHA256"
# what AWS allows a client's clock to be wrong by
CLOCK_SKEW = timedelta(minutes=15)
MAX_EXPIRES_SECONDS = 604_800
_TIME = "%Y%m%dT%H%M%SZ"
_AUTHORIZATION = re.compile(
    rf"{ALGORITHM} Credential=(?P<credential>[^,\s]+), ?SignedHeaders=(?P<headers>[a-z0-9;_.-]+), ?"
    r"Signature=(?P<signature>[0-9a-f]{64})"
)


class SignatureRefusedError(Exception):
    """The request is not signed, is signed by somebody else, or its time is over."""


@dataclass(frozen=True, slots=True)
class AccessKeys:
    """A pair of keys.

    Parameters
    ----------
    access_key : str
        Names the pair; readable in every presigned address.
    secret_key : str
        Signs.
    """

    access_key: str
    secret_key: str = field(repr=False)

    @classmethod
    def random(cls) -> Self:
        """Make a pair that nobody can guess."""
        return cls(f"EMBEDDED{secrets.token_hex(8).upper()}", secrets.token_urlsafe(32))

    @property
    def variables(self) -> dict[str, str]:
        """Environment that gives the pair to another process."""
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}


def check_headers(keys: AccessKeys, method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> None:
    """Check a request that is signed in its ``Authorization`` header.

    Parameters
    ----------
    keys : AccessKeys
        Who may sign.
    method, target : str
        Of the request line, as they came.
    headers : mapping
        By names in lower case.
    body : bytes or None
        The request's; None if the header ``x-amz-content-sha256``, which is signed, speaks for it.

    Raises
    ------
    SignatureRefusedError
        The request is not to be served.
    """
    found = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    if found is None:
        raise SignatureRefusedError("the request is not signed")
    stamp = headers.get("x-amz-date", "")
    signed = found["headers"].split(";")
    must = {"host", "x-amz-date"} | ({"x-amz-content-sha256"} if body is None else set())
    if not must.issubset(signed) or not set(signed).issubset(headers):
        raise SignatureRefusedError("the request signs too little")
    if abs(datetime.now(UTC) - _time(stamp)) > CLOCK_SKEW:
        raise SignatureRefusedError("the request is too old")
    region, service = _scope(keys, found["credential"], stamp)
    signer = S3SigV4Auth if service == "s3" else SigV4Auth
    request = AWSRequest(
        method=method,
        url=f"http://{headers['host']}{target}",
        headers={name: headers[name] for name in signed},
        data=body or b"",
    )
    _compare(signer(_credentials(keys), service, region), request, stamp, found["signature"])


def check_query(keys: AccessKeys, target: str, host: str) -> None:
    """Check a presigned address of an object, with its time.

    Parameters
    ----------
    keys : AccessKeys
        Who may sign.
    target : str
        Path and query of the request line, as they came.
    host : str
        The ``Host`` header, which is signed.

    Raises
    ------
    SignatureRefusedError
        The address is not to be served.
    """
    path, _, query = target.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    fields = dict(pairs)
    if len(fields) != len(pairs) or fields.get("X-Amz-Algorithm") != ALGORITHM:
        raise SignatureRefusedError("the address is not signed")
    if fields.get("X-Amz-SignedHeaders") != "host":
        raise SignatureRefusedError("the address signs other headers than its host")
    stamp, expires = fields.get("X-Amz-Date", ""), fields.get("X-Amz-Expires", "")
    if not (expires.isascii() and expires.isdigit() and len(expires) < 10 and int(expires) <= MAX_EXPIRES_SECONDS):
        raise SignatureRefusedError("the address has no time of validity")
    age = datetime.now(UTC) - _time(stamp)
    if age < -CLOCK_SKEW or age > timedelta(seconds=int(expires)):
        raise SignatureRefusedError("the address is no longer valid; ask for the results again")
    region, service = _scope(keys, fields.get("X-Amz-Credential", ""), stamp)
    if service != "s3":
        raise SignatureRefusedError("the address is not one of an object")
    unsigned = "&".join(part for part in query.split("&") if not part.startswith("X-Amz-Signature="))
    request = AWSRequest(method="GET", url=f"http://{host}{path}?{unsigned}", headers={"host": host})
    _compare(S3SigV4QueryAuth(_credentials(keys), service, region), request, stamp, fields.get("X-Amz-Signature", ""))


def _credentials(keys: AccessKeys) -> Credentials:
    return Credentials(keys.access_key, keys.secret_key)


def _time(stamp: str) -> datetime:
    try:
        return datetime.strptime(stamp, _TIME).replace(tzinfo=UTC)
    except ValueError:
        raise SignatureRefusedError("the request has no time") from None


def _scope(keys: AccessKeys, credential: str, stamp: str) -> tuple[str, str]:
    """Region and service for which a signature was made."""
    parts = credential.split("/")
    if len(parts) != 5 or parts[1] != stamp[:8] or parts[4] != "aws4_request":
        raise SignatureRefusedError("the signature has no scope")
    if not hmac.compare_digest(parts[0].encode(), keys.access_key.encode()):
        raise SignatureRefusedError("the request is signed by somebody else")
    return parts[2], parts[3]


def _compare(signer: SigV4Auth, request: AWSRequest, stamp: str, given: str) -> None:
    request.context["timestamp"] = stamp
    # a target that is no address at all, such as one with half a bracket
    try:
        urlsplit(request.url)
        expected = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    except ValueError:
        raise SignatureRefusedError("the address cannot be read") from None
    if not hmac.compare_digest(expected.encode(), given.encode()):
        raise SignatureRefusedError("the signature is wrong")
