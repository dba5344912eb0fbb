"""The port from which a browser reads artifacts: objects of one bucket, by presigned addresses, and nothing else.

A report is a page with scripts that somebody else's documents went into. It has an origin of its own here (``sandbox``
in its Content Security Policy makes it a unique one), from which it can reach neither the gateway nor the embedded AWS.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from compose_runner.local.aws.request_signatures import SignatureRefusedError, check_query
from compose_runner.local.http_server import HARDENING, HttpServer, JsonHandler
from compose_runner.local.visitors import RefusedError

if TYPE_CHECKING:
    from compose_runner.local.aws.request_signatures import AccessKeys

# scripts and styles of a report are inside of it; it asks nobody for anything, and its links open pages of their own
CONTENT_SECURITY_POLICY = (
    "sandbox allow-scripts allow-popups allow-popups-to-escape-sandbox allow-downloads; "
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_PIECE = 1 << 20
_HANDED_ON = {"content-type": "ContentType", "content-range": "ContentRange", "etag": "ETag"}


class ArtifactServer(HttpServer):
    """Serves the objects of a bucket.

    Parameters
    ----------
    objects : botocore client
        S3, as the service's own process sees it.
    bucket : str
        The only one that is served.
    keys : AccessKeys
        Whose presigned addresses are served.
    host : str
        Where to listen.
    port : int
        0 for any free one.
    public_url : str or None
        Where browsers reach it, when that is a proxy in front of it.

    Attributes
    ----------
    public_endpoint : str
        What presigned addresses begin with.
    """

    def __init__(
        self,
        objects: Any,
        bucket: str,
        keys: AccessKeys,
        host: str,
        *,
        port: int = 0,
        public_url: str | None = None,
    ) -> None:
        names = (urlsplit(public_url).netloc,) if public_url else ()
        super().__init__(
            _Handler, host, port, follow_links=True, names=names, objects=objects, bucket=bucket, keys=keys
        )
        self.public_endpoint = public_url.rstrip("/") if public_url else self.endpoint


class _Handler(JsonHandler):
    objects: Any
    bucket: str
    keys: AccessKeys

    def answer(self) -> None:
        self.body()
        path = self.path.partition("?")[0]
        bucket, _, key = unquote(path).removeprefix("/").partition("/")
        try:
            check_query(self.keys, self.path, self.headers["host"].strip())
        except SignatureRefusedError as error:
            raise RefusedError(HTTPStatus.FORBIDDEN, str(error)) from None
        if bucket != self.bucket or not key:
            raise RefusedError(HTTPStatus.NOT_FOUND, "there is no such artifact")
        self._send(key)

    def _send(self, key: str) -> None:
        wanted = self.headers.get("range")
        try:
            found = self.objects.get_object(Bucket=self.bucket, Key=key, **({"Range": wanted} if wanted else {}))
        except ClientError as error:
            status = HTTPStatus(error.response["ResponseMetadata"]["HTTPStatusCode"])
            raise RefusedError(status, f"the artifact cannot be read: {error.response['Error'].get('Code')}") from None
        except BotoCoreError:
            raise RefusedError(HTTPStatus.BAD_GATEWAY, "the artifact cannot be read") from None
        with found["Body"] as content:
            self.send_response(found["ResponseMetadata"]["HTTPStatusCode"])
            headers = {name: found[field] for name, field in _HANDED_ON.items() if found.get(field)}
            headers |= {
                **HARDENING,
                "content-security-policy": CONTENT_SECURITY_POLICY,
                "cache-control": "no-store",
                "accept-ranges": "bytes",
                "content-length": str(found["ContentLength"]),
            }
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "HEAD":
                return
            while piece := content.read(_PIECE):
                self.wfile.write(piece)
