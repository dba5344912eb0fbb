"""Powertools' tracing provider: send subsegments to the X-Ray daemon that Lambda runs beside every function.

The only provider that Powertools 3 brings is the X-Ray SDK, which is in maintenance since February 2026 and gets no
release after February 2027 (https://docs.aws.amazon.com/xray/latest/devguide/xray-daemon-eos.html). A provider for
OpenTelemetry is being discussed (aws-powertools/powertools-lambda-python#7003) and takes this module's place once it
is there. What a function needs is one small datagram per subsegment:
https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html and
https://docs.aws.amazon.com/xray/latest/devguide/xray-api-sendingdata.html (section "Sending segment documents to the
X-Ray daemon").
"""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import time
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.tracing.base import BaseProvider, BaseSegment

if TYPE_CHECKING:
    import numbers
    import traceback
    from collections.abc import AsyncGenerator, Generator, Sequence

TRACE_HEADER = "_X_AMZN_TRACE_ID"
DAEMON_ADDRESS = "AWS_XRAY_DAEMON_ADDRESS"
_MAX_DATAGRAM = 64_000
_NOT_IN_NAMES = re.compile(r"[^\w\s.:/%&#=+\\\-@]")

_current: ContextVar[Subsegment | None] = ContextVar("current_subsegment", default=None)


class Subsegment(BaseSegment):
    """One piece of work inside the function's segment, sent when it is closed.

    Parameters
    ----------
    name : str
        What is done, or the service that is called.
    namespace : str, optional
        ``aws`` for a call to AWS, ``remote`` for another service.
    """

    def __init__(self, name: str, namespace: str | None = None) -> None:
        self.id = secrets.token_hex(8)
        self.document: dict[str, Any] = {
            "name": _NOT_IN_NAMES.sub("_", name)[:200],
            "id": self.id,
            "type": "subsegment",
            "start_time": time.time(),
        }
        if namespace:
            self.document["namespace"] = namespace
        parent = _current.get()
        self._parent_id = parent.id if parent is not None else None

    def close(self, end_time: int | None = None) -> None:
        """End the subsegment and send it, if Lambda samples this request."""
        self.document["end_time"] = end_time or time.time()
        trace = dict(part.split("=", 1) for part in os.environ.get(TRACE_HEADER, "").split(";") if "=" in part)
        if trace.get("Sampled") != "1" or "Root" not in trace or "Parent" not in trace:
            return
        self.document |= {"trace_id": trace["Root"], "parent_id": self._parent_id or trace["Parent"]}
        _send(self.document)

    def add_subsegment(self, subsegment: Any) -> None:
        """Not needed: every subsegment is sent by itself and names its parent."""

    def remove_subsegment(self, subsegment: Any) -> None:
        """Not needed: every subsegment is sent by itself and names its parent."""

    def put_annotation(self, key: str, value: str | numbers.Number | bool) -> None:
        """Add a value by which traces are searched."""
        self.document.setdefault("annotations", {})[key] = value

    def put_metadata(self, key: str, value: Any, namespace: str = "default") -> None:
        """Add a value that is kept with the trace but not searched."""
        self.document.setdefault("metadata", {}).setdefault(namespace or "default", {})[key] = value

    def add_exception(
        self, exception: BaseException, stack: list[traceback.StackSummary], remote: bool = False
    ) -> None:
        """Mark the subsegment as failed; only the error's type is kept, since a text may hold what must not leave."""
        self.document["fault"] = True
        self.document["cause"] = {
            "exceptions": [{"id": secrets.token_hex(8), "type": type(exception).__name__, "remote": remote}]
        }


def _send(document: dict[str, Any]) -> None:
    """Hand one document to the daemon; a trace that cannot be sent must never fail the request."""
    address = os.environ.get(DAEMON_ADDRESS, "").strip() or "127.0.0.1:2000"
    # one address, or "tcp:host:port udp:host:port"
    host, _, port = address.split()[-1].removeprefix("udp:").rpartition(":")
    try:
        datagram = b'{"format":"json","version":1}\n' + json.dumps(document, default=str).encode()
        if len(datagram) <= _MAX_DATAGRAM:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
                daemon.setblocking(False)
                daemon.sendto(datagram, (host, int(port)))
    except (OSError, ValueError):
        return


class XRayProvider(BaseProvider):
    """What :class:`aws_lambda_powertools.Tracer` needs of a tracing system, without the X-Ray SDK."""

    @contextmanager
    def in_subsegment(self, name: str | None = None, **kwargs: Any) -> Generator[Subsegment, None, None]:
        """Open a subsegment inside the current one and send it at the end; an error marks it as failed."""
        subsegment = Subsegment(name or "work", kwargs.get("namespace"))
        outer = _current.set(subsegment)
        try:
            yield subsegment
        except BaseException as error:
            subsegment.add_exception(error, [])
            raise
        finally:
            _current.reset(outer)
            subsegment.close()

    @asynccontextmanager
    async def in_subsegment_async(self, name: str | None = None, **kwargs: Any) -> AsyncGenerator[Subsegment, None]:
        """Do the same around asynchronous work."""
        with self.in_subsegment(name, **kwargs) as subsegment:
            yield subsegment

    def put_annotation(self, key: str, value: str | numbers.Number | bool) -> None:
        """Annotate the current subsegment."""
        current = _current.get()
        if current is not None:
            current.put_annotation(key, value)

    def put_metadata(self, key: str, value: Any, namespace: str = "default") -> None:
        """Add metadata to the current subsegment."""
        current = _current.get()
        if current is not None:
            current.put_metadata(key, value, namespace)

    def patch(self, modules: Sequence[str]) -> None:
        """Not needed: the adapters of :mod:`compose_runner.service.aws` open a subsegment for each call."""

    def patch_all(self) -> None:
        """Not needed: the adapters of :mod:`compose_runner.service.aws` open a subsegment for each call."""
