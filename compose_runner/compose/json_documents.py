"""JSON of others, read within bounds, and JSON of our own, written so that every reader takes it.

What is bounded is what the rest of this package relies on: a document that was read can be walked by recursion,
pickled, sorted, encoded as UTF-8 and written again.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from compose_runner.errors import DocumentMalformedError

# A studyset of NeuroStore has about 32 kB a study (abstract, metadata, points), so this is one of 4,000 studies. Text
# becomes up to four times as long in memory.
MOST_BYTES = 128 << 20
# about 100 bytes of memory each; a study has some 1,500
MOST_VALUES = 10_000_000
# a studyset that Compose wrapped in a snapshot has 15
DEEPEST = 64
# 64 bits hold every number that means something; NumPy and pandas stumble over longer ones
_MOST_BITS = 64
_TOO_LARGE = f"a whole number of more than {_MOST_BITS} bits"
_SURROGATE = re.compile("[\ud800-\udfff]")
# escaped, or encoded as if it were a character
_MAY_BE_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")


class _RepeatedKeyError(ValueError):
    pass


def parse_json(content: bytes, document: str, address: str) -> Any:
    """Read a JSON document that anybody may have written.

    ``NaN`` and ``Infinity``, which Python writes although JSON has no such numbers, are read; who needs finite numbers
    checks them where it knows what they are.

    Parameters
    ----------
    content : bytes
        UTF-8, UTF-16 or UTF-32, with or without a byte order mark.
    document, address : str
        What it is and where it came from, for the error.

    Raises
    ------
    DocumentMalformedError
        It is not JSON; a key stands twice in an object; it has more than :data:`MOST_VALUES` values, is nested more
        than :data:`DEEPEST` deep, or holds a number or a text that nothing can be made of. The place is named.
    """
    if len(content) > MOST_BYTES:
        raise DocumentMalformedError(document, address, f"it has more than {MOST_BYTES:,} bytes")
    # every value but the first of a list or an object follows a comma, and these characters are single bytes in UTF-8
    if content.count(b",") + content.count(b"[") + content.count(b"{") > MOST_VALUES:
        raise DocumentMalformedError(document, address, f"it has more than {MOST_VALUES:,} values")
    try:
        found = json.loads(content, object_pairs_hook=_object)
    except _RepeatedKeyError as error:
        raise DocumentMalformedError(document, address, str(error)) from error
    except RecursionError as error:
        raise DocumentMalformedError(document, address, _too_deep()) from error
    except (json.JSONDecodeError, UnicodeError) as error:
        raise DocumentMalformedError(document, address, "it is not JSON") from error
    except ValueError as error:  # Python reads no number of more than 4,300 digits
        raise DocumentMalformedError(document, address, f"it holds {_TOO_LARGE}") from error
    # UTF-16 and UTF-32 may hold surrogates without an escape
    is_utf8 = json.detect_encoding(content) in ("utf-8", "utf-8-sig")
    reason = _flaw(found, texts=not is_utf8 or _MAY_BE_SURROGATE.search(content) is not None)
    if reason:
        raise DocumentMalformedError(document, address, reason)
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _RepeatedKeyError(f"the key {_truncate_repr(twice)} stands twice in an object")
    return found


def _too_deep() -> str:
    return f"it is nested more than {DEEPEST} deep"


def _flaw(document: Any, *, texts: bool) -> str:
    """Find what cannot be worked with, level by level; paths are worked out for a flaw alone."""
    level: list[Any] = [document]
    for _ in range(DEEPEST + 1):
        deeper: list[Any] = []
        for container in level:
            values = container.values() if type(container) is dict else container if type(container) is list else ()
            for value in values:
                kind = type(value)
                if kind is dict or kind is list:
                    deeper.append(value)
                elif (kind is int and value.bit_length() > _MOST_BITS) or (texts and kind is str and _unusable(value)):
                    return f"{_path_to(document, value)} {_find_flaw(value)}"
            if texts and type(container) is dict:
                for key in container:
                    if _unusable(key):
                        return f"the key {_truncate_repr(key)} {_find_flaw(key)}"
        if not deeper:
            return (
                _find_flaw(document) and f"it {_find_flaw(document)}" if not isinstance(document, dict | list) else ""
            )
        level = deeper
    return _too_deep()


def _unusable(text: str) -> bool:
    return _SURROGATE.search(text) is not None


def _find_flaw(value: Any) -> str:
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        return f"is {_TOO_LARGE}"
    return "holds half of a character (a lone surrogate)" if isinstance(value, str) and _unusable(value) else ""


def _path_to(document: Any, wanted: Any) -> str:
    """Where in a document a value stands; the document is no deeper than :data:`DEEPEST` up to there."""
    level: list[tuple[str, Any]] = [("", document)]
    while level:
        deeper: list[tuple[str, Any]] = []
        for path, container in level:
            steps = container.items() if isinstance(container, dict) else enumerate(container)
            for step, value in steps:
                here = (
                    f"{path}[{step}]"
                    if isinstance(step, int)
                    else f"{path}.{_truncate_repr(step, quote=False)}".lstrip(".")
                )
                if value is wanted:
                    return here
                if isinstance(value, dict | list):
                    deeper.append((here, value))
        level = deeper
    return "it"


def _truncate_repr(text: str, *, quote: bool = True) -> str:
    text = ascii(text[:60])
    return text if quote else text[1:-1]


def strict(document: Any) -> Any:
    """Copy a document with null in place of every number that JSON has not (NaN and the infinities).

    Parameters
    ----------
    document : object
        Dictionaries, lists, tuples and what they hold; it is not changed.
    """
    if isinstance(document, dict):
        return {key: strict(value) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [strict(value) for value in document]
    if isinstance(document, float) and not math.isfinite(document):
        return None
    return document


def strict_json(document: Any, **options: Any) -> str:
    """Write JSON that every parser reads: numbers that JSON has not become null.

    Parameters
    ----------
    document : object
        What to write.
    **options
        As of :func:`json.dumps`.
    """
    try:
        return json.dumps(document, allow_nan=False, **options)
    except ValueError:
        return json.dumps(strict(document), allow_nan=False, **options)
