"""Warnings of libraries, which speak of their files and lines, out of a researcher's log."""

from __future__ import annotations

import contextlib
import logging
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)


@contextlib.contextmanager
def warnings_at_debug() -> Iterator[None]:
    """Log Python's warnings at the level of debugging.

    What NiMARE has to say to a researcher it logs; nilearn warns of every map without clusters, NumPy of every 0/0.
    """

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        log.debug("%s: %s", category.__name__, message)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
