"""Studies that stand in a studyset more than once, each made one again.

A meta-analysis takes one experiment from a study. NiMARE goes by the entries of the studyset, so that a study that is
listed twice would count as two.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class MergedStudies:
    """A studyset in which every study stands once.

    Parameters
    ----------
    studyset : dict
        The document itself where no study is repeated, else a copy.
    repeated : tuple of dict
        The studies that were listed several times, as they are now.
    """

    studyset: dict[str, Any] = field(repr=False)
    repeated: tuple[dict[str, Any], ...] = ()


def merge_repeated(studyset: dict[str, Any]) -> MergedStudies:
    """Merge the entries of each study.

    The first entry counts; later ones fill in what it does not say, and add their analyses, but for those that are the
    same as one that is there (by id, foci and images).

    Parameters
    ----------
    studyset : dict
        A NIMADS studyset; it is not changed.
    """
    studies = studyset.get("studies") or []
    counts = Counter(str(study.get("id")) for study in studies)
    if len(counts) == len(studies):
        return MergedStudies(studyset)
    merged: dict[str, dict[str, Any]] = {}
    for study in studies:
        identity = str(study.get("id"))
        merged[identity] = _merge(merged[identity], study) if identity in merged else study
    repeated = tuple(study for identity, study in merged.items() if counts[identity] > 1)
    return MergedStudies({**studyset, "studies": list(merged.values())}, repeated)


def _merge(first: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    known = {**later, **{key: value for key, value in first.items() if value not in (None, "", {}, [])}}
    if isinstance(first.get("metadata"), dict) and isinstance(later.get("metadata"), dict):
        known["metadata"] = {**later["metadata"], **first["metadata"]}
    analyses = list(first.get("analyses") or [])
    seen = {str(analysis.get("id")): analysis for analysis in analyses}
    for analysis in later.get("analyses") or []:
        same = seen.get(str(analysis.get("id")))
        if same is None or any((same.get(part) or []) != (analysis.get(part) or []) for part in ("points", "images")):
            analyses.append(analysis)
            seen.setdefault(str(analysis.get("id")), analysis)
    return {**known, "analyses": analyses}
