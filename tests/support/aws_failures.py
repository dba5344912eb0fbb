"""Errors and answers that stand for AWS where a test puts something in the place of the network."""

from __future__ import annotations

import io
import string
from typing import TYPE_CHECKING, Any

import botocore.exceptions
import urllib3

if TYPE_CHECKING:
    from collections.abc import Iterator


def walk(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    """List a class and all that derive from it."""
    yield kind
    for narrower in kind.__subclasses__():
        yield from walk(narrower)


def make_error(kind: type[BaseException]) -> BaseException:
    """Make an error of a class, whatever its constructor wants."""
    if issubclass(kind, botocore.exceptions.ClientError):
        return kind({"Error": {"Code": "SlowDown", "Message": "text"}}, "PutObject")
    if kind is urllib3.exceptions.IncompleteRead:
        return kind(1, 2)
    if kind is urllib3.exceptions.InvalidChunkLength:
        return kind(urllib3.HTTPResponse(), b"0")
    fields = {name: "text" for _, name, _, _ in string.Formatter().parse(str(getattr(kind, "fmt", ""))) if name}
    for arguments, named in (((), fields), (("text",), {}), (("text", "text"), {}), (("text", "text", "text"), {})):
        try:
            return kind(*arguments, **named)
        except (TypeError, KeyError, AttributeError, IndexError):
            continue
    error = kind.__new__(kind)
    Exception.__init__(error, "text")
    return error


class Body(io.BytesIO):
    """The body of an answer, as botocore reads it."""

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield self.read()
