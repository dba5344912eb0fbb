"""What the page says of each described map."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from compose_runner.analysis.compute.description import TAILS
from compose_runner.analysis.write.atlases import in_sentence, peak_label
from compose_runner.analysis.write.report.clusters import Contributions, Peak, find_contributions
from compose_runner.analysis.write.report.still_pictures import Picture, draw
from compose_runner.analysis.write.report.words import count, level, number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nimare.results import MetaResult

    from compose_runner.analysis.problems import Problems
    from compose_runner.analysis.write.report.map_order import ResultMap


@dataclass
class MapSection:
    """A described map.

    Parameters
    ----------
    anchor : str
        Of the section in the page.
    place : int
        Of the map among those of the viewer.
    map : ResultMap
        What it is.
    shown : str
        At which threshold.
    summary : str
        What was found, in a sentence.
    peaks : list of Peak
        Rows of the table of clusters.
    contributions : list of Contributions
        Of the experiments.
    contributing : dict of str to str
        For a tail, whose experiments these are, where there are two groups.
    n_used : dict of str to int
        For a tail, how many studies could have contributed.
    pictures : list of Picture
        Slices and glass brain.
    empty : str
        Why there is nothing to see, where there is nothing.
    same_as : str
        Anchor of the section of a map with the same values, whose content is not repeated.
    problem : str
        What could not be made.
    """

    anchor: str
    place: int
    map: ResultMap
    shown: str
    summary: str = ""
    peaks: list[Peak] = field(default_factory=list)
    contributions: list[Contributions] = field(default_factory=list)
    contributing: dict[str, str] = field(default_factory=dict)
    n_used: dict[str, int] = field(default_factory=dict)
    pictures: list[Picture] = field(default_factory=list)
    empty: str = ""
    same_as: str = ""
    problem: str = ""

    @property
    def n_clusters(self) -> int:
        """How many clusters there are."""
        return sum(not peak.letter for peak in self.peaks)

    @property
    def first_peak(self) -> Peak | None:
        """The strongest peak."""
        return max(self.peaks, key=lambda peak: abs(peak.z_uncorrected or peak.z_corrected or 0), default=None)


def describe_maps(
    result: MetaResult,
    maps: Sequence[ResultMap],
    diagnostics: Sequence[Mapping[str, Any]],
    figures: Path,
    problems: Problems,
    *,
    peaks: Mapping[str, list[Peak]],
    n_used: Sequence[int | None] = (),
    groups: tuple[str, ...] = (),
) -> list[MapSection]:
    """Describe every map that NiMARE's diagnostics described.

    Parameters
    ----------
    result : nimare.results.MetaResult
        What was computed.
    maps : sequence of ResultMap
        All maps, in the viewer's order.
    diagnostics : sequence of mapping
        ``metadata["diagnostics"]``.
    figures : pathlib.Path
        Where pictures go.
    problems : Problems
        What cannot be made is added.
    peaks : mapping of str to list of Peak
        Of each map's clusters.
    n_used : sequence of int or None
        Studies of each group that were used.
    groups : tuple of str
        What the groups are called, if there are two.
    """
    described = {about["target_image"]: about for about in reversed(diagnostics)}
    sections: list[MapSection] = []
    for place, one in enumerate(maps):
        if one.name not in described:
            continue
        section = MapSection(f"map-{place}", place, one, shown_at(described[one.name], one))
        sections.append(section)
        counted = _counted(described[one.name])
        section.n_used = {
            tail: n for tail, group in counted.items() if group <= len(n_used) and (n := n_used[group - 1])
        }
        if len(groups) > 1:
            section.contributing = {tail: groups[group - 1] for tail, group in counted.items()}
        values = result.maps[one.name]
        same = next((s for s in sections[:-1] if np.array_equal(result.maps[s.map.name], values)), None)
        if same is not None:
            section.same_as = same.anchor
            section.summary = same.summary
            continue
        with problems.costing(f"table of the clusters of {one.name} in the report"):
            _fill(section, result, described[one.name], peaks.get(one.name, []))
        image = result.get_map(one.name)
        section.pictures = draw(image, one.name, one.threshold, figures, problems, quantity=one.heading.quantity)
    return sections


def _counted(about: Mapping[str, Any]) -> dict[str, int]:
    """Of which group each tail's contributions are; NiMARE's own diagnostics count those of the first."""
    numbers = (about.get("contributions") or {}).get("group") or {}
    return {tail: numbers.get(tail) or 1 for tail in TAILS}


def _fill(section: MapSection, result: MetaResult, about: Mapping[str, Any], peaks: list[Peak]) -> None:
    name = section.map.name
    section.contributions = find_contributions(result, name)
    if result.tables.get(f"{name}_tab-clust") is None:
        section.problem = "The table of clusters could not be made."
        return
    section.peaks = peaks
    strongest = section.first_peak
    if strongest is None:
        section.empty = _explain_empty(section.map, result, about)
        section.summary = "No cluster."
        return
    label = strongest.labels[0] if strongest.labels else None
    where = "outside of all labelled regions"
    if label is not None and label.name:
        near = f"{max(label.distance_mm, 1):.0f} mm from" if label.distance_mm else "in"
        where = f"{near} the {in_sentence(label.name)}"
    section.summary = f"{count(section.n_clusters, 'cluster')}; the strongest peak is {where}, {_place(strongest.xyz)}."


def shown_at(about: Mapping[str, Any], shown: ResultMap) -> str:
    """Say at which threshold a map is described.

    Parameters
    ----------
    about : mapping
        One of ``metadata["diagnostics"]``.
    shown : ResultMap
        The map.
    """
    tails = about.get("tails")
    quantity = f"|{shown.heading.quantity}|" if tails == 2 else shown.heading.quantity
    parts = []
    if (alpha := about.get("alpha")) is not None:
        how = "corrected" if about.get("corrected") else "uncorrected"
        parts.append(f"p < {level(alpha)}, {how}" + (f" ({'one' if tails == 1 else 'two'}-tailed)" if tails else ""))
    parts.append(f"{quantity} ≥ {number(shown.threshold)}" if shown.threshold else f"{quantity} other than 0")
    if size := about.get("cluster_threshold"):
        parts.append(f"clusters of more than {size} voxels")
    return "; ".join(parts)


def _explain_empty(shown: ResultMap, result: MetaResult, about: Mapping[str, Any]) -> str:
    values = np.nan_to_num(np.asarray(result.maps[shown.name], dtype=float))
    above = int((np.abs(values) >= shown.threshold).sum()) if shown.threshold else int((values != 0).sum())
    quantity = shown.heading.quantity
    if above:
        sentences = [
            f"{count(above, 'voxel')} reach {quantity} = {number(shown.threshold)}, but none of the clusters that they "
            f"form has more than {about.get('cluster_threshold')} voxels."
        ]
    else:
        place, value = _largest(result, shown.name)
        sentences = [f"No voxel reaches {quantity} = {number(shown.threshold)}."]
        if value:
            sentences.append(f"The largest value of this map is {number(value)}, at {place}.")
    sentences.append(
        "That nothing is found at this threshold does not show that there is nothing: a few experiments, or foci that "
        "spread, give little power. Maps before correction can be chosen in the viewer."
    )
    return " ".join(sentences)


def _largest(result: MetaResult, name: str) -> tuple[str, float]:
    image = result.get_map(name)
    data = np.nan_to_num(np.asarray(image.dataobj))
    voxel = np.unravel_index(int(np.abs(data).argmax()), data.shape)
    xyz = (image.affine @ (*voxel, 1))[:3]
    label = peak_label(xyz.tolist())
    return f"{_place(xyz.tolist())}{f' ({in_sentence(str(label))})' if label.name else ''}", float(data[voxel])


def _place(xyz: Sequence[float]) -> str:
    coordinates = ",\u00a0".join(number(one, 0) for one in xyz)  # on one line
    return f"({coordinates})"
