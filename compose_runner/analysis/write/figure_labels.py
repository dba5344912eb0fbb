"""Names of studies and experiments as figures can show them: as text, of a bounded length, each different."""

from __future__ import annotations

import html
from itertools import count
from typing import TYPE_CHECKING

from compose_runner.escaping import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# NiMARE cuts the labels of an axis to so many characters, and plotly cannot draw two that are equal then
AXIS_LENGTH = 20
LONGEST = 60


def for_plotly(text: str) -> str:
    """Escape what plotly takes for markup: its labels may hold elements and links."""
    return html.escape(text, quote=False)


def for_matplotlib(text: str) -> str:
    """Escape what matplotlib takes for mathematics, and an underscore at the beginning, which would hide a label."""
    text = text.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def labels(names: Iterable[object], escape: Callable[[str], str], longest: int = LONGEST) -> list[str]:
    """Make labels of names, as short as wanted and different even if the names are not.

    Parameters
    ----------
    names : iterable
        In the order of the figure.
    escape : callable
        :func:`for_plotly` or :func:`for_matplotlib`.
    longest : int
        Characters of a label, once it is escaped.
    """
    taken: set[str] = set()
    last: dict[str, int] = {}
    found = []
    for name in names:
        text = visible(name)
        first = label = _cut(text, longest, escape)
        if label in taken:
            for number in count(last.get(first, 1) + 1):
                ending = f" ({number})"
                label = f"{_cut(text, longest - len(ending), escape)}{ending}"
                if label not in taken:
                    last[first] = number
                    break
        taken.add(label)
        found.append(label)
    return found


def _cut(text: str, longest: int, escape: Callable[[str], str]) -> str:
    text = text[:longest]
    while len(label := escape(text)) > longest:
        text = text[:-1]
    return label
