"""Words for numbers and studies in messages to a researcher."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from compose_runner.analysis.write.names import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PLURALS = {"focus": "foci", "analysis": "analyses", "study": "studies"}
_TITLE_LENGTH = 100
_VALUE_LENGTH = 60
_SHOWN_TITLES, _SHOWN = 3, 5


def counted(number: int, noun: str) -> str:
    """Write ``1 note``, ``2 notes``, ``1,000 studies``; the last word of the noun gets the plural."""
    if number == 1:
        return f"1 {noun}"
    words, _, last = noun.rpartition(" ")
    return f"{number:,} {words}{' ' if words else ''}{_PLURALS.get(last, f'{last}s')}"


def title(study: Mapping[str, Any]) -> str:
    """Name a study by its title, on one line and not too long; or by its authors, or at last by its id."""
    text = clean(study.get("name"))
    if not text:
        text = " ".join(part for part in (clean(study.get("authors")), clean(study.get("year"))) if part)
    if not text:
        return f"a study without a title ({clean(study.get('id'))[:_TITLE_LENGTH]})"
    return text if len(text) <= _TITLE_LENGTH else f"{text[: _TITLE_LENGTH - 1].rstrip()}…"


def quoted(titles: Iterable[str]) -> str:
    """List titles in quotation marks, the first few of them."""
    known = list(dict.fromkeys(titles))
    shown = ", ".join(f'"{one}"' for one in known[:_SHOWN_TITLES])
    return (
        f"{shown} and {counted(len(known) - _SHOWN_TITLES, 'further study')}" if len(known) > _SHOWN_TITLES else shown
    )


def as_written(value: object) -> str:
    """Show a value as it stands in a JSON document, shortened."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = str(value)
    text = clean(text)
    return text if len(text) <= _VALUE_LENGTH else f"{text[: _VALUE_LENGTH - 1]}…"


def frequencies(counts: Mapping[str, int]) -> str:
    """List what was counted, the most frequent first: ``3 null, 1 text``."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{number:,} {what}" for what, number in ordered[:_SHOWN])
    rest = sum(number for _, number in ordered[_SHOWN:])
    return f"{shown}, {rest:,} {'other' if rest == 1 else 'others'}" if rest else shown
