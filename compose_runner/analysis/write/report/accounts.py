"""What went in: numbers of the record of a run, in a reader's words, none of them counted here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from compose_runner.analysis.write.names import clean, links
from compose_runner.analysis.write.report.words import number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from compose_runner.analysis.write.names import Link
    from compose_runner.analysis.write.report.study_names import StudyNames, UsedExperiments

MOST_PLACES = 6000
"""How many foci the page lists; with more, it is slow to open."""
MOST_STUDIES = 3000
"""How many studies it lists."""


@dataclass(frozen=True)
class Account:
    """How many studies of a group were left at each step, and what became of its foci or images.

    Parameters
    ----------
    title : str
        The group; empty where there is but one.
    steps : list of (str, str, str)
        What is counted, studies, and analyses.
    details : list of (str, str)
        What is counted, and how many.
    """

    title: str
    steps: list[tuple[str, str, str]] = field(default_factory=list)
    details: list[tuple[str, str]] = field(default_factory=list)


def accounts(metadata: Mapping[str, Any], names: tuple[str, str]) -> list[Account]:
    """Read ``metadata["accounting"]``.

    Parameters
    ----------
    metadata : mapping
        The record of the run.
    names : tuple of (str, str)
        What the groups are called.
    """
    groups = [group for group in (metadata.get("accounting") or {}).values() if group]
    return [
        Account(_title(place, len(groups), names), _steps(group), [*_foci(group), *_images(group)])
        for place, group in enumerate(groups)
    ]


def _title(place: int, n_groups: int, names: tuple[str, str]) -> str:
    if n_groups < 2:
        return ""
    return names[place] or f"group {place + 1}"


def _steps(group: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    rows = []
    for key, words in (
        ("studyset", "In the studyset"),
        ("selected", "Selected by the annotation"),
        ("with_foci", "With coordinates"),
        ("with_images", "With images"),
        ("used", "Used"),
    ):
        step = group.get(key)
        if step:
            analyses = step.get("analyses", step.get("experiments"))
            rows.append((words, _n(step.get("studies")), _n(analyses)))
    return rows


def _foci(group: Mapping[str, Any]) -> list[tuple[str, str]]:
    foci = group.get("foci") or {}
    rows = [
        (words, _n(foci.get(key)))
        for key, words in (
            ("listed", "Foci listed"),
            ("without_coordinates", "without coordinates"),
            ("duplicates", "listed twice"),
            ("converted", "converted to MNI"),
            ("taken_as_mni", "taken as MNI, with no space given"),
            ("outside_mask", "outside the mask"),
            ("used", "Foci used"),
        )
        if foci.get(key) or (key in ("listed", "used") and key in foci)
    ]
    spaces = foci.get("spaces") or {}
    if spaces:
        rows.insert(
            1, ("in the spaces", ", ".join(f"{clean(label) or 'none given'} {n:,}" for label, n in spaces.items()))
        )
    return rows


def _images(group: Mapping[str, Any]) -> list[tuple[str, str]]:
    images = group.get("images") or {}
    return [
        (f"Images {clean(key).replace('_', ' ')}", _n(value) if isinstance(value, int) else clean(value))
        for key, value in images.items()
        if isinstance(value, int | str)
    ]


def _n(value: Any) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def facts(metadata: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What a reader wants to know first of the inputs.

    Parameters
    ----------
    metadata : mapping
        The record of the run.

    Returns
    -------
    list of (str, str, str)
        Name, value, and what to know about it.
    """
    groups = [group for group in (metadata.get("accounting") or {}).values() if group]
    if not groups:
        counts = list((metadata.get("counts") or {}).values())
        return [
            (word.capitalize(), " + ".join(_n(one.get(word, 0)) for one in counts), "")
            for word in ("studies", "foci")
            if any(one.get(word) for one in counts)
        ]
    found = []
    for title, key in (("Studies", "studies"), ("Experiments", "experiments"), ("Participants", "participants")):
        values = [(group.get("used") or {}).get(key) for group in groups]
        if any(value is None for value in values):
            continue
        if key == "experiments" and values == [(group.get("used") or {}).get("studies") for group in groups]:
            continue  # one of each study
        note = ""
        if key == "studies":
            selected = [(group.get("selected") or {}).get("studies") for group in groups]
            if selected != values and None not in selected:
                note = f"used of {' + '.join(map(_n, selected))} selected"
        found.append((title, " + ".join(map(_n, values)), note))
    foci = [(group.get("foci") or {}).get("used", (group.get("used") or {}).get("foci")) for group in groups]
    if all(value is not None for value in foci) and any(foci):
        outside = sum((group.get("foci") or {}).get("outside_mask") or 0 for group in groups)
        found.insert(1, ("Foci", " + ".join(map(_n, foci)), f"{outside:,} outside the mask" if outside else ""))
    return found


def n_used(metadata: Mapping[str, Any]) -> list[int | None]:
    """How many studies of each group were used, where the record has it.

    Parameters
    ----------
    metadata : mapping
        The record of the run.
    """
    return [(group.get("used") or {}).get("studies") for group in (metadata.get("accounting") or {}).values() if group]


@dataclass(frozen=True)
class StudyRow:
    """A row of the table of studies; all texts are plain.

    Parameters
    ----------
    name, title, authors, year, space, group, why : str
        As they are shown.
    links : list of Link
        Where it can be read.
    sample_size, foci, foci_used : int or None
        As counted.
    contrasts : list of str
        Names.
    included : bool
        Whether it was used.
    places : list of (str, str)
        Its foci: for the viewer, and in words.
    """

    name: str
    title: str
    authors: str
    year: str
    links: list[Link]
    sample_size: int | None
    contrasts: list[str]
    foci: int | None
    foci_used: int | None
    space: str
    group: str
    included: bool
    why: str
    places: list[tuple[str, str]]


def study_rows(
    metadata: Mapping[str, Any],
    names: StudyNames,
    groups: Sequence[UsedExperiments],
    group_names: tuple[str, str],
    neurostore: str,
) -> list[StudyRow]:
    """Read ``metadata["studies"]``.

    Parameters
    ----------
    metadata : mapping
        The record of the run.
    names : StudyNames
        What studies are called.
    groups : sequence of UsedExperiments
        Where foci are.
    group_names : tuple of (str, str)
        What the groups are called.
    neurostore : str
        Address of NeuroStore.
    """
    known = (metadata.get("studies") or [])[:MOST_STUDIES]
    places = _places(groups)
    called = {"first": group_names[0] or "first", "second": group_names[1] or "second"}
    several = any(study.get("group") == "second" for study in known)
    rows = []
    for study in known:
        identity = str(study.get("id", ""))
        included = bool(study.get("in"))
        rows.append(
            StudyRow(
                name=names.study(identity),
                title=clean(study.get("title")),
                authors=clean(study.get("authors")),
                year=clean(study.get("year")),
                links=links(study, neurostore),
                sample_size=study.get("sample_size"),
                contrasts=[clean(one) for one in study.get("contrasts") or []],
                foci=study.get("foci"),
                foci_used=study.get("foci_used"),
                space=clean(study.get("space")),
                group=called.get(study.get("group") or "", "") if several else "",
                included=included,
                why=clean(study.get("why")),
                places=places.get((study.get("group") or "first", identity), []) if included else [],
            )
        )
    return rows


def _places(groups: Sequence[UsedExperiments]) -> dict[tuple[str, str], list[tuple[str, str]]]:
    frames = [group.coordinates for group in groups]
    if sum(len(frame) for frame in frames if frame is not None) > MOST_PLACES:
        return {}
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for group, frame in zip(("first", "second"), frames, strict=False):
        if frame is None:
            continue
        for study, *xyz in zip(frame["study_id"].astype(str), frame["x"], frame["y"], frame["z"], strict=True):
            place = " ".join(f"{float(one):g}" for one in xyz)
            found.setdefault((group, study), []).append((place, ", ".join(number(float(one), 0) for one in xyz)))
    return found
