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

from compose_runner.analysis.engine.sessions import Session, ShardFinished, current_session

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
    def of(cls, arrays: Mapping[str, NDArray[Any]], n_columns: int) -> NullDistribution:
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
    wishes = current_session()
    ranges = shard_ranges(permutations.n_iters, wishes.n_shards)
    whole = NullDistribution(0, np.zeros((permutations.n_iters, permutations.n_columns)))
    pieces = [_load(permutations, wishes, index, *limits) for index, limits in enumerate(ranges)]
    # what no store can hold is needed whole by whatever comes after it
    if wishes.shard is not None and permutations.name and not all(piece.complete for piece in pieces):
        _run_piece(permutations, pieces[wishes.shard], wishes, wishes.shard, n_cores, 0, len(pieces[wishes.shard].rows))
        raise ShardFinished(_piece_name(permutations, wishes, wishes.shard))
    missing = sum(len(piece.rows) - piece.done for piece in pieces)
    if missing and wishes.before_run is not None and wishes.store is not None and permutations.name:
        wishes.before_run(missing)
    before = sum(piece.done for piece in pieces if piece.complete)
    for index, piece in enumerate(pieces):
        if not piece.complete:
            _run_piece(permutations, piece, wishes, index, n_cores, before, permutations.n_iters)
            before += len(piece.rows)
        whole.rows[piece.first : piece.first + len(piece.rows)] = piece.rows
        whole.add(piece.sums)
    whole.done = permutations.n_iters
    if wishes.progress is not None and not missing:  # otherwise the last block has told
        wishes.progress(permutations.n_iters, permutations.n_iters)
    return whole


def _piece_name(permutations: Permutations, wishes: Session, index: int) -> str:
    return f"{permutations.name}-{index}-of-{wishes.n_shards}"


def _load(permutations: Permutations, wishes: Session, index: int, first: int, last: int) -> NullDistribution:
    if wishes.store is not None and permutations.name:
        arrays = wishes.store.load(_piece_name(permutations, wishes, index))
        if arrays is not None:
            return NullDistribution.of(arrays, permutations.n_columns)
    return NullDistribution(first, np.zeros((last - first, permutations.n_columns)))


def _run_piece(
    permutations: Permutations,
    piece: NullDistribution,
    wishes: Session,
    index: int,
    n_cores: int,
    before: int,
    total: int,
) -> None:
    """Compute what is missing of a range and save it on the way."""
    store = wishes.store if permutations.name else None
    name = _piece_name(permutations, wishes, index)
    saved = time.monotonic()
    at_once = STEPS_PER_CORE * n_cores
    workers: SimpleQueue[Worker] = SimpleQueue()
    with ThreadPoolExecutor(n_cores, thread_name_prefix="permutations") as pool:
        for _ in range(n_cores):
            workers.put(permutations.worker())
        first, last = piece.first + piece.done, piece.first + len(piece.rows)
        for number, block, length in permutations.blocks(first, last):
            at = number - piece.first
            rows = piece.rows[at : at + length]
            start = 0
            while start < length:
                # with a store a block is cut so that no more work than the wish allows is ever unsaved
                stop = length if store is None else min(length, start + at_once)
                began = time.monotonic()
                _run_some(pool, workers, n_cores, block, rows, range(start, stop), wishes, before + at, total)
                for _ in range(n_cores):
                    worker = workers.get()
                    piece.add(worker.sums)
                    for value in worker.sums.values():
                        value[...] = 0
                    workers.put(worker)
                piece.done = at + stop
                now = time.monotonic()
                if store is not None and (piece.complete or now - saved >= wishes.checkpoint_seconds):
                    store.save(name, piece.arrays())
                    saved = time.monotonic()
                seconds = max(now - began, 1e-3)
                at_once = max(n_cores, int((stop - start) / seconds * wishes.checkpoint_seconds / CUTS_PER_CHECKPOINT))
                start = stop


def _run_some(
    pool: ThreadPoolExecutor,
    workers: SimpleQueue[Worker],
    n_cores: int,
    block: Any,
    rows: NDArray[np.float64],
    numbers: range,
    wishes: Session,
    before: int,
    total: int,
) -> None:
    """Compute a part of a block on all threads; on any error, an interruption included, leave no thread behind."""

    def compute(start: int, stop: int) -> int:
        worker = workers.get()
        try:
            worker.compute(block, start, stop, rows)
        finally:
            workers.put(worker)
        return stop - start

    step = max(1, min(64, len(numbers) // (STEPS_PER_CORE * n_cores)))
    pending: set[Future[int]] = {
        pool.submit(compute, start, min(start + step, numbers.stop)) for start in numbers[::step]
    }
    done = before + numbers.start
    try:
        while pending:
            finished, pending = wait(pending, return_when=FIRST_COMPLETED)
            done += sum(future.result() for future in finished)
            if wishes.progress is not None:
                wishes.progress(done, total)
    finally:
        for future in pending:
            future.cancel()
