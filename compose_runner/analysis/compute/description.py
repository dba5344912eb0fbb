"""Describe a result's maps: tables of clusters, label maps and contributions by NiMARE, at the alpha asked for."""

from __future__ import annotations

import contextlib
import copy
import logging
import re
from typing import TYPE_CHECKING, Any

from nimare.diagnostics import Diagnostics, FocusCounter, Jackknife
from nimare.meta.cbma.base import PairwiseCBMAEstimator

from compose_runner.analysis.compute.map_names import MapName, described_maps, parse
from compose_runner.analysis.compute.thresholds import Threshold, threshold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nimare.results import MetaResult

    from compose_runner.analysis.problems import Problems

log = logging.getLogger(__name__)

TAILS = ("positive", "negative")
_UNITS = {"FocusCounter": "number of foci", "Jackknife": "share of the summary statistic"}
# NiMARE counts the rows of a table, peaks among them, as clusters
_COUNTS_OF_ROWS = re.compile(r"(\d+|No) clusters found")


def describe_maps(result: MetaResult, diagnostic: Diagnostics, problems: Problems) -> MetaResult:
    """Describe every map that tells a result of its own, the one that Compose looks for first.

    Parameters
    ----------
    result : nimare.results.MetaResult
        Fitted, and corrected unless its corrector is None; it gets tables and label maps under NiMARE's names.
    diagnostic : nimare.diagnostics.Diagnostics
        NiMARE's, with the least extent of a cluster; it is not changed.
    problems : Problems
        Records what could not be made; the rest of the result stays.

    Returns
    -------
    nimare.results.MetaResult
        The result.
    """
    for name in described_maps(result.maps, corrected=result.corrector is not None):
        with problems.costing(f"description of {name.name}"), _without_counts_of_rows():
            found = threshold(result, name.name)
            one = copy.deepcopy(diagnostic).set_params(target_image=name.name, target_threshold=found.z)
            if isinstance(result.estimator, PairwiseCBMAEstimator):
                one.set_params(display_second_group=True)
            with _foci_of_its_group(result, name), _a_statistic_that_nimare_knows(result, name):
                _describe(result, one, problems)
            _tell(result, name, found)
    return result


def describe_diagnostics(result: MetaResult) -> list[dict[str, Any]]:
    """Say which diagnostic ran on which map, in the order in which they ran, for the record of the run.

    Parameters
    ----------
    result : nimare.results.MetaResult
        That was described.

    Returns
    -------
    list of dict
        ``type``, ``target_image``, ``target_threshold`` (z), ``cluster_threshold`` (voxels), ``alpha``, ``tails`` (1 or
        2), ``corrected``, ``clusters`` (their number in each tail, or None where the table could not be made) and
        ``contributions``: their ``unit``, and for each tail that has a table which ``group`` of studies is in it (None
        when there is one only); None without contributions.
    """
    return [_record(result, diagnostic) for diagnostic in result.diagnostics if type(diagnostic).__name__ in _UNITS]


def count_clusters(result: MetaResult, name: str) -> dict[str, int] | None:
    """Count the clusters in each tail of a described map; sub-peaks, whose numbers end with a letter, are none.

    Parameters
    ----------
    result : nimare.results.MetaResult
        That was described.
    name : str
        The map.
    """
    table = result.tables.get(f"{name}_tab-clust")
    if table is None:
        return None
    clusters = [str(identity) for identity in table["Cluster ID"] if str(identity)[-1].isdigit()]
    return {tail: sum(identity.startswith(tail.capitalize()) for identity in clusters) for tail in TAILS}


def _record(result: MetaResult, diagnostic: FocusCounter | Jackknife) -> dict[str, Any]:
    target = diagnostic.target_image
    found = threshold(result, target)
    return {
        "type": type(diagnostic).__name__,
        "target_image": target,
        "target_threshold": diagnostic.target_threshold,
        "cluster_threshold": diagnostic.cluster_threshold,
        "alpha": found.alpha,
        "tails": found.tails,
        "corrected": found.corrected,
        "clusters": count_clusters(result, target),
        "contributions": _contributions(result, diagnostic),
    }


def _contributions(result: MetaResult, diagnostic: FocusCounter | Jackknife) -> dict[str, Any] | None:
    name = parse(diagnostic.target_image)
    counts = count_clusters(result, diagnostic.target_image) or {}
    stem = f"{diagnostic.target_image}_diag-{type(diagnostic).__name__}_tab-counts"
    if name is None:
        return None
    pairwise = isinstance(result.estimator, PairwiseCBMAEstimator)
    groups: dict[str, int | None] = {}
    for number, tail in enumerate(TAILS, start=1):
        tables = (f"{stem}_tail-{tail}", stem)
        if counts.get(tail) and any(result.tables.get(table) is not None for table in tables):
            groups[tail] = (name.group or number) if pairwise else None
    return {"unit": _UNITS[type(diagnostic).__name__], "group": groups} if groups else None


def _tell(result: MetaResult, name: MapName, found: Threshold) -> None:
    counts = count_clusters(result, name.name)
    if counts is None:
        return
    number = sum(counts.values())
    negative = f" ({counts['negative']} in the negative tail)" if counts["negative"] else ""
    log.info("%d %s%s at %s in %s.", number, "cluster" if number == 1 else "clusters", negative, found, name.name)


@contextlib.contextmanager
def _without_counts_of_rows() -> Iterator[None]:
    """Keep back what NiMARE says of the rows of a table; :func:`_tell` counts its clusters."""

    def is_kept(record: logging.LogRecord) -> bool:
        return _COUNTS_OF_ROWS.fullmatch(record.getMessage()) is None

    logger = logging.getLogger("nimare.diagnostics")
    logger.addFilter(is_kept)
    try:
        yield
    finally:
        logger.removeFilter(is_kept)


@contextlib.contextmanager
def _foci_of_its_group(result: MetaResult, name: MapName) -> Iterator[None]:
    """Let a map about one of two groups be described by the foci of that group.

    NiMARE counts foci of the first group in positive clusters and of the second group in negative ones, which is right
    for a comparison.
    """
    if name.group is None or not isinstance(result.estimator, PairwiseCBMAEstimator):
        yield
        return
    estimator = result.estimator
    inputs = estimator.inputs_
    result.estimator = copy.copy(estimator)
    result.estimator.inputs_ = {
        **inputs,
        **{f"{field}{number}": inputs[f"{field}{name.group}"] for field in ("id", "coordinates") for number in (1, 2)},
    }
    try:
        yield
    finally:
        result.estimator = estimator


@contextlib.contextmanager
def _a_statistic_that_nimare_knows(result: MetaResult, name: MapName) -> Iterator[None]:
    """Let NiMARE's diagnostics find a statistic, without which they do not begin.

    That of BalancedALESubtraction has a name that they do not look for. Foci are counted without it.
    """
    statistic = result.maps.get(f"stat_desc-{name.effect}")
    if statistic is None or "stat" in result.maps:
        yield
        return
    result.maps["stat"] = statistic
    try:
        yield
    finally:
        result.maps.pop("stat", None)


def _describe(result: MetaResult, diagnostic: Diagnostics, problems: Problems) -> None:
    """Let a diagnostic describe its map; where it fails, the table of clusters is made if that can be."""
    name, target = type(diagnostic).__name__, diagnostic.target_image
    before = dict(result.maps), dict(result.tables), len(result.diagnostics)
    with problems.costing(f"diagnostic {name} of {target}"):
        diagnostic.transform(result)
        return
    _put_back(result, *before)
    with problems.costing(f"table of the clusters of {target}"):
        _Clusters(
            target_image=target,
            target_threshold=diagnostic.target_threshold,
            cluster_threshold=diagnostic.cluster_threshold,
        ).describe(result)
        result.diagnostics.append(diagnostic)
        return
    _put_back(result, *before)
    # the report shows the map all the same, at the diagnostic's threshold
    result.diagnostics.append(diagnostic)


class _Clusters(Diagnostics):  # type: ignore[misc]
    """The table of clusters and the label maps of a diagnostic, without the contributions of the experiments."""

    def describe(self, result: MetaResult) -> None:
        """Add them to the result."""
        n_diagnostics = len(result.diagnostics)
        self.transform(result)
        del result.diagnostics[n_diagnostics:]
        for name in [name for name in result.tables if f"_diag-{type(self).__name__}_" in name]:
            del result.tables[name]

    def _transform(
        self,
        expid: str,
        label_map: Any,
        sign: str,
        result: MetaResult,
        target_value_map: str | None = None,
        cluster_summary_context: Any = None,
    ) -> float:
        return 0.0


def _put_back(result: MetaResult, maps: dict[str, Any], tables: dict[str, Any], n_diagnostics: int) -> None:
    """Take out of a result what was added to it."""
    result.maps.clear()
    result.maps.update(maps)
    result.tables.clear()
    result.tables.update(tables)
    del result.diagnostics[n_diagnostics:]
