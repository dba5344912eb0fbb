"""Write a result's maps in parallel, in NiMARE's own bytes.

NiMARE unmasks and compresses one map after another. Compression leaves the interpreter free, so threads share it; and
all maps of a result have one header, so the masker is asked for an image once.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nimare.results import MetaResult
    from numpy.typing import NDArray


def _is_plain(values: Any, n_voxels: int) -> bool:
    """Whether a map is one single-precision number per voxel of the mask, as all of NiMARE's statistics are."""
    return isinstance(values, np.ndarray) and values.shape == (n_voxels,) and values.dtype == np.float32


@contextmanager
def saving_maps(result: MetaResult, directory: Path, *, n_cores: int = 2) -> Iterator[list[Path]]:
    """Write every map of a result as ``<name>.nii.gz``; in place of :meth:`nimare.results.MetaResult.save_maps`.

    The files are whole when the ``with`` block has ended; what is in the block runs meanwhile.

    Parameters
    ----------
    result : nimare.results.MetaResult
        A result; its maps are not changed.
    directory : pathlib.Path
        Made when it does not exist.
    n_cores : int, optional
        Threads.

    Yields
    ------
    list of pathlib.Path
        The files, in the order of the result's maps.
    """
    import nibabel as nib
    from nilearn.maskers import NiftiMasker
    from nimare.utils import _mask_img_to_bool

    directory.mkdir(parents=True, exist_ok=True)
    names = [name for name, values in result.maps.items() if values is not None]
    mask: NDArray[np.bool_] | None = None
    if isinstance(result.masker, NiftiMasker) and getattr(result.masker, "mask_img_", None) is not None:
        mask = _mask_img_to_bool(result.masker.mask_img_)
    n_voxels = -1 if mask is None else int(np.count_nonzero(mask))
    plain = [name for name in names if _is_plain(result.maps[name], n_voxels)]
    others = [name for name in names if name not in plain]
    if others:
        result.save_maps(str(directory), names=others)
    files = [directory / f"{name}.nii.gz" for name in names]
    pattern: Any = result.get_map(plain[0]) if plain else None
    with ThreadPoolExecutor(max(1, n_cores), thread_name_prefix="maps") as pool:

        def write(name: str) -> None:
            volume = np.zeros(pattern.shape, dtype=np.float32)
            volume[mask] = np.nan_to_num(result.maps[name], nan=0.0, posinf=0.0, neginf=0.0)
            header = pattern.header.copy()
            header.set_data_dtype(np.float32)
            header.set_slope_inter(1.0, 0.0)
            # what nilearn notes for viewers of every image it makes
            header["cal_max"], header["cal_min"] = volume.max(), volume.min()
            nib.Nifti1Image(volume, pattern.affine, header).to_filename(directory / f"{name}.nii.gz")

        written = [pool.submit(write, name) for name in plain]
        yield files
        for each in written:
            each.result()


def save_maps(result: MetaResult, directory: Path, *, n_cores: int = 2) -> list[Path]:
    """Write every map of a result and return the files: :func:`saving_maps` with nothing else to do."""
    with saving_maps(result, directory, n_cores=n_cores) as files:
        return files
