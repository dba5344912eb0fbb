"""How many studies, experiments and foci there are, counted once, in stages that add up.

``listed = without_coordinates + outside_mask + used``, and the labels of ``spaces`` add up to ``listed -
without_coordinates``. What is converted, taken as MNI or a duplicate is part of these. Of images, ``listed = left_out +
used``.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from compose_runner.analysis.select.foci import TALAIRACH, parse_space
from compose_runner.analysis.wording import title
from compose_runner.analysis.write.names import clean

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from compose_runner.analysis.audit.inputs import EstimatorFoci, Group, Inputs, Member

# rows in the table of studies: metadata.json is part of what status answers
MOST_ROWS = 5_000
NO_LABEL = "no label"

Account = dict[str, Any]


def account_for(inputs: Inputs) -> dict[str, Account]:
    """Count what each group is made of, before anything is computed."""
    whole = {"studies": len(inputs.studies), "analyses": len(inputs.keys)}
    return {group.name: _account_for_group(inputs, group, whole) for group in inputs.all_groups}


def _account_for_group(inputs: Inputs, group: Group, whole: dict[str, int]) -> Account:
    account: Account = {"studyset": dict(whole)}
    if group.is_reference:
        account["selected"] = {"studies": len(set(group.studyset.study_ids)), "analyses": len(group.studyset.ids)}
    else:
        account["selected"] = {"studies": len(group.studies), "analyses": len(group.members)}
    if inputs.staged is not None:
        files = [
            staged for staged in inputs.staged.maps if (staged.study_id, staged.analysis_id) in _pairs(inputs, group)
        ]
        used = [staged for staged in files if staged.path is not None]
        with_maps = {(staged.study_id, staged.analysis_id) for staged in used}
        studies = {study for study, _ in with_maps}
        account["with_images"] = {"studies": len(studies), "analyses": len(with_maps)}
        account["used"] = {"studies": len(studies), "experiments": len(with_maps), "foci": 0}
        account["used"]["participants"] = participants(inputs, group, {f"{s}-{a}" for s, a in with_maps})
        account["images"] = {"listed": len(files), "left_out": len(files) - len(used), "used": len(used)}
        return account
    foci = group.foci
    if group.is_reference:
        account["foci"] = _reference_foci(group)
        with_foci = len(set(foci.study)), len(set(foci.experiment))
    else:
        known = inputs.account(group.members)
        account["foci"] = {
            "listed": known.listed,
            "without_coordinates": known.without_coordinates,
            "spaces": {label or NO_LABEL: number for label, number in sorted(known.spaces.items())},
            "converted": known.converted,
            "taken_as_mni": known.taken_as_mni,
        }
        usable = [at for at in group.members if inputs.foci.accounts[at].usable]
        with_foci = len({study for study, _ in usable}), len(usable)
    account["with_foci"] = dict(zip(("studies", "analyses"), with_foci, strict=True))
    account["foci"] |= {
        "outside_mask": int((~foci.inside).sum()),
        "duplicates": int(foci.duplicates.sum()),
        "used": int(foci.inside.sum()),
    }
    account["used"] = {**count_used(foci), "participants": participants(inputs, group, set(foci.study[foci.inside]))}
    return account


def _pairs(inputs: Inputs, group: Group) -> set[tuple[str, str]]:
    return {inputs.keys[at] for at in group.members}


def count_used(foci: EstimatorFoci) -> dict[str, int]:
    """Count studies, experiments and foci that lie within the mask."""
    return {
        "studies": len(set(foci.study[foci.inside])),
        "experiments": len(set(foci.experiment[foci.inside])),
        "foci": int(foci.inside.sum()),
    }


def _reference_foci(group: Group) -> Account:
    """Account for the foci of a reference studyset, by its columns: it is too large for a look at each focus."""
    store, rows = group.studyset.store, group.studyset.view.index
    selected = np.isin(np.asarray(store.point_analysis), rows)
    finite = np.isfinite(np.asarray(store.xyz)[selected]).all(axis=1)
    codes = np.asarray(store.point_space)[selected][finite]
    labels = [NO_LABEL if label is None else str(label) for label in store.space_dict.categories]
    spaces = Counter(
        {label: int(n) for label, n in zip(labels, np.bincount(codes, minlength=len(labels)), strict=True) if n}
    )
    converted = sum(n for label, n in spaces.items() if label in ("TAL", "Talairach"))
    known = sum(n for label, n in spaces.items() if parse_space(label) not in (None, TALAIRACH))
    return {
        "listed": int(selected.sum()),
        "without_coordinates": int((~finite).sum()),
        "spaces": dict(sorted(spaces.items())),
        "converted": converted,
        "taken_as_mni": sum(spaces.values()) - converted - known,
    }


def participants(inputs: Inputs, group: Group, used: Collection[str]) -> int | None:
    """Add up the sample sizes of the studies that are used; None when one of them has none.

    The analyses of a study are taken to have the same participants: the largest of them counts. ``used`` are ids of
    studies, or of analyses (``<study>-<analysis>``) for an image-based meta-analysis.
    """
    if group.is_reference:
        return None
    largest: dict[int, float | None] = {}
    for at in group.members:
        study, analysis = inputs.keys[at]
        if study not in used and f"{study}-{analysis}" not in used:
            continue
        sizes = inputs.stated(at).sizes
        known = largest.get(at[0])
        largest[at[0]] = max(sum(sizes), known or 0) if sizes else known
    if not largest or any(size is None for size in largest.values()):
        return None
    return round(sum(size or 0 for size in largest.values()))


def study_rows(inputs: Inputs, used: Mapping[str, Collection[str]]) -> list[dict[str, Any]]:
    """List the studies of the studyset, with what became of each.

    Parameters
    ----------
    inputs : Inputs
        What was audited.
    used : dict
        For each group the ids of its studies that are used.
    """
    members: dict[int, list[Member]] = {}
    group_of: dict[int, list[str]] = {}
    for group in inputs.all_groups:
        for at in group.members:
            members.setdefault(at[0], []).append(at)
            if group.name not in group_of.setdefault(at[0], []):
                group_of[at[0]].append(group.name)
    foci_used: Counter[str] = Counter()
    if inputs.staged is None:
        for group in inputs.all_groups:
            if not group.is_reference:
                ids, _ = group.foci.by_study
                foci_used.update(dict(zip(ids.tolist(), group.foci.per_study(group.foci.inside).tolist(), strict=True)))
    shown_studies = list(enumerate(inputs.studies))
    if len(shown_studies) > MOST_ROWS:
        shown_studies = [(index, study) for index, study in shown_studies if index in group_of][:MOST_ROWS]
    rows = []
    for index, study in shown_studies:
        identity, groups, own = str(study.get("id")), group_of.get(index, []), members.get(index, [])
        shown = own or [(index, a) for a in range(len(study.get("analyses") or []))]
        account = inputs.account(shown)
        is_used = any(identity in used.get(name, ()) for name in groups)
        sizes = [sum(inputs.stated(at).sizes) for at in shown if inputs.stated(at).sizes]
        rows.append(
            {
                "id": identity,
                "title": title(study),
                **{name: clean(study.get(name)) for name in ("authors", "year", "doi", "pmid")},
                "group": groups[0] if groups else None,
                "in": is_used,
                "why": _why(inputs, groups, study, is_used, account.listed, account.usable),
                "contrasts": [clean(study["analyses"][a].get("name")) for _, a in own],
                "foci": account.listed,
                "foci_used": foci_used[identity],
                "space": ", ".join(label or NO_LABEL for label in sorted(account.spaces)),
                "sample_size": round(max(sizes)) if sizes else None,
            }
        )
    return rows


def _why(inputs: Inputs, groups: list[str], study: dict[str, Any], is_used: bool, listed: int, usable: int) -> str:
    """Say why a study is not used, or what else is special about it."""
    if is_used:
        return "in both groups" if len(groups) > 1 else ""
    if not study.get("analyses"):
        return "it has no analyses"
    if not groups:
        return "not selected"
    if inputs.staged is not None:
        return "no map that can be used"
    if not listed:
        return "it has no foci"
    return "none of its foci lies within the brain mask" if usable else "none of its foci has coordinates"
