"""What may mislead in the studies: too few, one that counts twice, one that outweighs the others."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from compose_runner.analysis.audit.codes import finding
from compose_runner.analysis.wording import counted
from compose_runner.analysis.write.names import clean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from compose_runner.analysis.audit.inputs import Group, Inputs
    from compose_runner.findings import Finding

_ALE = (
    17,
    "Simulations of ALE find that below 17 experiments the result can hang on one of them "
    "(Eickhoff et al. 2016, doi:10.1016/j.neuroimage.2016.04.072).",
)
_COORDINATES = (
    17,
    "At least 17 to 20 experiments are recommended for a coordinate-based meta-analysis "
    "(Müller et al. 2018, doi:10.1016/j.neubiorev.2017.11.012).",
)
_IMAGES = (
    5,
    "With fewer than 5 studies the variance between studies can hardly be estimated "
    "(Jackson & Turner 2017, doi:10.1002/jrsm.1240).",
)
# how many experiments each method should have, in each group, and who says so
FLOORS: dict[str, tuple[int, str]] = {
    **dict.fromkeys(("ALE", "SCALE", "ALESubtraction", "BalancedALESubtraction"), _ALE),
    **dict.fromkeys(("MKDADensity", "KDA", "MKDAChi2"), _COORDINATES),
}
# two studies with the same one or two foci are no surprise
_FEWEST_SAME = 3
_MOST_SHARE = 0.5


def find(inputs: Inputs, accounts: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    """Look at the studies of every group."""
    if repeated := inputs.merged.repeated:
        known = {str(study.get("id")) for study in repeated}
        studies = [s for s, study in enumerate(inputs.studies) if str(study.get("id")) in known]
        yield _about("studies-repeated", inputs, studies)
    if (alike := _same_publication(inputs)) is not None:
        yield alike
    chosen = [set(group.studies) for group in inputs.all_groups if not group.is_reference]
    if len(chosen) == 2 and (both := sorted(chosen[0] & chosen[1])):
        yield _about("studies-in-both-groups", inputs, both)
    for group in inputs.all_groups:
        yield from _of_group(inputs, group, accounts[group.name])


def _about(code: str, inputs: Inputs, studies: list[int]) -> Finding:
    return finding(code, inputs.titles(studies), len(studies), n_studies=counted(len(studies), "study"))


def _of_group(inputs: Inputs, group: Group, account: Mapping[str, Any]) -> Iterator[Finding]:
    if group.is_reference:
        return
    if not inputs.specification.image_based:
        usable = {s for s, a in group.members if inputs.foci.accounts[s, a].usable}
        if empty := [s for s in group.studies if s not in usable]:
            n_studies = f"{counted(len(empty), 'study')} of the {group}"
            yield finding("studies-without-foci", inputs.titles(empty), len(empty), n_studies=n_studies)
        yield from _same_foci(inputs, group)
        yield from _dominant(inputs, group)
    experiments = account["used"]["experiments" if not inputs.specification.image_based else "studies"]
    floor, advice = FLOORS.get(inputs.specification.estimator.name, _IMAGES)
    if 0 < experiments < floor:
        if experiments < 2:
            advice = f"A single one is no meta-analysis: the result shows that study alone. {advice}"
        noun = "study" if inputs.specification.image_based else "experiment"
        yield finding(
            "studies-too-few",
            (),
            experiments,
            group=group,
            experiments=counted(experiments, noun),
            what="maps" if inputs.specification.image_based else "foci",
            advice=advice,
        )


def _same_publication(inputs: Inputs) -> Finding | None:
    seen: dict[str, list[int]] = {}
    for s in dict.fromkeys(study for study, _ in inputs.selected):
        study = inputs.studies[s]
        doi = re.search(r"10\.\d{4,9}/\S+", clean(study.get("doi")))
        pmid = re.fullmatch(r"0*([1-9]\d{0,8})(\.0)?", clean(study.get("pmid")))
        for key in (doi and doi[0].casefold().rstrip(".,;/"), pmid and pmid[1]):
            if key:
                seen.setdefault(key, []).append(s)
    alike = sorted({s for studies in seen.values() if len(studies) > 1 for s in studies})
    return _about("studies-same-publication", inputs, alike) if alike else None


def _same_foci(inputs: Inputs, group: Group) -> Iterator[Finding]:
    foci = group.foci
    studies, members = foci.by_study
    # sorted by study and place, each place of a study once; -0.0 and 0.0 are one place
    once = ~foci.duplicates
    owners, xyz = members[once], foci.xyz[once] + 0.0
    places_by_study = xyz[np.lexsort((*xyz.T, owners))]
    ends = np.cumsum(np.bincount(owners, minlength=len(studies)))
    seen: dict[bytes, list[int]] = {}
    for number, places in enumerate(np.split(places_by_study, ends[:-1])):
        if len(places) >= _FEWEST_SAME:
            seen.setdefault(places.tobytes(), []).append(number)
    alike = sorted({number for numbers in seen.values() if len(numbers) > 1 for number in numbers})
    if alike:
        titles = inputs.titles_of_ids(studies[alike].tolist(), group)
        yield finding("studies-same-foci", titles, len(alike), n_studies=counted(len(alike), "study"))


def _dominant(inputs: Inputs, group: Group) -> Iterator[Finding]:
    foci = group.foci
    studies, _ = foci.by_study
    used = foci.per_study(foci.inside)
    total = int(used.sum())
    if (used > 0).sum() < 2 or used.max() <= _MOST_SHARE * total:
        return
    largest = int(used.argmax())
    yield finding(
        "studies-one-dominates",
        inputs.titles_of_ids([studies[largest]], group),
        int(used[largest]),
        share=f"{int(used[largest]):,}",
        foci=counted(total, "focus"),
        group=group,
    )
