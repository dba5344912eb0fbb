"""NiMARE's random foci, block after block.

NiMARE draws the foci of all permutations at once, ``rng.choice(n_voxels, size=(n_foci, n_iters))``, and turns them into
coordinates: 32 bytes for every focus of every permutation. The permutations are the columns of that table, but the
generator fills it row by row, and a draw is sometimes rejected, so the place of a draw in the generator's stream is
only known by going through the stream. One pass notes the generator's state where each row of the wanted range begins;
from then on every row continues from its own state, so that any range of columns costs its own draws and nothing
else. What is kept grows with the foci, not with the permutations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

BLOCK_BYTES = 32 * 2**20


def block_length(n_foci: int, n_iters: int, block_bytes: int = BLOCK_BYTES) -> int:
    """Return how many permutations one block of draws holds."""
    return max(1, min(n_iters, block_bytes // (8 * max(n_foci, 1))))


class FociDraws:
    """The columns of ``generator.choice(n_voxels, size=(n_foci, n_iters))``, without the table.

    Parameters
    ----------
    generator : numpy.random.Generator
        NiMARE's generator for this step, not yet drawn from.
    n_voxels : int
        Number of voxels that a focus can be at.
    n_foci, n_iters : int
        Shape of the table.
    block_bytes : int, optional
        Bound of the memory for one block, in bytes.
    """

    def __init__(
        self,
        generator: np.random.Generator,
        n_voxels: int,
        n_foci: int,
        n_iters: int,
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        self.generator = generator
        self.n_voxels, self.n_foci, self.n_iters = n_voxels, n_foci, n_iters
        self.block_bytes = block_bytes
        self._start = generator.bit_generator.state

    def blocks(self, first: int = 0, last: int | None = None) -> Iterator[tuple[int, NDArray[np.int32]]]:
        """Yield ``(column, draws)`` for consecutive columns from ``first`` to ``last``.

        ``draws`` has one row per permutation: shape (length, n_foci), int32.
        """
        last = self.n_iters if last is None else last
        if last <= first:
            return
        length = block_length(self.n_foci, last - first, self.block_bytes)
        bits = self.generator.bit_generator
        bits.state = self._start
        if length == self.n_iters:
            yield first, self._read(None, length)
            return
        states = self._row_states(first)
        for column in range(first, last, length):
            yield column, self._read(states, min(length, last - column))

    def _row_states(self, first: int) -> list[tuple[int, int, int]]:
        states = []
        step = max(1, self.block_bytes // 8)
        for _ in range(self.n_foci):
            self._skip(first, step)
            states.append(self._state())
            self._skip(self.n_iters - first, step)
        return states

    def _skip(self, count: int, step: int) -> None:
        while count > 0:
            self.generator.integers(self.n_voxels, size=min(count, step))
            count -= step

    def _state(self) -> tuple[int, int, int]:
        state: dict[str, Any] = self.generator.bit_generator.state  # type: ignore[assignment]
        return state["state"]["state"], state["has_uint32"], state["uinteger"]

    def _read(self, states: list[tuple[int, int, int]] | None, length: int) -> NDArray[np.int32]:
        rows = np.empty((self.n_foci, length), dtype=np.int32)
        state: dict[str, Any] = dict(self._start)
        for focus in range(self.n_foci):
            if states is not None:
                value, has_uint32, uinteger = states[focus]
                state["state"] = {"state": value, "inc": state["state"]["inc"]}
                state["has_uint32"], state["uinteger"] = has_uint32, uinteger
                self.generator.bit_generator.state = state
            rows[focus] = self.generator.integers(self.n_voxels, size=length)
            if states is not None:
                states[focus] = self._state()
        return np.ascontiguousarray(rows.T)
