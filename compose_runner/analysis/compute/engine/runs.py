"""Run permutations: on all cores, in ranges, with checkpoints; the same bits in every case.

A permutation's result depends on the seed and the permutation's number alone, every thread has its own scratch, and
what is summed over permutations is integers. So neither the number of threads nor the way the permutations are cut
can show in the result.
"""

from __future__ import annotations

import itertools
import os
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from compose_runner.analysis.compute.engine.sessions import Session, ShardFinished, current_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

STEPS_PER_CORE = 8
# A block is cut into pieces of such a part of the time between two checkpoints.
CUTS_PER_CHECKPOINT = 6


class Worker(Protocol):
    """One thread's scratch and sums.

    Attributes
    ----------
    sums : dict of ndarray of int64
        What is added up over the permutations this worker computed.
    """

    sums: dict[str, NDArray[np.int64]]

    def compute(self, block: Any, start: int, stop: int, rows: NDArray[np.float64]) -> None:
        """Compute permutations ``start`` to ``stop`` of a block into the same rows of ``rows``."""


class Permutations(Protocol):
    """Everything about a Monte Carlo run that does not change from permutation to permutation.

    Attributes
    ----------
    name : str
        Names the run and everything its result depends on (a digest of the inputs); empty when it cannot be repeated
        because there is no seed.
    n_iters, n_columns : int
        Number of permutations, and of values kept of each.
    """

    name: str
    n_iters: int
    n_columns: int

    def blocks(self, first: int, last: int) -> Iterator[tuple[int, Any, int]]:
        """Yield ``(number of the first permutation, block, length)``."""

    def worker(self) -> Worker:
        """Make the scratch of one more thread."""


@dataclass
class NullDistribution:
    """What is known of permutations ``first`` to ``first + done``.

    Parameters
    ----------
    first : int
        Number of the first permutation.
    rows : ndarray of shape (length, n_columns)
        Values kept of each permutation; only ``done`` of them are filled.
    sums : dict of ndarray of int64
        What is added up over permutations.
    """

    first: int
    rows: NDArray[np.float64]
    done: int = 0
    sums: dict[str, NDArray[np.int64]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every permutation of the range is in."""
        return self.done == len(self.rows)

    def add(self, sums: Mapping[str, NDArray[np.int64]]) -> None:
        """Add up sums of further permutations."""
        for key, value in sums.items():
            if key in self.sums:
                self.sums[key] += value
            else:
                self.sums[key] = value.astype(np.int64)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that a store keeps."""
        sums = {f"sum_{key}": value for key, value in self.sums.items()}
        return {"rows": self.rows[: self.done], "range": np.array([self.first, len(self.rows)]), **sums}

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]], n_columns: int) -> NullDistribution:
        """Read what :meth:`arrays` gave."""
        first, length = (int(value) for value in arrays["range"])
        kept = arrays["rows"]
        rows = np.zeros((length, n_columns))
        rows[: len(kept)] = kept
        sums = {key[4:]: np.array(arrays[key]) for key in arrays if key.startswith("sum_")}
        return cls(first, rows, len(kept), sums)


def shard_ranges(n_iters: int, n_shards: int) -> list[tuple[int, int]]:
    """Cut ``n_iters`` permutations into contiguous ranges of nearly the same length."""
    edges = [n_iters * index // n_shards for index in range(n_shards + 1)]
    return list(itertools.pairwise(edges))


def available_cores(n_cores: int | None) -> int:
    """Return a number of threads: NiMARE's ``n_cores``, all available ones when it is not positive."""
    if n_cores is None or n_cores <= 0:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return n_cores


def run_permutations(permutations: Permutations, n_cores: int) -> NullDistribution:
    """Compute all permutations, or what the session in force asks for.

    Parameters
    ----------
    permutations : Permutations
        What to run.
    n_cores : int
        Threads.

    Returns
    -------
    NullDistribution
        All permutations, in their order.

    Raises
    ------
    ShardFinished
        The session asked for one shard and it is complete.
    """
    session = current_session()
    ranges = shard_ranges(permutations.n_iters, session.n_shards)
    whole = NullDistribution(0, np.zeros((permutations.n_iters, permutations.n_columns)))
    names = [f"{permutations.name}-{index}-of-{session.n_shards}" for index in range(session.n_shards)]
    pieces = [_load(permutations, session, name, *limits) for name, limits in zip(names, ranges, strict=True)]

    def run(index: int, before: int, total: int) -> None:
        def report(done: int) -> None:
            if session.progress is not None:
                session.progress(before + done, total)

        _run_piece(permutations, pieces[index], names[index], n_cores, report)

    # what no store can hold is needed whole by whatever comes after it
    if session.shard is not None and permutations.name and not all(piece.complete for piece in pieces):
        run(session.shard, 0, len(pieces[session.shard].rows))
        raise ShardFinished(names[session.shard])
    missing = sum(len(piece.rows) - piece.done for piece in pieces)
    if missing and session.before_run is not None and session.store is not None and permutations.name:
        session.before_run(missing)
    before = sum(piece.done for piece in pieces if piece.complete)
    for index, piece in enumerate(pieces):
        if not piece.complete:
            run(index, before, permutations.n_iters)
            before += len(piece.rows)
        whole.rows[piece.first : piece.first + len(piece.rows)] = piece.rows
        whole.add(piece.sums)
    whole.done = permutations.n_iters
    if session.progress is not None and not missing:  # otherwise the last block has reported
        session.progress(permutations.n_iters, permutations.n_iters)
    return whole


def _load(permutations: Permutations, session: Session, name: str, first: int, last: int) -> NullDistribution:
    if session.store is not None and permutations.name:
        arrays = session.store.load(name)
        if arrays is not None:
            return NullDistribution.restore(arrays, permutations.n_columns)
    return NullDistribution(first, np.zeros((last - first, permutations.n_columns)))


class _Threads:
    """The threads that compute a range of permutations, each with a worker of its own while it computes.

    Parameters
    ----------
    permutations : Permutations
        What they compute.
    n_threads : int
        How many.
    report : callable
        Called with the number of permutations that are done, from the thread that waits for the others.
    """

    def __init__(self, permutations: Permutations, n_threads: int, report: Callable[[int], None]) -> None:
        self.n_threads, self._report = n_threads, report
        self._pool = ThreadPoolExecutor(n_threads, thread_name_prefix="permutations")
        self._workers: SimpleQueue[Worker] = SimpleQueue()
        for _ in range(n_threads):
            self._workers.put(permutations.worker())

    def __enter__(self) -> _Threads:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._pool.shutdown()

    def compute(self, block: Any, rows: NDArray[np.float64], numbers: range, done: int) -> None:
        """Compute a part of a block on all threads; on any error, an interruption included, leave no thread behind."""
        step = max(1, min(64, len(numbers) // (STEPS_PER_CORE * self.n_threads)))
        pending: set[Future[int]] = {
            self._pool.submit(self._compute, block, rows, start, min(start + step, numbers.stop))
            for start in numbers[::step]
        }
        try:
            while pending:
                finished, pending = wait(pending, return_when=FIRST_COMPLETED)
                done += sum(future.result() for future in finished)
                self._report(done)
        finally:
            for future in pending:
                future.cancel()

    def _compute(self, block: Any, rows: NDArray[np.float64], start: int, stop: int) -> int:
        worker = self._workers.get()
        try:
            worker.compute(block, start, stop, rows)
        finally:
            self._workers.put(worker)
        return stop - start

    def move_sums(self, piece: NullDistribution) -> None:
        """Add what the workers have summed to a null distribution, and let them begin at 0."""
        for _ in range(self.n_threads):
            worker = self._workers.get()
            piece.add(worker.sums)
            for value in worker.sums.values():
                value[...] = 0
            self._workers.put(worker)


def _run_piece(
    permutations: Permutations, piece: NullDistribution, name: str, n_cores: int, report: Callable[[int], None]
) -> None:
    """Compute what is missing of a range and save it on the way; ``report`` takes how much of the range is done."""
    session = current_session()
    store = session.store if permutations.name else None
    saved = time.monotonic()
    at_once = STEPS_PER_CORE * n_cores
    with _Threads(permutations, n_cores, report) as threads:
        first, last = piece.first + piece.done, piece.first + len(piece.rows)
        for number, block, length in permutations.blocks(first, last):
            at = number - piece.first
            rows = piece.rows[at : at + length]
            start = 0
            while start < length:
                # with a store a block is cut so that no more work than the session allows is ever unsaved
                stop = length if store is None else min(length, start + at_once)
                began = time.monotonic()
                threads.compute(block, rows, range(start, stop), at + start)
                threads.move_sums(piece)
                piece.done = at + stop
                now = time.monotonic()
                if store is not None and (piece.complete or now - saved >= session.checkpoint_seconds):
                    store.save(name, piece.arrays())
                    saved = time.monotonic()
                seconds = max(now - began, 1e-3)
                at_once = max(n_cores, int((stop - start) / seconds * session.checkpoint_seconds / CUTS_PER_CHECKPOINT))
                start = stop
