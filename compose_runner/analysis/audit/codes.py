"""Every code that the audit gives: how much it matters, and its sentence. ``docs/checks.md`` explains them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compose_runner.analysis.wording import quoted
from compose_runner.findings import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable

# titles in a finding; the sentence says how many there are
MOST_TITLES = 100

_ERROR, _WARNING, _NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE

CODES: dict[str, tuple[Severity, str]] = {
    "coordinates-left-out": (
        _WARNING,
        "{foci} of {listed} left out, for not being three finite numbers: {reasons}{example}. In {studies}.",
    ),
    "coordinates-read": (
        _NOTE,
        "{foci} read as numbers although given as text, or as x, y and z instead of a list. In {studies}.",
    ),
    "coordinates-nothing-inside": (
        _ERROR,
        "Not one of the {foci} of the {group} lies within the brain mask, so that there is nothing to compute from. "
        "The coordinates have to be millimetres in MNI or Talairach space{guess}. In {studies}.",
    ),
    "coordinates-mostly-outside": (
        _WARNING,
        "Half or more of the foci lie outside the brain mask ({outside} of {foci}) in {studies}.",
    ),
    "coordinates-outside-mask": (
        _NOTE,
        "{outside} of {foci} outside the brain mask, not counted as used. What of the kernel around such a "
        "focus reaches "
        "into the brain is part of the maps all the same. In {studies}.",
    ),
    "coordinates-units": (
        _WARNING,
        "The coordinates seem to be in {what} instead of millimetres: {evidence}. In {studies}.",
    ),
    "coordinates-axes": (_WARNING, "The coordinates seem to have {what}: {evidence}. In {studies}."),
    "coordinates-converted": (
        _NOTE,
        "{foci} labelled as Talairach space converted to MNI space (Lancaster et al. 2007). In {studies}.",
    ),
    "coordinates-space-unknown": (
        _WARNING,
        "{foci} taken as MNI space, since the label of the space says neither MNI nor Talairach: {labels}. "
        "In {studies}.",
    ),
    "coordinates-space-mixed": (
        _NOTE,
        "Foci in MNI space and foci in Talairach space stand side by side in {studies}.",
    ),
    "coordinates-negative": (
        _WARNING,
        "{foci} marked as deactivations or with a negative statistic. The method takes every focus alike, whatever "
        "the direction of its effect. In {studies}.",
    ),
    "coordinates-duplicate": (
        _NOTE,
        "{foci} at exactly the same coordinates as another one of the same study. In {studies}.",
    ),
    "studies-without-foci": (
        _WARNING,
        "{n_studies} without a focus that can be used, and so without influence on the result: {studies}.",
    ),
    "studies-repeated": (
        _WARNING,
        "{n_studies} listed more than once in the studyset, and counted once: {studies}.",
    ),
    "studies-same-publication": (
        _WARNING,
        "{n_studies} with a DOI or PubMed number that another selected study has too, so that one "
        "publication may count "
        "more than once: {studies}.",
    ),
    "studies-same-foci": (
        _WARNING,
        "{n_studies} with exactly the foci of another selected study, so that one experiment may count more than once: "
        "{studies}.",
    ),
    "studies-in-both-groups": (
        _WARNING,
        "{n_studies} in both groups, which the comparison takes as independent: {studies}.",
    ),
    "studies-too-few": (
        _WARNING,
        "The {group} has {experiments} with {what} that can be used. {advice}",
    ),
    "studies-one-dominates": (
        _WARNING,
        "{share} of the {foci} used in the {group} come from one study: {studies}.",
    ),
    "studies-not-selected": (_ERROR, "{reason}"),
    "sample-size-missing": (
        _ERROR,
        "{method} needs the sample size of every selected study, and {n_studies} of {of} {have} none: {studies}. "
        "{ways}",
    ),
    "sample-size-read": (
        _NOTE,
        "The sample size was read from a text, or under another name than sample_size ({examples}), for {studies}.",
    ),
    "sample-size-unread": (
        _WARNING,
        "What stands where a sample size should be cannot be read as one ({examples}), for {studies}.",
    ),
    "sample-size-implausible": (
        _WARNING,
        "Sample sizes that are fractions, below 4 or above 10,000 ({examples}) for {studies}.",
    ),
    "sample-size-note-differs": (
        _NOTE,
        "The annotation gives another sample size than the study's own metadata, and is followed ({examples}), for "
        "{studies}.",
    ),
    "annotation-near-values": (
        _WARNING,
        "{analyses} not selected, whose value in the column {column} differs from a condition by case or blanks only: "
        "{values}. In {studies}.",
    ),
    "annotation-numbers-as-texts": (
        _NOTE,
        "{analyses} with a number as text in the column {column}, read as the number. In {studies}.",
    ),
    "annotation-list-values": (
        _WARNING,
        "{analyses} with a list in the column {column}, which no condition can meet. In {studies}.",
    ),
    "annotation-without-note": (
        _NOTE,
        "{analyses} without a value in the column {column}, and so not selected. In {studies}.",
    ),
    "annotation-notes-ambiguous": (
        _WARNING,
        "{notes} of the annotation not used, for naming no study and an analysis id that several studies have{named}.",
    ),
    "annotation-notes-gone": (
        _WARNING,
        "{notes} of the annotation about analyses that the studyset does not hold (any more){named}.",
    ),
    "annotation-notes-contradict": (
        _WARNING,
        "Several notes say different things in the column {column}, and the last one counts. In {studies}.",
    ),
    "images-left-out": (
        _WARNING,
        "{analyses} of {of} not used, for want of a map that can be: {reasons}. In {studies}.",
    ),
    "images-not-read": (_WARNING, "{maps} left out: {reasons}. In {studies}."),
    "images-p-without-sign": (
        _WARNING,
        "{analyses} with p values alone, which have no sign: every voxel enters as an activation, also where "
        "the effect is "
        "negative. In {studies}.",
    ),
    "images-p-not-probabilities": (
        _WARNING,
        "{maps} of p values left out, for values above 1 or below 0 (up to {largest}); they may be -log10 p. "
        "In {studies}.",
    ),
    "images-outside-brain": (_WARNING, "{maps} without a value other than zero within the brain mask. In {studies}."),
    "images-implausible": (
        _WARNING,
        "{maps} with values that are hardly of the kind that is stated ({examples}). In {studies}.",
    ),
    "images-space": (
        _WARNING,
        "{maps} labelled with another space than MNI ({labels}), and used as they are. In {studies}.",
    ),
    "images-repeated": (
        _WARNING,
        "{maps} that are the same file as a map of another analysis, so that one result counts more than "
        "once. In {studies}.",
    ),
    "images-t-without-sample-size": (
        _WARNING,
        "{analyses} with a t map and no sample size: t can be converted to z when the analysis has a sample size. "
        "Fill in sample_size in the annotation. In {studies}.",
    ),
    "images-unusable": (_ERROR, "{reason}"),
    "result-counts-differ": (
        _WARNING,
        "What was computed from is not what was counted before: {differences}. The figures here are those of "
        "the result.",
    ),
    "specification-refused": (_ERROR, "{reason}"),
}


def finding(code: str, studies: Iterable[str] = (), count: int = 0, **words: object) -> Finding:
    """Make a finding.

    Parameters
    ----------
    code : str
        One of :data:`CODES`.
    studies : iterable of str
        Titles of the studies concerned, for ``{studies}`` in the sentence.
    count : int
        How many of what the sentence speaks of there are.
    **words
        Values for the other fields of the sentence.
    """
    severity, sentence = CODES[code]
    titles = tuple(dict.fromkeys(studies))
    message = sentence.format(studies=quoted(titles), **words)
    return Finding(severity, code, message, titles[:MOST_TITLES], count)
