"""The number of participants of each analysis, put where NiMARE reads it.

A sample size can stand in the annotation's note about the analysis, in the analysis's metadata, or in the study's,
under one of several names. The note counts most, since a person wrote it for this meta-analysis. Names that are less
sure (``N``, ``subjects``) count where none of the usual ones stands. What is beyond doubt is read from texts
(:func:`read_size`); the rest is kept for the audit of the inputs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from compose_runner.analysis.select.annotations import match_notes
from compose_runner.analysis.select.groups import as_number
from compose_runner.analysis.wording import as_written

if TYPE_CHECKING:
    from collections.abc import Iterable

SAMPLE_SIZE_KEYS = ("sample_sizes", "sample_size", "n", "sample-size")
NIMARE_KEY = "sample_sizes"
# the names that NiMARE reads by itself, whatever stands there
_READ_BY_NIMARE = ("sample_sizes", "sample_size")
# other spellings, without marks and in lower case
_OTHER_KEYS = frozenset(
    {
        *("samplesize", "samplesizes", "n", "ns", "nsubjects", "nsubject", "nsubj", "subjects", "numberofsubjects"),
        *(
            "numsubjects",
            "nparticipants",
            "participants",
            "numberofparticipants",
            "numparticipants",
            "ntotal",
            "totaln",
        ),
    }
)
# no study has more participants: a number above it is no sample size
MOST_PARTICIPANTS = 1_000_000

_PEOPLE = "subjects?|participants?|volunteers?|people|persons?|individuals?|patients?|controls?|adults?|children"
# "20", "n = 20", "20 (10F)", "20 subjects", "1,024"
_COUNT = re.compile(
    rf"(?:n\s*[=:]\s*)?(?P<count>\d{{1,3}}(?:,\d{{3}})+|\d+(?:\.\d*)?)\s*(?:{_PEOPLE})?\s*(?:\([^()]*\))?",
    re.IGNORECASE,
)
# "[10, 12]", one for each group
_LIST = re.compile(r"\[\s*\d+\s*(?:,\s*\d+\s*)*\]")


@dataclass(frozen=True, slots=True)
class StatedSize:
    """Where an analysis's sample sizes come from.

    Parameters
    ----------
    sizes : tuple of float
        One for each group of participants; empty when there are none.
    key : str
        The name under which they stand.
    as_text : bool
        Whether they were read from a text that is more than a number, or under a name that is not a usual one.
    unread : str
        A value that stands under the name of a sample size and is none; empty when there is no such value, or when
        another was read.
    overruled : tuple of float
        What the metadata says where the note says something else.
    """

    sizes: tuple[float, ...] = ()
    key: str = ""
    as_text: bool = False
    unread: str = ""
    overruled: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class SampleSizes:
    """A studyset with sample sizes where NiMARE reads them.

    Parameters
    ----------
    studyset : dict
        A copy that shares with the original what stays the same.
    stated : dict
        What is known of each analysis, by its indices in the studyset (study, analysis).
    """

    studyset: dict[str, Any] = field(repr=False)
    stated: dict[tuple[int, int], StatedSize] = field(repr=False)


def with_sample_sizes(studyset: Mapping[str, Any], annotation: Mapping[str, Any] | None = None) -> SampleSizes:
    """Copy a studyset, with every analysis's sample sizes in its metadata under ``sample_sizes``.

    Parameters
    ----------
    studyset : mapping
        A NIMADS studyset; it is not changed.
    annotation : mapping, optional
        Its annotation, as NeuroStore serves it.

    Returns
    -------
    SampleSizes
        Values that are no sample sizes (not a number, not finite, not positive) are left out of the copy, since
        NiMARE would stumble over some of them.
    """
    studies = studyset.get("studies")
    if not isinstance(studies, list):
        return SampleSizes(dict(studyset), {})
    indices = [
        (i, j) for i, study in enumerate(studies) for j, analysis in enumerate(_analyses(study)) if _is_object(analysis)
    ]
    keys = [(str(studies[i].get("id")), str(studies[i]["analyses"][j].get("id"))) for i, j in indices]
    notes = dict(zip(indices, match_notes(keys, annotation), strict=True))
    copies: list[Any] = []
    stated: dict[tuple[int, int], StatedSize] = {}
    for i, study in enumerate(studies):
        if not _is_object(study):
            copies.append(study)
            continue
        of_study = study.get("metadata")
        analyses = []
        for j, analysis in enumerate(_analyses(study)):
            if not _is_object(analysis):
                analyses.append(analysis)
                continue
            stated[i, j] = found = _find((notes[i, j], analysis.get("metadata"), of_study))
            analyses.append(_with_metadata(analysis, found.sizes))
        copy = _with_metadata(study, _find((of_study,)).sizes) if _is_object(of_study) else dict(study)
        if isinstance(study.get("analyses"), list):
            copy["analyses"] = analyses
        copies.append(copy)
    return SampleSizes({**studyset, "studies": copies}, stated)


def _is_object(value: object) -> bool:
    return isinstance(value, Mapping)


def _analyses(study: Any) -> list[Any]:
    analyses = study.get("analyses") if isinstance(study, Mapping) else None
    return analyses if isinstance(analyses, list) else []


def _with_metadata(part: Mapping[str, Any], sizes: tuple[float, ...]) -> dict[str, Any]:
    """Copy a study or an analysis with its sample sizes, or without any."""
    metadata = part.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    kept: dict[str, Any] = {key: value for key, value in metadata.items() if key not in _READ_BY_NIMARE}
    if sizes:
        kept[NIMARE_KEY] = list(sizes)
    return {**part, "metadata": kept}


def _find(sources: tuple[Any, ...]) -> StatedSize:
    """Find the first sample sizes: usual names before others, then by source, then by name."""
    unread = ""
    for usual in (True, False):
        for number, source in enumerate(sources):
            for key, value in _named(source, usual):
                sizes = _sizes(value, usual)
                if sizes:
                    others = _usual(sources[number + 1 :]) if number == 0 and len(sources) > 1 else ()
                    overruled = others if others and others != sizes else ()
                    return StatedSize(sizes, key, not usual or _is_wordy(value), "", overruled)
                if value not in (None, "", []) and not unread:
                    unread = f"{key}: {as_written(value)}"
    return StatedSize(unread=unread)


def _usual(sources: Iterable[Any]) -> tuple[float, ...]:
    for source in sources:
        for _, value in _named(source, usual=True):
            if sizes := _sizes(value, usual=True):
                return sizes
    return ()


def _named(source: Any, usual: bool) -> list[tuple[str, Any]]:
    """Values under the usual names of sample sizes, in their order, or under its other names."""
    if not isinstance(source, Mapping):
        return []
    if usual:
        return [(key, source[key]) for key in SAMPLE_SIZE_KEYS if key in source]
    return [
        (str(key), value)
        for key, value in source.items()
        if key not in SAMPLE_SIZE_KEYS and re.sub(r"[\W_]+", "", str(key)).casefold() in _OTHER_KEYS
    ]


def _sizes(value: Any, usual: bool) -> tuple[float, ...]:
    """Read one sample size or a list of one per group; what is none is passed over."""
    if isinstance(value, str) and _LIST.fullmatch(value.strip()[:200]):
        value = value.strip().strip("[]").split(",")
    if isinstance(value, list | tuple):
        # under another name a list may be one of participants
        found = [read_size(one) for one in value] if usual else []
    else:
        found = [read_size(value)]
    return tuple(size for size in found if size is not None)


def read_size(value: Any) -> float | None:
    """Read a sample size from a number, or from a text that says one beyond doubt.

    Parameters
    ----------
    value : object
        Of a document: ``20``, ``"20"``, ``"n = 20"``, ``"20 (10F)"``, ``"20 subjects"``, ``"1,024"``.

    Returns
    -------
    float or None
        None for everything else: ``"~20"``, ``"20-25"``, zero, less than one, more than a million.
    """
    if isinstance(value, str):
        found = _COUNT.fullmatch(value.strip()[:200])
        if found is None:
            return None
        value = found["count"].replace(",", "")
    number = as_number(value)
    return number if number is not None and 1 <= number <= MOST_PARTICIPANTS else None


def _is_wordy(value: Any) -> bool:
    """Whether a text says more than a number."""
    return isinstance(value, str) and not re.fullmatch(r"\d+(\.\d*)?", value.strip())
