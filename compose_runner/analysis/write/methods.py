r"""The methods text of a result, ready for a paper: what was computed, from what, and with what.

The text is LaTeX with ``\citep{key}``, and every key stands in the BibTeX that comes with it
(:func:`compose_runner.analysis.write.references.methods` renders both). Its sentences are made of the parsed
specification and of numbers of the run's record; nothing that a document's author wrote enters it. What a text should
report: Müller et al. (2018, doi 10.1016/j.neubiorev.2017.11.012), and the COBIDAS report (Nichols et al. 2017, doi
10.1038/nn.4500).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from compose_runner.analysis.write.methods_correction import describe_correction
from compose_runner.analysis.write.methods_statistics import ESTIMATORS, describe_statistics
from compose_runner.specification.consequences import draws_randomly

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from compose_runner.specification.parsing import Specification

_CITED = re.compile(r"\\cite\w*\*?(?:\[[^\]]*\]){0,2}\{([^{}]*)\}")
_ENTRY = re.compile(r"^@\w+\{([^,\s]+),.*?^\}$", re.DOTALL | re.MULTILINE)
_VOXEL_MM3 = 8  # of the template, whose voxels have 2 mm

# reference studysets that Compose offers; any other name is a document's text
_REFERENCES: Mapping[str, str] = {
    "neurosynth": r"the Neurosynth database \citep{yarkoni2011large}",
    "neuroquery": r"the NeuroQuery database \citep{dockes2020neuroquery}",
    "neurostore": "the NeuroStore database",
    "neurostore_small": "a part of the NeuroStore database",
}
_GROUPS: Mapping[str, str] = {"first": "The first group", "second": "The second group"}
_IMAGES: Mapping[str, str] = {
    "Fishers": "z maps",
    "Stouffers": "z maps",
    "WeightedLeastSquares": "maps of contrast estimates",
    "DerSimonianLaird": "maps of contrast estimates and of their variance",
    "Hedges": "maps of contrast estimates and of their variance",
    "SampleSizeBasedLikelihood": "maps of contrast estimates",
    "VarianceBasedLikelihood": "maps of contrast estimates and of their variance",
    "PermutedOLS": "maps of contrast estimates",
    "FixedEffectsHedges": "t maps",
}


@dataclass(frozen=True, slots=True)
class Methods:
    r"""A methods text with its references.

    Parameters
    ----------
    text : str
        LaTeX with ``\citep{key}``.
    bibtex : str
        An entry for each key that is cited.
    """

    text: str
    bibtex: str


def methods_text(specification: Specification, metadata: Mapping[str, Any]) -> Methods:
    """Write the methods text of a result.

    Parameters
    ----------
    specification : Specification
        What was asked for.
    metadata : mapping
        The record of the run: ``accounting`` (or ``counts``), ``diagnostics``, ``seed``, ``versions``.
    """
    groups = list(_read_groups(metadata))
    several = specification.image_based and any(
        group.experiments > group.studies for _, group in groups if group.studies
    )
    sentences = [
        _describe_estimator(specification, metadata),
        *_describe_groups(specification, groups),
        *_describe_space(specification, [group for _, group in groups]),
        *describe_statistics(specification, several_images=several),
        *describe_correction(specification),
        *_describe_clusters(specification, metadata),
        *_describe_seed(specification, metadata),
        _describe_software(metadata),
    ]
    text = " ".join(sentences)
    return Methods(text, bibtex_for(text))


def bibtex_for(text: str) -> str:
    r"""Collect the entries of what a text cites.

    Parameters
    ----------
    text : str
        LaTeX with ``\citep{key}``.

    Raises
    ------
    KeyError
        A key has no entry.
    """
    keys = {key.strip() for found in _CITED.findall(text) for key in found.split(",")}
    return "\n".join(f"{_entries()[key]}\n" for key in sorted(keys, key=str.casefold))


@cache
def _entries() -> dict[str, str]:
    source = (files("compose_runner.analysis.write") / "methods.bib").read_text(encoding="utf-8")
    return {match[1]: match[0] for match in _ENTRY.finditer(source)}


@dataclass(frozen=True, slots=True)
class _Group:
    """The numbers of one group; None where the record does not have them."""

    selected: int | None
    studies: int
    experiments: int
    foci: int
    participants: int | None
    converted: int | None
    taken_as_mni: int | None
    outside: int | None
    without_coordinates: int | None


def _read_groups(metadata: Mapping[str, Any]) -> Iterator[tuple[str, _Group]]:
    """Read the groups' numbers: of what was used, or else of what was selected."""
    accounting = metadata.get("accounting") or {}
    for name, counts in (metadata.get("counts") or accounting).items():
        if name not in _GROUPS:
            continue
        account = accounting.get(name) or {}
        used, foci = account.get("used") or {}, account.get("foci") or {}
        yield (
            name,
            _Group(
                selected=(account.get("selected") or {}).get("studies"),
                studies=int(used.get("studies", counts.get("studies", 0))),
                experiments=int(used.get("experiments", counts.get("analyses", 0))),
                foci=int(used.get("foci", counts.get("foci", 0)) or 0),
                participants=used.get("participants"),
                converted=foci.get("converted"),
                taken_as_mni=foci.get("taken_as_mni"),
                outside=foci.get("outside_mask"),
                without_coordinates=foci.get("without_coordinates"),
            ),
        )


def _describe_estimator(specification: Specification, metadata: Mapping[str, Any]) -> str:
    versions = metadata.get("versions") or {}
    nimare = f" {versions['nimare']}" if "nimare" in versions else ""
    return (
        f"{ESTIMATORS[specification.estimator.name]} was performed with NiMARE{nimare} "
        r"(RRID:SCR\_017398; \citealt{Salo2023})."
    )


def _describe_groups(specification: Specification, groups: list[tuple[str, _Group]]) -> Iterator[str]:
    images = _IMAGES.get(specification.estimator.name, "images")
    for name, group in groups:
        who = _GROUPS[name] if specification.groups == 2 else "The analysis"
        people = "" if group.participants is None else f" with {_count(group.participants, 'participant')}"
        if specification.image_based:
            what = (
                f"{images} of {_count(group.experiments, 'contrast')} from {_count(group.studies, 'study', 'studies')}"
            )
            yield f"{who} included {what}{people}."
        else:
            experiments = f"{_count(group.experiments, 'experiment')} from {_count(group.studies, 'study', 'studies')}"
            yield f"{who} included {_count(group.foci, 'focus', 'foci')} of {experiments}{people}."
        if group.selected is not None and group.selected > group.studies:
            without = group.selected - group.studies
            lacking = "image that could be used" if specification.image_based else "focus within the brain mask"
            studies = _count(without, "further study", "further studies")
            yield f"{studies} {_were(without)} selected, but had no {lacking}."
    if not specification.image_based:
        yield (
            "Contrasts of the same study were combined into one experiment, so that no study counts twice "
            r"\citep{turkeltaub2012minimizing}."
        )
    if specification.groups == 2:
        if specification.database_studyset:
            source = _REFERENCES.get(specification.database_studyset.strip().casefold(), "a reference database")
            yield f"The second group were the studies of {source} that are not in the studyset of the first group."
        yield "The groups were compared as the first minus the second."


def _describe_space(specification: Specification, groups: list[_Group]) -> Iterator[str]:
    if specification.image_based:
        yield (
            r"Images were resampled to the MNI152 template (MNI152NLin6Asym, 2 mm; \citealt{evans2012brain}) with "
            r"nilearn \citep{10.3389/fninf.2014.00014}, and voxels within its brain mask were analysed"
            + (
                " where every image has a value."
                if specification.estimator.args.get("aggressive_mask")
                else ", each with the images that have a value there."
            )
        )
        return
    yield (
        "The analysis was computed within the brain mask of the MNI152 template with voxels of 2 mm (MNI152NLin6Asym; "
        r"\citealt{evans2012brain})."
    )
    converted = _total(group.converted for group in groups)
    if converted is None:
        yield r"Foci that are labelled as Talairach coordinates were converted to MNI space \citep{lancaster2007bias}."
    elif converted:
        yield (
            f"Of all foci, {converted:,} {_were(converted)} converted from Talairach to MNI space with the transform "
            r"of \citet{lancaster2007bias}."
        )
    taken = _total(group.taken_as_mni for group in groups)
    if taken:
        yield f"{_count(taken, 'focus', 'foci')} of an unknown space {_were(taken)} taken as MNI coordinates."
    outside = _total(group.outside for group in groups)
    if outside:
        # NiMARE is given them too: kernels reach into the mask
        foci, them = _count(outside, "further focus", "further foci"), "it" if outside == 1 else "them"
        yield (
            f"{foci} outside the mask {_were(outside)} not counted, and entered the analysis only as far as the kernel "
            f"around {them} reaches into the mask."
        )
    without = _total(group.without_coordinates for group in groups)
    if without:
        yield f"{_count(without, 'focus', 'foci')} without coordinates {_were(without)} left out."


def _describe_clusters(specification: Specification, metadata: Mapping[str, Any]) -> Iterator[str]:
    """Say by what rule clusters are listed, as the record of the diagnostics has it."""
    rules: dict[str, None] = {}
    for described in metadata.get("diagnostics") or []:
        extent = described.get("cluster_threshold")
        size = (
            f"at least {_count(int(extent), 'voxel')} ({int(extent) * _VOXEL_MM3:,} cubic millimetres)"
            if extent
            else "any size"
        )
        rules[f"Clusters of {size} are reported where {_describe_rule(specification, described)}."] = None
    yield from rules
    kinds = {described.get("type") for described in metadata.get("diagnostics") or []}
    if "FocusCounter" in kinds:
        yield "The contribution of an experiment to a cluster is the number of its foci in it."
    if "Jackknife" in kinds:
        yield (
            "The contribution of an experiment to a cluster is the share of the cluster's statistic that is lost when "
            "the analysis is repeated without it."
        )


def _describe_rule(specification: Specification, described: Mapping[str, Any]) -> str:
    level = _level(str(described.get("target_image") or ""))
    threshold, alpha = described.get("target_threshold"), described.get("alpha")
    two_tailed = str(described.get("tails")) in ("2", "two")
    sign = "|z|" if two_tailed else "z"
    if alpha is None:
        return f"$z > {threshold:g}$ in the {level}map" if threshold is not None else f"the {level}map is not zero"
    kind = "corrected" if described.get("corrected") else "uncorrected"
    letter = "q" if specification.corrector is not None and specification.corrector.name == "FDRCorrector" else "p"
    tails = "two-tailed" if two_tailed else "one-tailed"
    above = f"; ${sign} > {threshold:.3g}$" if isinstance(threshold, int | float) else ""
    return f"the {level}{kind} ${letter} < {alpha:g}$ ({tails}{above})"


def _level(target: str) -> str:
    if "level-cluster" in target:
        return "cluster-mass " if "mass" in target.casefold() else "cluster-size "
    return "voxel-level " if "level-voxel" in target else ""


def _describe_seed(specification: Specification, metadata: Mapping[str, Any]) -> Iterator[str]:
    seed = metadata.get("seed")
    if isinstance(seed, int) and draws_randomly(specification.estimator, specification.corrector):
        yield f"The seed of all random draws was {seed}."


def _describe_software(metadata: Mapping[str, Any]) -> str:
    versions = metadata.get("versions") or {}
    others = [
        f"{name} {versions[key]}"
        for key, name in (("python", "Python"), ("numpy", "NumPy"), ("scipy", "SciPy"), ("nilearn", "nilearn"))
        if key in versions
    ]
    runner = versions.get("compose-runner") or metadata.get("compose_runner_version") or ""
    return (
        rf"The analysis was run by compose-runner {runner}".rstrip()
        + r" \citep{composerunner} for Neurosynth Compose \citep{Kent2026}"
        + (f", with {', '.join(others)}" if others else "")
        + "."
    )


def _count(number: int, one: str, several: str = "") -> str:
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def _total(numbers: Iterator[int | None]) -> int | None:
    """Add up what is known; None if nothing is."""
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None
