"""Which analyses and maps an image-based meta-analysis used, and why others were not; and whether it has a result.

NiMARE converts maps where it can and drops analyses that it cannot use without saying so. A fitted estimator knows
which analyses reached it (``inputs_["id"]``) and the images after the conversion (``dataset.images``); what never
reached NiMARE is known from :mod:`compose_runner.analysis.select.images`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compose_runner.errors import EmptyResultError, ImageError
from compose_runner.escaping import table_cell
from compose_runner.files import atomic_write

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nimare.estimator import Estimator
    from nimare.nimads import Studyset
    from nimare.results import MetaResult

    from compose_runner.analysis.select.images import StagedImages

COVERAGE_FILENAME = "ibma_coverage.tsv"
_COLUMNS = (
    "study_id",
    "study_name",
    "analysis_id",
    "analysis_name",
    "included",
    "supplied_maps",
    "converted_maps",
    "missing_maps",
    "dropped_maps",
    "reason",
)
_NO_MAPS = frozenset({"id", "study_id", "contrast_id", "space"})  # other columns of NiMARE's table of images
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class AnalysisCoverage:
    """What became of one selected analysis.

    Parameters
    ----------
    study_id, study_name, analysis_id, analysis_name : str
        Which one.
    included : bool
        Whether the estimator computed with it.
    supplied, converted, missing : tuple of str
        Kinds of maps that it came with; that the estimator needs and NiMARE derived; and that remain missing.
    dropped : tuple of str
        Maps that were left out before, each with the reason.
    reason : str
        In one line, how it qualified or why not.
    """

    study_id: str
    study_name: str
    analysis_id: str
    analysis_name: str
    included: bool
    supplied: tuple[str, ...]
    converted: tuple[str, ...]
    missing: tuple[str, ...]
    dropped: tuple[str, ...]
    reason: str

    def cells(self) -> list[str]:
        """The row of the table, in the order of its columns."""
        return [
            self.study_id,
            self.study_name,
            self.analysis_id,
            self.analysis_name,
            "true" if self.included else "false",
            ",".join(self.supplied),
            ",".join(self.converted),
            ",".join(self.missing),
            "; ".join(self.dropped),
            self.reason,
        ]


@dataclass(frozen=True, slots=True)
class Coverage:
    """What became of every selected analysis.

    Parameters
    ----------
    needed_maps, needed_metadata : tuple of str
        What the estimator asks for.
    analyses : tuple of AnalysisCoverage
        In the studyset's order.
    """

    needed_maps: tuple[str, ...]
    needed_metadata: tuple[str, ...]
    analyses: tuple[AnalysisCoverage, ...]

    @property
    def included(self) -> int:
        """How many analyses the estimator computed with."""
        return sum(analysis.included for analysis in self.analyses)

    def summary(self) -> str:
        """A few sentences for a log or an error: what was used, and the reasons for what was not, by frequency."""
        needs = _listed(self.needed_maps) + (f" and {_listed(self.needed_metadata)}" if self.needed_metadata else "")
        words = [f"{self.included} of {len(self.analyses)} analyses are used; each needs {needs}."]
        reasons = Counter(analysis.reason for analysis in self.analyses if not analysis.included)
        words += [f"{count} left out: {reason}." for reason, count in reasons.most_common(_SHOWN)]
        if len(reasons) > _SHOWN:
            words.append(f"{len(reasons) - _SHOWN} more reasons are in {COVERAGE_FILENAME}.")
        return " ".join(words)

    def write(self, result_dir: Path) -> Path:
        """Write ``ibma_coverage.tsv``, one row for each analysis, and give its path."""
        rows = (_COLUMNS, *(analysis.cells() for analysis in self.analyses))
        lines = ("\t".join(table_cell(" ".join(cell.split())) for cell in row) for row in rows)
        path = Path(result_dir) / COVERAGE_FILENAME
        atomic_write(path, "".join(f"{line}\n" for line in lines).encode("utf-8", "replace"))
        return path


def describe_coverage(studyset: Studyset, estimator: Estimator, staged: StagedImages | None = None) -> Coverage:
    """Account for every analysis, before a fit, after one, or after one that failed.

    Parameters
    ----------
    studyset : nimare.nimads.Studyset
        The selected analyses, as they were given to NiMARE.
    estimator : nimare.estimator.Estimator
        The estimator; where it was fitted, the one that was.
    staged : StagedImages, optional
        What became of the images before.
    """
    needed = _required(estimator, "image")
    metadata = _required(estimator, "metadata")
    fitted = getattr(estimator, "inputs_", None) or {}
    used = {str(identity) for identity in fitted.get("id", ())}
    before = _held_maps(studyset.images)
    after = _held_maps(getattr(getattr(estimator, "dataset", None), "images", None))
    dropped: dict[tuple[str, str], list[str]] = {}
    for staged_map in staged.maps if staged is not None else ():
        if staged_map.path is None:
            key = staged_map.study_id, staged_map.analysis_id
            dropped.setdefault(key, []).append(f"{staged_map.value_type}: {staged_map.reason}")
    analyses = []
    for study in studyset.studies:
        for analysis in study.analyses:
            identity = f"{study.id}-{analysis.id}"
            supplied = before.get(identity, frozenset())
            available = needed & (supplied | after.get(identity, frozenset()))
            included = identity in used
            lost = tuple(dropped.get((str(study.id), str(analysis.id)), ()))
            is_sized = any((analysis.metadata or {}).get(key) for key in ("sample_sizes", "sample_size"))
            lacking = sorted(key for key in metadata if not (analysis.metadata or {}).get(key))
            analyses.append(
                AnalysisCoverage(
                    study_id=str(study.id),
                    study_name=str(study.name or ""),
                    analysis_id=str(analysis.id),
                    analysis_name=str(analysis.name or ""),
                    included=included,
                    supplied=tuple(sorted(supplied)),
                    converted=tuple(sorted(available - supplied)),
                    missing=tuple(sorted(needed - available)),
                    dropped=lost,
                    reason=_reason(included, supplied, available, needed, lacking, lost, is_sized=is_sized),
                )
            )
    return Coverage(tuple(sorted(needed)), tuple(sorted(metadata)), tuple(analyses))


def _reason(
    included: bool,
    supplied: frozenset[str],
    available: frozenset[str],
    needed: frozenset[str],
    lacking: list[str],
    dropped: tuple[str, ...],
    *,
    is_sized: bool,
) -> str:
    if included:
        converted = sorted(available - supplied)
        return f"converted {', '.join(converted)}" if converted else "supplied the maps"
    if missing := needed - available:
        reason = f"no {_listed(missing)} map, and none to derive it from ({_listed(supplied) or 'no usable map'})"
        if missing == {"z"} and "t" in supplied and not is_sized:
            reason = "no z map: t can be converted when the analysis has a sample size"
        if dropped:
            reason += f"; dropped {'; '.join(dropped)}"
        return reason
    if lacking:
        return f"it has no {_listed(word.replace('_', ' ') for word in lacking)}"
    return "NiMARE found its maps invalid"


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(words))


def _required(estimator: Estimator, kind: str) -> frozenset[str]:
    required: dict[str, tuple[str, str | None]] = getattr(estimator, "_required_inputs", None) or {}
    return frozenset(target or name for name, (needed, target) in required.items() if needed == kind)


def _held_maps(images: Any) -> dict[str, frozenset[str]]:
    """Kinds of maps of each analysis, out of NiMARE's table, which has a column for each kind."""
    if images is None:
        return {}
    kinds = [name for name in images.columns if name not in _NO_MAPS and not name.endswith("__relative")]
    return {
        str(row["id"]): frozenset(kind for kind in kinds if isinstance(row[kind], str) and row[kind])
        for row in images.to_dict("records")
    }


def refuse_without_maps(staged: StagedImages) -> None:
    """Refuse to go on when no image of any selected analysis can be used.

    Raises
    ------
    ImageError
        With the reasons, by frequency.
    """
    if staged.used:
        return
    if not staged.maps:
        raise ImageError("The selected analyses have no images, which an image-based meta-analysis is made of.")
    reasons = Counter(f"{staged_map.value_type}: {staged_map.reason}" for staged_map in staged.maps)
    listed = "; ".join(f"{reason} ({count})" for reason, count in reasons.most_common(_SHOWN))
    n_maps = len(staged.maps)
    none = "The only image" if n_maps == 1 else f"None of the {n_maps:,} images"
    can = "cannot" if n_maps == 1 else "can"
    raise ImageError(f"{none} of the selected analyses {can} be used for a meta-analysis: {listed}.")


def refuse_empty_result(result: MetaResult, coverage: Coverage | None = None) -> None:
    """Refuse a result that has no value at any voxel, which NiMARE writes without a word.

    Parameters
    ----------
    result : nimare.results.MetaResult
        What was computed.
    coverage : Coverage, optional
        For the explanation.

    Raises
    ------
    EmptyResultError
        With what may be the cause.
    """
    import numpy as np

    maps = [values for name, values in (result.maps or {}).items() if values is not None and "label" not in name[:6]]
    if not maps or any(np.isfinite(np.asarray(values, dtype=float)).any() for values in maps):
        return
    words = ["The meta-analysis has no value at any voxel: every map is NaN everywhere."]
    if coverage is not None:
        words.append(coverage.summary())
    if getattr(result.estimator, "aggressive_mask", False):
        words.append(
            "With aggressive_mask, a voxel counts only where every single map has a value: one map that covers "
            "little, or is empty, leaves nothing. aggressive_mask=False (NiMARE's default) uses voxels that "
            "some of the maps share."
        )
    else:
        words.append("The maps share too few voxels: at each, at least two studies must have a value.")
    raise EmptyResultError(" ".join(words))
