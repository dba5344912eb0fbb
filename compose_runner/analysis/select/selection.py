"""The one or two groups of studies that a specification selects, as NiMARE takes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compose_runner.analysis.select.groups import choose_analyses
from compose_runner.analysis.wording import counted
from compose_runner.errors import SelectionError, SpecificationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nimare.nimads import Studyset

    from compose_runner.analysis.select.annotations import AnalysisKey
    from compose_runner.specification.parsing import Specification

    Reference = Callable[[str, set[str]], Studyset]


@dataclass(frozen=True, slots=True)
class Groups:
    """The groups of studies.

    Parameters
    ----------
    first : nimare.nimads.Studyset
        The studyset that is analysed.
    second : nimare.nimads.Studyset or None
        What it is compared with, if it is.
    selected : tuple of frozenset
        Ids of study and analysis that each group was made of; none for a reference studyset.
    """

    first: Studyset
    second: Studyset | None = None
    selected: tuple[frozenset[AnalysisKey], ...] = ()


def select(
    studyset: Studyset,
    annotation: Mapping[str, Any] | None,
    specification: Specification,
    *,
    reference: Reference | None = None,
) -> Groups:
    """Select the groups.

    For a coordinate-based meta-analysis the analyses of each study are combined into one experiment per study; for
    an image-based one every analysis keeps its own maps. Nothing that is given is changed.

    Parameters
    ----------
    studyset : nimare.nimads.Studyset
        The meta-analysis's own studyset.
    annotation : mapping or None
        Its annotation, as NeuroStore serves it.
    specification : Specification
        What selects.
    reference : callable, optional
        Takes the name of a reference studyset and the ids of the studies to leave out, and gives the studyset. It is
        called last, since a reference studyset is large.

    Raises
    ------
    SelectionError
        The column does not exist, a condition is impossible, or a group is empty.
    SpecificationError
        A reference studyset is wanted where there is none.
    """
    store, rows = studyset.store, studyset.view.index
    analyses = [(str(store.study_key[store.study_idx[row]]), str(store.analysis_key[row])) for row in rows]
    chosen = choose_analyses(analyses, annotation, specification)
    first = _group(studyset, chosen.first, specification)
    selected = tuple(
        frozenset(analyses[index] for index in indices)
        for indices in (chosen.first, chosen.second)
        if indices is not None
    )
    if chosen.second is not None:
        return Groups(first, _group(studyset, chosen.second, specification), selected)
    if specification.database_studyset is None:
        return Groups(first, selected=selected)
    if reference is None:
        raise SpecificationError(
            f"The reference studyset {specification.database_studyset!r} is wanted, but none can be had here."
        )
    second = reference(specification.database_studyset, {study for study, _ in analyses})
    if not len(second.ids):
        raise SelectionError(
            f"The reference studyset {specification.database_studyset!r} has no study that is not in the "
            "meta-analysis's own studyset, so the second group is empty."
        )
    return Groups(first, _one_experiment_per_study(second), selected)


def _group(studyset: Studyset, indices: Sequence[int], specification: Specification) -> Studyset:
    """Make a group of the analyses at some indices of the studyset."""
    selected = set(indices)
    group = studyset.select_analyses([index in selected for index in range(len(studyset.ids))])
    if specification.image_based:
        return group
    if not len(group.coordinates):
        raise SelectionError(
            f"There is nothing to compute from: {counted(len(indices), 'selected analysis')} "
            f"{'has' if len(indices) == 1 else 'have'} no foci with coordinates, and a coordinate-based meta-analysis "
            "needs some."
        )
    return _one_experiment_per_study(group)


def _one_experiment_per_study(studyset: Studyset) -> Studyset:
    """Combine the analyses of each study, unless no study has several (as in the large reference studysets)."""
    if len(studyset.ids) == len(set(studyset.study_ids)):
        return studyset
    return studyset.combine_analyses()
