"""The number of participants of each analysis, put where NiMARE reads it.

A sample size can stand in the annotation's note about the analysis, in the analysis's metadata, or in the study's,
under one of several names. The note counts most, since a person wrote it for this meta-analysis.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from compose_runner.analysis.select.annotations import match_notes
from compose_runner.analysis.select.groups import as_number

if TYPE_CHECKING:
    from collections.abc import Iterable

LGR = logging.getLogger(__name__)

SAMPLE_SIZE_KEYS = ("sample_sizes", "sample_size", "n", "sample-size")
NIMARE_KEY = "sample_sizes"
# the names that NiMARE reads by itself, whatever stands there
_READ_BY_NIMARE = ("sample_sizes", "sample_size")


def with_sample_sizes(studyset: Mapping[str, Any], annotation: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Copy a studyset, with every analysis's sample sizes in its metadata under ``sample_sizes``.

    Parameters
    ----------
    studyset : mapping
        A NIMADS studyset; it is not changed. The copy shares with it what stays the same.
    annotation : mapping, optional
        Its annotation, as NeuroStore serves it.

    Returns
    -------
    dict
        The copy. Values that are no sample sizes (not a number, not finite, not positive) are left out of it, since
        NiMARE would stumble over some of them.
    """
    studies = studyset.get("studies")
    if not isinstance(studies, list):
        return dict(studyset)
    indices = [
        (i, j) for i, study in enumerate(studies) for j, analysis in enumerate(_analyses(study)) if _is_object(analysis)
    ]
    keys = [(str(studies[i].get("id")), str(studies[i]["analyses"][j].get("id"))) for i, j in indices]
    notes = dict(zip(indices, match_notes(keys, annotation), strict=True))
    copies: list[Any] = []
    missing = 0
    for i, study in enumerate(studies):
        if not _is_object(study):
            copies.append(study)
            continue
        of_study = _first_sizes([study.get("metadata")])
        analyses = []
        for j, analysis in enumerate(_analyses(study)):
            if not _is_object(analysis):
                analyses.append(analysis)
                continue
            own = _first_sizes([notes[i, j], analysis.get("metadata")])
            missing += (own or of_study) is None
            analyses.append(_with_metadata(analysis, own or of_study))
        copy = _with_metadata(study, of_study) if _is_object(study.get("metadata")) else dict(study)
        if isinstance(study.get("analyses"), list):
            copy["analyses"] = analyses
        copies.append(copy)
    if missing:
        LGR.warning(
            "%d of %d analyses have no sample size; an estimator that needs one drops them", missing, len(indices)
        )
    return {**studyset, "studies": copies}


def _is_object(value: object) -> bool:
    return isinstance(value, Mapping)


def _analyses(study: Any) -> list[Any]:
    analyses = study.get("analyses") if isinstance(study, Mapping) else None
    return analyses if isinstance(analyses, list) else []


def _with_metadata(part: Mapping[str, Any], sizes: list[float] | None) -> dict[str, Any]:
    """Copy a study or an analysis with its sample sizes, or without any."""
    metadata = part.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    kept: dict[str, Any] = {key: value for key, value in metadata.items() if key not in _READ_BY_NIMARE}
    if sizes is not None:
        kept[NIMARE_KEY] = sizes
    return {**part, "metadata": kept}


def _first_sizes(sources: Iterable[Any]) -> list[float] | None:
    """Find the first valid sample sizes: by source, then by name."""
    for source in sources:
        if isinstance(source, Mapping):
            for key in SAMPLE_SIZE_KEYS:
                sizes = _sizes(source.get(key))
                if sizes:
                    return sizes
    return None


def _sizes(value: Any) -> list[float]:
    """Read one sample size or a list of one per group; what is none is passed over."""
    found = [_size(one) for one in (value if isinstance(value, list | tuple) else [value])]
    return [size for size in found if size is not None]


def _size(value: Any) -> float | None:
    number = as_number(value)
    return number if number is not None and math.isfinite(number) and number > 0 else None
