"""Blocks of foci are the columns of the table that NiMARE draws at once."""

from __future__ import annotations

import numpy as np
import pytest

from compose_runner.analysis.compute.engine.draws import FociDraws


@pytest.mark.parametrize("n_voxels", [7, 228_483, 2**31])
@pytest.mark.parametrize("block_bytes", [8, 8 * 5 * 4, 2**20])
@pytest.mark.parametrize("columns", [(0, 17), (0, 6), (5, 12), (16, 17), (3, 3)])
def test_any_range_of_columns_is_what_one_draw_gives(n_voxels: int, block_bytes: int, columns: tuple[int, int]) -> None:
    table = np.random.default_rng(11).choice(n_voxels, size=(5, 17))
    draws = FociDraws(np.random.default_rng(11), n_voxels, 5, 17, block_bytes=block_bytes)
    for _ in range(2):  # and again, from the beginning
        got = [block for _, block in draws.blocks(*columns)]
        whole = np.concatenate(got) if got else np.zeros((0, 5))
        np.testing.assert_array_equal(whole, table.T[slice(*columns)])


def test_the_memory_of_a_block_does_not_grow_with_the_iterations() -> None:
    draws = FociDraws(np.random.default_rng(1), 1000, 100, 10**6, block_bytes=2**20)
    number, block = next(draws.blocks(10**6 - 3000, 10**6))
    assert number == 10**6 - 3000
    assert block.nbytes <= 2**20
