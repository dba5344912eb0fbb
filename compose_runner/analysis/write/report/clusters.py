"""The clusters of a described map: peaks with their values and anatomical labels, and which studies contribute."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from compose_runner.analysis.write.atlases import Label, Share, atlases, peak_labels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nimare.results import MetaResult

_CLUSTER_ID = re.compile(r"(?:(?P<tail>\w+)Tail )?(?P<cluster>\d+)(?P<peak>[a-z]*)")
_TAIL = re.compile(r"(?:(?P<tail>\w+)Tail )?(?P<cluster>.+)")
_TAILS = ("positive", "negative")
_STATISTIC = re.compile(r"(?:Mass|Size|mass|size)$")


@dataclass(frozen=True)
class Peak:
    """A row of the table of clusters: a cluster's highest peak, or another one in it.

    Parameters
    ----------
    tail : str
        ``positive`` or ``negative``.
    cluster : str
        Number of the cluster.
    letter : str
        Of a further peak; empty for the highest.
    xyz : tuple of 3 floats
        MNI coordinates in mm.
    z_corrected, p_corrected, z_uncorrected : float or None
        Values there.
    size_mm3 : float or None
        Of the cluster.
    n_studies : int or None
        Experiments with foci in the cluster.
    labels : tuple of Label
        In each atlas.
    regions : tuple of Share
        What the cluster covers, largest part first.
    """

    tail: str
    cluster: str
    letter: str
    xyz: tuple[float, float, float]
    z_corrected: float | None
    p_corrected: float | None
    z_uncorrected: float | None
    size_mm3: float | None = None
    n_studies: int | None = None
    labels: tuple[Label, ...] = ()
    regions: tuple[Share, ...] = ()

    @property
    def place(self) -> str:
        """The coordinates as an attribute of the page has them."""
        return " ".join(f"{one:g}" for one in self.xyz)


@dataclass(frozen=True)
class Contributions:
    """How much each experiment contributes to each cluster.

    Parameters
    ----------
    tail : str
        ``positive``, ``negative``, or empty for both.
    clusters : tuple of (str, str)
        Tail and number of each column.
    rows : list of (str, tuple of float)
        Ids of experiments, and their values.
    counted : bool
        Whether values are counts of foci; otherwise they are parts of the statistic.
    """

    tail: str
    clusters: tuple[tuple[str, str], ...]
    rows: list[tuple[str, tuple[float, ...]]] = field(default_factory=list)
    counted: bool = True

    @cached_property
    def largest(self) -> float:
        """The largest value."""
        return max((value for _, values in self.rows for value in values), default=0.0)

    def shade(self, value: float) -> int:
        """Which of the shades 1 to 5 a value has."""
        return max(1, math.ceil(5 * value / (self.largest or 1)))

    def contributing(self) -> dict[tuple[str, str], int]:
        """How many experiments have foci in each cluster."""
        values = np.array([values for _, values in self.rows]).reshape(len(self.rows), len(self.clusters))
        return dict(zip(self.clusters, (values > 0).sum(axis=0).tolist(), strict=True)) if self.counted else {}


def find_contributions(result: MetaResult, target: str) -> list[Contributions]:
    """Read how much each experiment contributes to each cluster of a described map.

    Parameters
    ----------
    result : nimare.results.MetaResult
        With its tables.
    target : str
        The described map.

    Returns
    -------
    list of Contributions
        One for each tail, or one for both.
    """
    found = []
    for name, table in result.tables.items():
        match = re.fullmatch(re.escape(target) + r"_diag-(\w+)_tab-counts(?:_tail-(\w+))?", name)
        if match is None or table is None or table.empty:
            continue
        columns = [column for column in table.columns if column != "id"]
        clusters = tuple(_tail_and_cluster(str(column), match[2] or "") for column in columns)
        rows = zip(table["id"].astype(str), table[columns].to_numpy(dtype=float), strict=True)
        values = [(identity, tuple(np.nan_to_num(row).tolist())) for identity, row in rows]
        found.append(Contributions(match[2] or "", clusters, values, match[1] == "FocusCounter"))
    return found


def find_peaks(result: MetaResult, target: str, contributions: list[Contributions]) -> list[Peak] | None:
    """List the peaks of a described map's clusters.

    NiMARE numbers clusters twice: in the table of a cluster-level correction by their peaks before correction, in the
    label maps and the tables of contributions by those of the corrected map. Here a cluster has the number that it has
    in the label map, at its peak.

    Parameters
    ----------
    result : nimare.results.MetaResult
        With its tables and maps.
    target : str
        The described map.
    contributions : list of Contributions
        Of this map.

    Returns
    -------
    list of Peak or None
        In the order of their clusters; None where there is no table of clusters.
    """
    table = result.tables.get(f"{target}_tab-clust")
    if table is None:
        return None
    contributing = {cluster: n for one in contributions for cluster, n in one.contributing().items()}
    volumes = _label_volumes(result, target)
    regions = {
        (tail, str(label)): shares
        for tail, volume in volumes.items()
        for label, shares in atlases()[0].label_shares(volume.data, volume.affine).items()
    }
    values = _values(result, target)
    numbers: dict[tuple[str, str], str] = {}
    peaks = []
    for row in _rows(table):
        in_table = (row["tail"], row["cluster"])
        first = not row["letter"]
        if first and row["tail"] in volumes and (label := volumes[row["tail"]].get(row["xyz"])):
            numbers[in_table] = f"{label:.0f}"
        cluster = (row["tail"], numbers.get(in_table, row["cluster"]))
        p, logp = values["p"].get(row["xyz"]), values["logp"].get(row["xyz"])
        peaks.append(
            Peak(
                **{**row, "cluster": cluster[1]},
                z_corrected=values["corrected"].get(row["xyz"]),
                p_corrected=10**-logp if p is None and logp is not None else p,
                z_uncorrected=values["uncorrected"].get(row["xyz"]),
                n_studies=contributing.get(cluster) if first else None,
                labels=tuple(peak_labels(row["xyz"])),
                regions=tuple(regions.get(cluster, ())) if first else (),
            )
        )
    return sorted(peaks, key=lambda peak: (peak.tail == "negative", int(peak.cluster), peak.letter))


def _tail_and_cluster(column: str, tail: str) -> tuple[str, str]:
    match = _TAIL.fullmatch(column)
    assert match is not None
    return (match["tail"] or tail or "positive").lower(), match["cluster"]


def _rows(table: Any) -> Iterator[dict[str, Any]]:
    for row in table.to_dict("records"):
        match = _CLUSTER_ID.fullmatch(str(row["Cluster ID"]))
        if match is None:
            continue
        size = row["Cluster Size (mm3)"]
        yield {
            "tail": (match["tail"] or "positive").lower(),
            "cluster": match["cluster"],
            "letter": match["peak"],
            "xyz": (float(row["X"]), float(row["Y"]), float(row["Z"])),
            "size_mm3": float(size) if str(size).strip() else None,
        }


@dataclass(frozen=True)
class _Volume:
    """A map whose values can be asked for by place; without data it has none."""

    data: Any = None
    affine: Any = None

    @classmethod
    def of(cls, result: MetaResult, name: str) -> _Volume:
        if result.maps.get(name) is None:
            return cls()
        image = result.get_map(name)
        return cls(np.asarray(image.dataobj), image.affine)

    def get(self, xyz: tuple[float, float, float]) -> float | None:
        """The value at a place, if there is one."""
        if self.data is None:
            return None
        voxel = np.rint(np.linalg.inv(self.affine) @ (*xyz, 1))[:3].astype(int)
        if ((voxel < 0) | (voxel >= self.data.shape)).any():
            return None
        return float(self.data[tuple(voxel)])


def _label_volumes(result: MetaResult, target: str) -> dict[str, _Volume]:
    """The label map of each tail that has one."""
    described = target.partition("_")[2]
    names = {tail: "_".join(part for part in ("label", described, f"tail-{tail}") if part) for tail in _TAILS}
    return {tail: _Volume.of(result, name) for tail, name in names.items() if result.maps.get(name) is not None}


def _values(result: MetaResult, target: str) -> dict[str, _Volume]:
    """What is known of a described map, and of what it is a correction of."""
    rest = target.partition("_")[2]
    if "corr-" not in rest:
        return {"corrected": _Volume(), "p": _Volume(), "logp": _Volume(), "uncorrected": _Volume.of(result, target)}
    return {
        "corrected": _Volume.of(result, target),
        "p": _Volume.of(result, f"p_{rest}"),
        "logp": _Volume.of(result, f"logp_{rest}"),
        "uncorrected": _Volume.of(result, _without_correction(target)),
    }


def _without_correction(target: str) -> str:
    """Name the map that a map is a correction of."""
    kept = []
    for part in target.split("_"):
        key, _, value = part.partition("-")
        if key in ("level", "corr", "method", "tail"):
            continue
        if key != "desc":
            kept.append(part)
        elif described := _STATISTIC.sub("", value):
            kept.append(f"desc-{described}")
    return "_".join(kept)
