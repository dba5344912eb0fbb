"""Options of a Monte Carlo run that do not change its result: progress, checkpoints, a part of it only.

NiMARE's estimators call the permutation step from deep inside a workflow, so these are not arguments but a context:
``with session(progress=..., store=...): workflow.fit(studyset)``.
"""

from __future__ import annotations

import contextlib
import contextvars
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

CHECKPOINT_SECONDS = 60.0


class NullStore(Protocol):
    """Where partial null distributions are kept: a directory, S3, memory.

    A name is made of letters, digits, ``_`` and ``-``. What is saved under a name replaces what was there.
    """

    def load(self, name: str) -> Mapping[str, NDArray[Any]] | None:
        """Return the arrays saved under a name, or None."""

    def save(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep named arrays under a name; after an interruption either the old or the new ones are there."""


class ShardFinished(Exception):
    """The shard that this session was asked for is complete and saved.

    Parameters
    ----------
    name : str
        The name in the store under which the shard's arrays are.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"shard {name} is complete")


@dataclass(frozen=True)
class Session:
    """The options in force; see :func:`session`."""

    progress: Callable[[int, int], None] | None = None
    store: NullStore | None = None
    n_shards: int = 1
    shard: int | None = None
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    before_run: Callable[[int], None] | None = None


_current: contextvars.ContextVar[Session | None] = contextvars.ContextVar("monte_carlo_session", default=None)


def current_session() -> Session:
    """Return the session in force."""
    return _current.get() or Session()


@contextlib.contextmanager
def session(
    *,
    progress: Callable[[int, int], None] | None = None,
    store: NullStore | None = None,
    n_shards: int = 1,
    shard: int | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    before_run: Callable[[int], None] | None = None,
) -> Iterator[Session]:
    """Put options in force for every Monte Carlo run inside the ``with`` block.

    Parameters
    ----------
    progress : callable, optional
        Called as ``progress(completed, total)`` with numbers of permutations, from the thread that runs the workflow.
    store : NullStore, optional
        Where partial null distributions are read from and saved to. A run goes on from what is there.
    n_shards : int, optional
        Into how many contiguous ranges the permutations are cut. The result does not depend on it.
    shard : int, optional
        Compute and save this range of the first run that the store does not hold completely, then raise
        :class:`ShardFinished`. Without it every range is loaded or, where it is missing, computed.
    checkpoint_seconds : float, optional
        Least time between two saves of an unfinished range.
    before_run : callable, optional
        Called with the number of permutations that are still to be computed, before a run that the store can hold;
        what it raises ends the run, which other sessions may then compute in shards.

    Raises
    ------
    ValueError
        A shard that does not exist, or a shard without a store.
    """
    if shard is not None and not 0 <= shard < n_shards:
        raise ValueError(f"shard {shard} of {n_shards} does not exist")
    if shard is not None and store is None:
        raise ValueError("a shard needs a store for what it computes")
    made = Session(progress, store, n_shards, shard, checkpoint_seconds, before_run)
    token = _current.set(made)
    try:
        yield made
    finally:
        _current.reset(token)
