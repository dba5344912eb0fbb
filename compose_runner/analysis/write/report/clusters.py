"""The clusters of a described map: peaks with their values and anatomical labels, and which studies contribute."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from nimare.results import MetaResult
    from pandas import DataFrame

    from compose_runner.analysis.write.atlases import Label, Share

_TAIL = re.compile(r"(?:(?P<tail>\w+)Tail )?(?P<cluster>.+)")
_VALUES = ("z_corrected", "p_corrected", "z_uncorrected", "size_mm3", "n_studies")


@dataclass(frozen=True)
class Peak:
    """A row of the table of clusters: a cluster's highest peak, or another one in it.

    Parameters
    ----------
    tail : str
        ``positive`` or ``negative``.
    cluster : int
        Number of the cluster.
    letter : str
        Of a further peak; empty for the highest.
    xyz : tuple of 3 floats
        MNI coordinates in mm.
    z_corrected, p_corrected, z_uncorrected : float or None
        Values there.
    size_mm3 : int or None
        Of the cluster.
    n_studies : int or None
        Studies with foci in the cluster.
    labels : tuple of Label
        In each atlas.
    regions : tuple of Share
        What the cluster covers, largest part first.
    """

    tail: str
    cluster: int
    letter: str
    xyz: tuple[float, float, float]
    z_corrected: float | None
    p_corrected: float | None
    z_uncorrected: float | None
    size_mm3: int | None = None
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


def peaks_by_map(rows: DataFrame) -> dict[str, list[Peak]]:
    """Collect the peaks of each described map, in the order of their clusters.

    Parameters
    ----------
    rows : pandas.DataFrame
        Of :func:`compose_runner.analysis.write.clusters.cluster_rows`, with the anatomy of
        :func:`compose_runner.analysis.write.atlases.anatomy`.
    """
    found: dict[str, list[Peak]] = {}
    for row in rows.to_dict("records"):
        values = {key: None if pd.isna(row[key]) else row[key] for key in _VALUES}
        found.setdefault(row["map"], []).append(
            Peak(
                tail=row["tail"],
                cluster=row["cluster"],
                letter="" if row["peak"] == 1 else chr(ord("a") + row["peak"] - 2),
                xyz=(row["x"], row["y"], row["z"]),
                labels=row["label"],
                regions=row["regions"],
                **values,
            )
        )
    return found


def _tail_and_cluster(column: str, tail: str) -> tuple[str, str]:
    match = _TAIL.fullmatch(column)
    assert match is not None
    return (match["tail"] or tail or "positive").lower(), match["cluster"]
