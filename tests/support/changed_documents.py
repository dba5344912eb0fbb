"""Documents that differ from good ones at one place."""

from __future__ import annotations

import copy
from typing import Any

Path = tuple[Any, ...]


def changed(document: Any, path: Path, value: Any) -> Any:
    """Copy a document with another value at one place."""
    document = copy.deepcopy(document)
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return document


def places(document: Any, path: Path = ()) -> list[Path]:
    """Every place in a document but its root."""
    steps = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return [place for step, inner in steps for place in ((*path, step), *places(inner, (*path, step)))]
