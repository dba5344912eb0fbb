"""See every Monte Carlo iteration of NiMARE, whichever path it takes.

NiMARE reports iterations to ``tqdm`` bars on stderr. While :func:`observe_iterations` is in force, the name ``tqdm`` in
its modules means an iterator that counts for a listener instead and draws nothing.
"""

from __future__ import annotations

import contextlib
import contextvars
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from compose_runner.analysis.compute.patches.replacing import replaced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MODULES_WITH_BARS = (
    "nimare.meta.cbma.base",
    "nimare.meta.cbma.mkda",
    "nimare.meta.cbma.ale",
    "nimare.diagnostics",
)

_listener: contextvars.ContextVar[Callable[[int, int], None] | None] = contextvars.ContextVar(
    "iterations_listener", default=None
)
_unseen: contextvars.ContextVar[bool] = contextvars.ContextVar("iterations_unseen", default=False)


class CountedIterations:
    """Stands where a ``tqdm`` bar would: iterates, and tells a listener how far it is.

    Parameters
    ----------
    listener : callable
        Called as ``listener(completed, total)``.
    iterable : iterable, optional
        What to iterate over.
    total : int, optional
        How many items that is; without it the iterable's length, or 0 when it has none.
    **ignored
        Whatever else a bar takes.
    """

    def __init__(
        self,
        listener: Callable[[int, int], None],
        iterable: Iterable[Any] | None = None,
        total: int | None = None,
        **ignored: Any,
    ) -> None:
        self._listener = listener
        self._iterable = iterable if iterable is not None else ()
        if total is None:
            total = len(iterable) if hasattr(iterable, "__len__") else 0  # type: ignore[arg-type]
        self.total, self.n = int(total), 0

    def __iter__(self) -> Iterator[Any]:
        for item in self._iterable:
            yield item
            self.update()

    def __len__(self) -> int:
        return self.total

    def __enter__(self) -> CountedIterations:
        return self

    def __exit__(self, *exc_info: object) -> None:
        return None

    def update(self, n: int = 1) -> None:
        """Count ``n`` more iterations."""
        self.n += n
        if not _unseen.get():
            self._listener(self.n, max(self.total, self.n))

    def close(self) -> None:
        """Do nothing: there is no bar to close."""

    def set_description(self, *ignored: Any, **also_ignored: Any) -> None:
        """Do nothing: there is no bar to describe."""


def _count_or_draw(iterable: Iterable[Any] | None = None, *arguments: Any, **options: Any) -> Any:
    """Stand for ``tqdm``: count for the listener of this thread's job, and draw a bar where there is none."""
    listener = _listener.get()
    if listener is None:
        return tqdm(iterable, *arguments, **options)
    return CountedIterations(listener, iterable, **options)


@contextlib.contextmanager
def observe_iterations(listener: Callable[[int, int], None]) -> Iterator[None]:
    """Tell ``listener(completed, total)`` of every iteration of NiMARE's own loops, and draw no bars.

    Parameters
    ----------
    listener : callable
        Called from the thread that runs the workflow.
    """
    token = _listener.set(listener)
    try:
        with replaced((module, "tqdm", _count_or_draw) for module in MODULES_WITH_BARS):
            yield
    finally:
        _listener.reset(token)


@contextlib.contextmanager
def unseen_iterations() -> Iterator[None]:
    """Keep loops from being reported that only read what has been computed and reported before."""
    token = _unseen.set(True)
    try:
        yield
    finally:
        _unseen.reset(token)
