"""Foci without a pass over them for every study, sphere and cluster.

NiMARE's steps for spheres around foci are compiled, and numba needs a quarter of a second before it runs its first
function; what a job without permutations needs of them is done here by NumPy, in less than that. The results are the
same arrays.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np

from compose_runner.analysis.compute.patches.replacing import replaced

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray


# Bounds the memory for the voxels of one study's spheres.
FOCI_AT_ONCE = 2000


def _reached(kernel: NDArray[Any], foci: NDArray[Any], shape: tuple[int, ...]) -> Iterator[NDArray[Any]]:
    """Yield the voxels within spheres around foci, as indices into the flattened volume; some come repeatedly."""
    strides = np.array([shape[1] * shape[2], shape[2], 1])
    inner = ((foci + kernel.min(axis=0) >= 0) & (foci + kernel.max(axis=0) < shape)).all(axis=1)
    for start in range(0, len(foci), FOCI_AT_ONCE):
        some, whole = foci[start : start + FOCI_AT_ONCE], inner[start : start + FOCI_AT_ONCE]
        yield (some[whole] @ strides)[:, np.newaxis] + kernel @ strides
        cut = (some[~whole][:, np.newaxis, :] + kernel).reshape(-1, 3)
        yield cut[((cut >= 0) & (cut < shape)).all(axis=1)] @ strides


def spheres(
    mask: Any,
    ijks: NDArray[Any],
    r: float,
    value: float = 1.0,
    exp_idx: NDArray[Any] | None = None,
    sum_overlap: bool = False,
    sum_across_studies: bool = False,
) -> Any:
    """Model activation as spheres around foci: NiMARE's ``compute_kda_ma``, with its parameters and its results."""
    from nimare.meta.utils import _get_mask_flat_to_masked, compute_kda_ma, sphere_kernel_offsets
    from nimare.utils import DEFAULT_FLOAT_DTYPE, _mask_img_to_bool
    from scipy import sparse

    if sum_overlap:
        return compute_kda_ma(mask, ijks, r, value, exp_idx, sum_overlap, sum_across_studies)
    if exp_idx is None:
        exp_idx = np.ones(len(ijks), dtype=np.int32)
    studies, study_of = np.unique(exp_idx, return_inverse=True)
    by_study = np.argsort(study_of, kind="stable")
    ends = np.cumsum(np.bincount(study_of, minlength=len(studies)))
    kernel = sphere_kernel_offsets(r, mask.header.get_zooms()).astype(np.int64)
    masked = _get_mask_flat_to_masked(mask)
    n_voxels = int(_mask_img_to_bool(mask).sum())
    counts = np.zeros(n_voxels, dtype=np.int32)
    seen = np.zeros(n_voxels + 1, dtype=np.bool_)  # the last one stands for all voxels outside the mask
    columns = []
    for members in np.split(by_study, ends[:-1]):
        for voxels in _reached(kernel, np.asarray(ijks)[members].astype(np.int32), mask.shape):
            seen[masked[voxels]] = True
        reached = np.flatnonzero(seen[:-1]).astype(np.int32)
        seen[:] = False
        if sum_across_studies:
            counts[reached] += np.int32(value)
        else:
            columns.append(reached)
    if sum_across_studies:
        return counts
    ends = np.cumsum([0, *(len(reached) for reached in columns)])
    indices = np.concatenate(columns) if columns else np.zeros(0, dtype=np.int32)
    data = np.full(len(indices), value, dtype=DEFAULT_FLOAT_DTYPE)
    matrix = sparse.csr_matrix((data, indices, ends), shape=(len(studies), n_voxels), dtype=DEFAULT_FLOAT_DTYPE)
    matrix.sort_indices()
    return matrix, masked


def foci_per_cluster(label_arr: NDArray[Any], clust_ids: Sequence[Any], ijk: Any) -> NDArray[Any]:
    """Count the foci less than a voxel away from each cluster: NiMARE's step, for all foci at once."""
    ijk = np.atleast_2d(np.asarray(ijk, dtype=float))
    if ijk.size == 0 or not len(clust_ids):
        return np.array([0 for _ in clust_ids])
    around = np.stack(np.meshgrid(*([np.arange(-1, 2)] * 3), indexing="ij"), axis=-1).reshape(-1, 3)
    voxels = np.floor(ijk).astype(np.int64)[:, np.newaxis] + around
    near = np.sum(np.square(voxels - ijk[:, np.newaxis]), axis=-1) < 1.0
    near &= ((voxels >= 0) & (voxels < label_arr.shape)).all(axis=-1)
    focus, index = np.nonzero(near)
    labels = label_arr[tuple(voxels[focus, index].T)]
    counts = dict.fromkeys(clust_ids, 0)
    known = {cluster: number for number, cluster in enumerate(np.unique(labels))}
    # each focus once for each cluster that it is near to
    pairs = np.unique(focus * len(known) + np.searchsorted(list(known), labels)) if known else np.zeros(0, dtype=int)
    found = np.bincount(pairs % max(len(known), 1), minlength=len(known))
    counts.update((cluster, found[known[cluster]]) for cluster in counts if cluster in known)
    return np.array([counts[cluster] for cluster in clust_ids])


# The steps of NiMARE that are replaced while a job computes.
REPLACED: tuple[tuple[str, str, Any], ...] = (
    ("nimare.meta.kernel", "compute_kda_ma", spheres),
    ("nimare.diagnostics", "_count_foci_per_cluster", foci_per_cluster),
)


@contextlib.contextmanager
def foci_at_once() -> Iterator[None]:
    """Let NiMARE model spheres and count the foci of clusters with the steps of this module."""
    with replaced(REPLACED):
        yield
