"""Which experiments an estimator used, and what their studies are called."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from compose_runner.analysis.write.names import experiment_names, study_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nimare.results import MetaResult


@dataclass(frozen=True)
class UsedExperiments:
    """One group of experiments, as the estimator has it.

    Parameters
    ----------
    studyset : nimare.nimads.Studyset
        What the estimator was given.
    used : tuple of str
        Ids of the experiments that it used.
    coordinates : pandas.DataFrame or None
        The foci that it used.
    """

    studyset: Any
    used: tuple[str, ...]
    coordinates: Any

    @cached_property
    def studies(self) -> dict[str, str]:
        """The study of each experiment, by their ids."""
        store, rows = self.studyset.store, self.studyset.view.index
        # NiMARE's study_ids name each study once, however many experiments it has
        studies = (store.study_key[store.study_idx[row]] for row in rows)
        return {str(experiment): str(study) for experiment, study in zip(self.studyset.ids, studies, strict=True)}


def find_groups(result: MetaResult) -> tuple[UsedExperiments, ...]:
    """Find the groups of a fitted result, in order.

    Parameters
    ----------
    result : nimare.results.MetaResult
        With its estimator.
    """
    estimator = result.estimator
    if getattr(estimator, "dataset2", None) is not None:
        endings: tuple[str, ...] = ("1", "2")
    else:
        endings = ("",)
    return tuple(
        UsedExperiments(
            getattr(estimator, f"dataset{ending}"),
            tuple(str(identity) for identity in estimator.inputs_[f"id{ending}"]),
            estimator.inputs_.get(f"coordinates{ending}"),
        )
        for ending in endings
    )


class StudyNames:
    """Names of studies and experiments for readers.

    Parameters
    ----------
    studies : sequence of mapping
        ``metadata["studies"]``: ``id``, ``title``, ``authors``, ``year``.
    groups : sequence of UsedExperiments
        Where experiments are.
    """

    def __init__(self, studies: Sequence[Mapping[str, Any]], groups: Sequence[UsedExperiments]) -> None:
        self._study_of = {experiment: study for group in groups for experiment, study in group.studies.items()}
        known = {str(study.get("id", "")): study for study in studies}
        per_study = Counter(self._study_of.values())
        contrasts = _contrasts(groups) if max(per_study.values(), default=0) > 1 else {}
        analyses: dict[str, list[dict[str, str]]] = {}
        for experiment, study in self._study_of.items():
            analyses.setdefault(study, []).append({"id": experiment, "name": contrasts.get(experiment, "")})
        documents = [
            {
                "id": identity,
                "name": study.get("title"),
                "authors": study.get("authors"),
                "year": study.get("year"),
                "analyses": analyses.get(identity, []),
            }
            for identity, study in known.items()
        ]
        self._studies = study_names(documents)
        self._experiments = {experiment: name for (_, experiment), name in experiment_names(documents).items()}

    def study(self, identity: str) -> str:
        """Name a study; one that nothing is known of by its id."""
        return self._studies.get(identity, identity)

    def experiment(self, identity: str) -> str:
        """Name an experiment; one that nothing is known of by its id."""
        return self._experiments.get(identity, identity)

    def study_of(self, experiment: str) -> str:
        """Id of an experiment's study."""
        return self._study_of.get(experiment, "")


def _contrasts(groups: Sequence[UsedExperiments]) -> dict[str, str]:
    names: dict[str, str] = {}
    for group in groups:
        about = group.studyset.metadata
        if "analysis_name" in about.columns:
            names.update(zip(about["id"].astype(str), about["analysis_name"].astype(str), strict=True))
    return names
