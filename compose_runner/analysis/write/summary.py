"""What a finished run says to a person, read from its result directory: clusters, what was left out, the report.

The numbers are those that the run recorded in ``metadata.json`` and in its tables of clusters; nothing is counted here.
Needs neither NiMARE nor NumPy.
"""

from __future__ import annotations

import csv
import json
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compose_runner.analysis.write.headings import map_heading
from compose_runner.analysis.write.names import study_names
from compose_runner.service.storage import METADATA_FILENAME

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

REPORT = "report.html"
CLUSTERS = "clusters.tsv"
_CLUSTERS_OF_A_MAP = "_tab-clust.tsv"
# what is shown of a list; the rest is in the report
MOST_SHOWN = 10
_WIDTH = 80
# what is left of a line
_LABEL = 33
_OF_ATLAS = re.compile(r"(.*) \(([^()]*)\)")


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster, by its highest peak.

    Parameters
    ----------
    x, y, z : float
        The peak in millimetres of MNI space.
    value : float or None
        Of the map there.
    size_mm3 : float or None
        Volume.
    label : str
        Anatomical label of the peak; may be empty.
    """

    x: float
    y: float
    z: float
    value: float | None
    size_mm3: float | None
    label: str = ""

    def named(self) -> tuple[str, str]:
        """Give the first atlas's name of the region, and the atlas; the table has those of the others."""
        first = self.label.partition("; ")[0]
        found = _OF_ATLAS.fullmatch(first)
        return (found[1], found[2]) if found else (first, "")

    def line(self) -> str:
        """Write the cluster on one line, in columns, at most 80 of them."""
        value = "" if self.value is None else f"z = {self.value:.2f}"
        size = "" if self.size_mm3 is None else f"{self.size_mm3:,.0f} mm³"
        name, _ = self.named()
        label = name if len(name) <= _LABEL else f"{name[: _LABEL - 1]}…"
        return f"{self.x:5.0f} {self.y:5.0f} {self.z:5.0f}   {value:<10} {size:>11}   {label}".rstrip()


@dataclass(frozen=True, slots=True)
class ClustersOfMap:
    """The clusters of one map.

    Parameters
    ----------
    name : str
        NiMARE's name of the map.
    heading : str
        In words.
    clusters : tuple of Cluster
        In the order of the table.
    """

    name: str
    heading: str
    clusters: tuple[Cluster, ...]


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a finished run says.

    Parameters
    ----------
    title : str
        Name or id of the meta-analysis.
    studies : tuple of int
        Studies that were used, by group.
    maps : tuple of ClustersOfMap
        Where the clusters are.
    left_out : tuple of str
        Sentences about studies and coordinates that were left out, and why.
    warnings : tuple of str
        What the audit of the inputs found, and what could not be made.
    report : Path or None
        The report, if there is one.
    url : str or None
        Page of the published result.
    """

    title: str
    studies: tuple[int, ...]
    maps: tuple[ClustersOfMap, ...]
    left_out: tuple[str, ...]
    warnings: tuple[str, ...]
    report: Path | None
    url: str | None

    def lines(self, *, warned: bool = False) -> Iterator[str]:
        """Write it for a terminal of 80 columns; control characters of documents are still in it.

        Parameters
        ----------
        warned : bool
            Whether the reader has seen the warnings already, so that their number is enough.
        """
        studied = " and ".join(_number(count, "study", "studies") for count in self.studies) or "studies"
        if not self.maps:
            yield from _wrapped(f"Done, with {studied}. No table of clusters was made.")
        for of_map in self.maps:
            yield from _wrapped(of_map.heading)
            if not of_map.clusters:
                yield from _wrapped(f"No clusters, with {studied}.")
                continue
            found = _number(len(of_map.clusters), "cluster", "clusters")
            where = f"where {studied} converge" if len(self.studies) == 1 else f"from {studied}"
            atlas = next((name for cluster in of_map.clusters if (name := cluster.named()[1])), "")
            labels = f", regions of {atlas}" if atlas else ""
            yield from _wrapped(f"{found} {where}; peaks in mm (MNI){labels}:")
            yield from (f"  {cluster.line()}" for cluster in of_map.clusters[:MOST_SHOWN])
            if len(of_map.clusters) > MOST_SHOWN:
                yield f"  and {len(of_map.clusters) - MOST_SHOWN} more"
        for sentence in self.left_out:
            yield from _wrapped(sentence)
        if warned and self.warnings:
            yield f"{_number(len(self.warnings), 'warning', 'warnings')}: see above, or metadata.json"
        for warning in () if warned else self.warnings[:MOST_SHOWN]:
            yield from _wrapped(f"Warning: {warning}")
        if not warned and len(self.warnings) > MOST_SHOWN:
            yield f"and {len(self.warnings) - MOST_SHOWN} more warnings in the report and in metadata.json"
        if self.report is not None:
            yield f"Report: {self.report.as_uri()}"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, subsequent_indent="  ") or [""]


def summarize(result_dir: str | os.PathLike[str]) -> RunSummary | None:
    """Read the summary of a finished run; None where there is no finished run.

    Parameters
    ----------
    result_dir : path-like
        Result directory.
    """
    folder = Path(result_dir).expanduser().resolve()
    try:
        metadata = json.loads((folder / METADATA_FILENAME).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(metadata, dict):
        return None
    report = folder / REPORT
    groups = _used_studies(metadata)
    return RunSummary(
        title=str(metadata.get("name") or metadata.get("meta_analysis_id") or "Meta-analysis"),
        studies=groups,
        maps=tuple(_maps(folder, metadata)),
        left_out=tuple(_left_out(metadata)),
        warnings=tuple(_warnings(metadata)),
        report=report if report.exists() else None,
        url=metadata.get("result_url"),
    )


def _used_studies(metadata: Mapping[str, Any]) -> tuple[int, ...]:
    accounts = [_at(group, "used", "studies") for group in _groups(metadata)]
    counts = [_at(group, "studies") for group in _values(metadata.get("counts"))]
    return tuple(count for count in (accounts or counts) if isinstance(count, int))


def _maps(folder: Path, metadata: Mapping[str, Any]) -> Iterator[ClustersOfMap]:
    estimator = str(metadata.get("estimator") or "")
    diagnosed = [
        str(one["target_image"])
        for one in metadata.get("diagnostics") or ()
        if isinstance(one, dict) and one.get("target_image")
    ]
    n_iters = _at(metadata, "specification", "corrector", "args", "n_iters")
    found = _clusters_of_all(folder / CLUSTERS) if (folder / CLUSTERS).exists() else _clusters_by_map(folder)
    # a map without a cluster has no row
    names = dict.fromkeys([*(name for name in diagnosed if name in found or (folder / CLUSTERS).exists()), *found])
    for name in names:
        heading = map_heading(name, estimator=estimator, n_iters=n_iters if isinstance(n_iters, int) else None)
        yield ClustersOfMap(name, f"{heading}{_threshold(metadata, name)}", tuple(found.get(name, ())))


def _threshold(metadata: Mapping[str, Any], name: str) -> str:
    """Say which p the clusters of a map have, as far as the run recorded it."""
    for one in metadata.get("diagnostics") or ():
        if isinstance(one, dict) and one.get("target_image") == name and isinstance(one.get("alpha"), int | float):
            tails = {1: ", one-tailed", 2: ", two-tailed"}.get(one.get("tails") or 0, "")
            return f", p < {one['alpha']:g}{tails}"
    return ""


def _clusters_of_all(path: Path) -> dict[str, list[Cluster]]:
    found: dict[str, list[Cluster]] = {}
    seen = set()
    for row in _rows(path):
        key = (row.get("map"), row.get("alpha"), row.get("tail"), row.get("cluster"))
        # the first row of a cluster is its highest peak
        if key in seen or not row.get("map"):
            continue
        seen.add(key)
        values = (_float(row.get("z_corrected")), _float(row.get("z_uncorrected")))
        value = next((value for value in values if value is not None), None)
        if (peak := _cluster(row, "xyz", value, row.get("size_mm3"), row.get("label") or "")) is not None:
            found.setdefault(str(row["map"]), []).append(peak)
    return found


def _clusters_by_map(folder: Path) -> dict[str, list[Cluster]]:
    found: dict[str, list[Cluster]] = {}
    for path in sorted(folder.glob(f"*{_CLUSTERS_OF_A_MAP}")):
        clusters = found.setdefault(path.name.removesuffix(_CLUSTERS_OF_A_MAP), [])
        for row in _rows(path):
            size = row.get("Cluster Size (mm3)")
            peak = _cluster(row, "XYZ", _float(row.get("Peak Stat")), size, row.get("label") or "") if size else None
            if peak is not None:
                clusters.append(peak)
    return found


def _cluster(row: Mapping[str, str], axes: str, value: float | None, size: str | None, label: str) -> Cluster | None:
    x, y, z = (_float(row.get(axis)) for axis in axes)
    if x is None or y is None or z is None:
        return None
    return Cluster(x, y, z, value, _float(size), label)


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file, delimiter="\t")


def _left_out(metadata: Mapping[str, Any]) -> Iterator[str]:
    """Say which studies and coordinates were not used: from the run's accounting, where it has one."""
    reasons: dict[str, list[str]] = {}
    unselected = 0
    rows = [row for row in metadata.get("studies") or () if isinstance(row, dict)]
    names = study_names([{**row, "name": row.get("title")} for row in rows])
    for row in rows:
        if row.get("in"):
            continue
        if row.get("group") is None:
            unselected += 1
        else:
            reasons.setdefault(str(row.get("why") or "no reason is recorded"), []).append(names[str(row.get("id", ""))])
    if unselected:
        were = "was" if unselected == 1 else "were"
        yield f"{_number(unselected, 'study', 'studies')} of the studyset {were} not selected by the specification."
    for why, studies in sorted(reasons.items(), key=lambda item: -len(item[1])):
        named = ", ".join(studies[:3]) + (f" and {len(studies) - 3} more" if len(studies) > 3 else "")
        yield f"Left out: {_number(len(studies), 'study', 'studies')} ({named}): {why}"
    foci = [group["foci"] for group in _groups(metadata) if isinstance(group.get("foci"), dict)]
    for key, words in (
        ("outside_mask", "outside of the brain mask"),
        ("without_coordinates", "without three numbers"),
        ("duplicates", "listed twice"),
    ):
        count = sum(one[key] for one in foci if isinstance(one.get(key), int))
        if count:
            yield f"Left out: {_number(count, 'focus', 'foci')} {words}."


def _warnings(metadata: Mapping[str, Any]) -> Iterator[str]:
    for finding in metadata.get("audit") or ():
        if isinstance(finding, dict) and finding.get("severity") in ("error", "warning"):
            yield str(finding.get("message"))
    for problem in metadata.get("problems") or ():
        if isinstance(problem, dict):
            yield f"{problem.get('what')} could not be made: {problem.get('reason')}"


def _groups(metadata: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return _values(metadata.get("accounting"))


def _values(document: object) -> list[Mapping[str, Any]]:
    return [group for group in document.values() if isinstance(group, dict)] if isinstance(document, dict) else []


def _at(document: object, *keys: str) -> object:
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def _float(text: object) -> float | None:
    try:
        return float(text) if isinstance(text, str | int | float) else None
    except ValueError:
        return None


def _number(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"
