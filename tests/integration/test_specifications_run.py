"""Every estimator and corrector that a specification can name runs on the real NiMARE, from document to maps."""

from __future__ import annotations

import gc
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np
import pytest
from nimare.correct import FDRCorrector, FWECorrector
from nimare.meta.cbma import SCALE, BalancedALESubtraction, MKDADensity
from nimare.meta.kernel import ALEKernel, MKDAKernel
from nimare.nimads import Studyset

from compose_runner.analysis.compute.estimators import build, usable_cores
from compose_runner.analysis.select.sample_sizes import with_sample_sizes
from compose_runner.analysis.select.selection import Groups, select
from compose_runner.analysis.write.headings import map_heading
from compose_runner.errors import SelectionError, SpecificationError
from compose_runner.specification.estimators import correction_methods
from compose_runner.specification.parsing import parse_specification
from compose_runner.specification.signatures import signatures
from tests.support import synthetic

if TYPE_CHECKING:
    from nimare.results import MetaResult

gc.freeze()  # nilearn collects garbage at every load, which is slow with NiMARE's modules around

Document = dict[str, Any]

# what Compose's form stores for each of its estimators
FORM_ARGS: dict[str, Document] = {
    "MKDADensity": {"null_method": "approximate", "n_iters": 5000, "kernel__r": 10, "kernel__value": 1},
    "KDA": {"null_method": "approximate", "n_iters": 5000, "kernel__r": 10, "kernel__value": 1},
    "ALE": {"null_method": "approximate", "n_iters": 5000, "kernel__fwhm": 8, "kernel__sample_size": None},
    "MKDAChi2": {"prior": 0.5, "kernel__r": 10, "kernel__value": 1},
    "ALESubtraction": {"n_iters": 4, "kernel__fwhm": 8, "kernel__sample_size": None},
}
# the others, with little to compute; texts as the form keeps them under **kwargs
OTHER_ARGS: dict[str, Document] = {
    "SCALE": {"xyz": synthetic.foci(50), "n_iters": 4},
    "BalancedALESubtraction": {
        "**kwargs": {"n_iters": "2", "n_subsamples": "2", "difference_iterations": "2", "target_n": "4"}
    },
}
FORM_MONTE_CARLO: dict[str, Document] = {
    "MKDADensity": {"voxel_thresh": 0.001, "vfwe_only": False},
    "KDA": {"voxel_thresh": 0.001, "vfwe_only": False},
    "ALE": {"voxel_thresh": 0.001, "vfwe_only": False},
    "MKDAChi2": {"voxel_thresh": 0.001},
}
EVERY_CORRECTION = [
    pytest.param(name, corrector, method, id=f"{name}-{corrector}-{method}")
    for name, signature in signatures().estimators.items()
    for corrector in signatures().correctors
    for method in correction_methods(corrector, signature)
    if method != "predictive"
]


class Experiment:
    """A synthetic meta-analysis: documents, and what NiMARE makes of a specification with them."""

    def __init__(self, studyset: Document, **nimare: Any) -> None:
        # every study has a true and a false analysis, so that two groups are two contrasts of the same studies
        self.annotation = synthetic.annotated(studyset, lambda _study, analysis: analysis == 0)
        document = with_sample_sizes(studyset, self.annotation).studyset
        self.studyset = Studyset(document, annotations=[self.annotation], **{"target": "mni152_2mm", **nimare})

    def groups(self, document: Document) -> Groups:
        return select(self.studyset, self.annotation, parse_specification(document))

    def run(self, document: Document, seed: int = 7) -> MetaResult:
        groups = self.groups(document)
        estimator, corrector = build(parse_specification(document), n_cores=1, seed=seed)
        result = estimator.fit(*(group for group in (groups.first, groups.second) if group is not None))
        return result if corrector is None else corrector.transform(result)


@pytest.fixture(scope="module")
def coordinates() -> Experiment:
    return Experiment(synthetic.random_studyset(6, foci_per_analysis=3))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    folder = tmp_path_factory.mktemp("maps")
    document = synthetic.with_maps(synthetic.random_studyset(5, analyses_per_study=1), folder / "maps")
    # a few voxels only: an IBMA fits a model in each of them
    affine = np.diag([16.0, 16.0, 16.0, 1.0])
    affine[:3, 3] = (-40.0, -60.0, -20.0)
    mask = folder / "mask.nii.gz"
    nibabel.Nifti1Image(np.ones((5, 5, 5), dtype=np.int8), affine).to_filename(mask)
    return Experiment(document, mask=str(mask))


def document_for(name: str, corrector: str | None = None, corrector_args: Document | None = None) -> Document:
    signature = signatures().estimators[name]
    make = synthetic.two_groups if signature.groups == 2 else synthetic.specification
    args = {**FORM_ARGS, **OTHER_ARGS}.get(name, {})
    return make(name, args, kind=signature.kind, corrector=corrector, corrector_args=corrector_args)


@pytest.mark.parametrize(("name", "corrector", "method"), EVERY_CORRECTION)
def test_every_estimator_runs_with_every_correction_that_is_offered_for_it(
    request: pytest.FixtureRequest, name: str, corrector: str, method: str
) -> None:
    experiment = request.getfixturevalue("images" if signatures().estimators[name].kind == "IBMA" else "coordinates")
    args: Document = {"method": method}
    if method == "montecarlo":
        args |= {"n_iters": "4", **FORM_MONTE_CARLO.get(name, {})}

    result = experiment.run(document_for(name, corrector, args))

    corrected = [values for key, values in result.maps.items() if f"_method-{method}" in key and values is not None]
    assert corrected
    assert all(np.isfinite(values).any() for values in corrected)
    assert [key for key in result.maps if not map_heading(key).known] == []


@pytest.mark.parametrize("name", sorted(signatures().estimators))
def test_every_estimator_runs_without_a_corrector(request: pytest.FixtureRequest, name: str) -> None:
    experiment = request.getfixturevalue("images" if signatures().estimators[name].kind == "IBMA" else "coordinates")

    result = experiment.run(document_for(name))

    assert np.isfinite(next(values for key, values in result.maps.items() if key.startswith("z"))).any()
    assert result.corrector is None


@pytest.mark.skipif(find_spec("xgboost") is None, reason="NiMARE's optional package xgboost is not installed")
def test_predictive_correction_runs_for_ale(coordinates: Experiment) -> None:
    result = coordinates.run(
        synthetic.specification("ALE", corrector="FWECorrector", corrector_args={"method": "predictive"})
    )

    assert np.isfinite(result.maps["z_level-voxel_corr-FWE_method-predictive"]).all()


@pytest.mark.skipif(find_spec("xgboost") is not None, reason="NiMARE's optional package xgboost is installed")
def test_predictive_correction_without_its_package_is_refused_before_computing() -> None:
    document = synthetic.specification("ALE", corrector="FWECorrector", corrector_args={"method": "predictive"})

    with pytest.raises(SpecificationError, match="xgboost"):
        build(parse_specification(document))


def test_ale_takes_each_studys_own_sample_size_when_no_kernel_size_is_given(coordinates: Experiment) -> None:
    estimator = coordinates.run(
        synthetic.specification("ALE", {"kernel__fwhm": None, "kernel__sample_size": None})
    ).estimator

    assert sorted(set(estimator.inputs_["coordinates"]["sample_size"])) == [12, 13, 14, 15, 16, 17]


@pytest.mark.parametrize(
    ("estimator", "corrector"),
    [
        (SCALE(np.array(synthetic.foci(50)), n_iters=4), FDRCorrector()),
        (SCALE(np.array(synthetic.foci(50)), n_iters=4), FWECorrector()),
        (
            BalancedALESubtraction(n_iters=2, n_subsamples=2, difference_iterations=2),
            FWECorrector("montecarlo", n_iters=2),
        ),
    ],
    ids=["SCALE-FDR", "SCALE-bonferroni", "BalancedALESubtraction-montecarlo"],
)
def test_what_is_not_offered_fails_in_nimare_itself(coordinates: Experiment, estimator: Any, corrector: Any) -> None:
    groups = coordinates.groups(synthetic.two_groups())
    pairwise = isinstance(estimator, BalancedALESubtraction)
    result = estimator.fit(groups.first, groups.second) if pairwise else estimator.fit(groups.first)

    with pytest.raises(ValueError, match="map"):
        corrector.transform(result)


def test_the_seed_of_the_run_makes_monte_carlo_repeatable(coordinates: Experiment) -> None:
    args = {"method": "montecarlo", "n_iters": 3, "vfwe_only": True}
    document = synthetic.specification("ALE", corrector="FWECorrector", corrector_args=args)
    null = "values_level-voxel_corr-fwe_method-montecarlo"

    first, again, other = (coordinates.run(document, seed).estimator.null_distributions_[null] for seed in (1, 1, 2))

    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(("args", "seed"), [({}, 7), ({"random_state": None}, 7), ({"random_state": "3"}, 3)])
def test_a_seed_in_the_specification_goes_before_the_runs_own(args: Document, seed: int) -> None:
    estimator, _ = build(parse_specification(synthetic.specification("ALE", args)), seed=7)

    assert estimator.random_state == seed


def test_a_wish_for_cores_never_exceeds_what_the_run_and_the_machine_have() -> None:
    monte_carlo = {"method": "montecarlo", "**kwargs": {"n_cores": "9999"}}
    document = synthetic.specification(
        "ALE", {"**kwargs": {"n_cores": "9999"}}, corrector="FWECorrector", corrector_args=monte_carlo
    )

    estimator, corrector = build(parse_specification(document))
    assert corrector is not None
    assert estimator.n_cores == corrector.parameters["n_cores"] == usable_cores()

    estimator, corrector = build(parse_specification(document), n_cores=1)
    assert corrector is not None
    assert estimator.n_cores == corrector.parameters["n_cores"] == 1


def test_cores_reach_permuted_ols_under_its_own_name() -> None:
    estimator, _ = build(parse_specification(document_for("PermutedOLS")), n_cores=1)

    assert estimator.n_jobs == 1


def test_arguments_reach_nimare_with_their_types() -> None:
    extra = {"kernel__r": "6.5", "null_method": "MonteCarlo", "n_iters": "10.0", "weighting": "sample_size"}
    estimator, corrector = build(
        parse_specification(
            synthetic.specification(
                "MKDADensity",
                {"n_iters": 5000, "**kwargs": extra},
                corrector="FDRCorrector",
                corrector_args={"**kwargs": {"method": "negcorr", "alpha": "0.01"}},
            )
        )
    )

    assert (estimator.null_method, estimator.n_iters) == ("montecarlo", 10)
    assert estimator.weighting is not None
    assert estimator.kernel_transformer.r == 6.5
    assert corrector is not None
    assert (corrector.method, corrector.alpha) == ("negcorr", 0.01)


def test_another_kernel_can_be_named() -> None:
    args = {"kernel_transformer": "MKDAKernel", "kernel__r": "8"}
    estimator, _ = build(parse_specification(synthetic.specification("ALE", args)))

    assert isinstance(estimator.kernel_transformer, MKDAKernel)
    assert not isinstance(estimator.kernel_transformer, ALEKernel)


class FasterMKDADensity(MKDADensity):  # type: ignore[misc]
    """A subclass as `engine` offers it."""


@pytest.mark.parametrize(
    "offered", [{"MKDADensity": FasterMKDADensity}, lambda name, cls: {"MKDADensity": FasterMKDADensity}.get(name, cls)]
)
def test_offered_subclasses_replace_nimares_estimators(offered: Any) -> None:
    density, _ = build(parse_specification(synthetic.specification("MKDADensity")), estimator_class=offered)
    ale, _ = build(parse_specification(synthetic.specification("ALE")), estimator_class=offered)

    assert type(density) is FasterMKDADensity
    assert type(ale).__module__.startswith("nimare.")


@pytest.mark.parametrize(
    ("estimator", "args", "kind"),
    [
        ("SCALE", {"xyz": [[1, 2], [3, 4]]}, "CBMA"),
        ("SCALE", {"xyz": [[1, 2, 3], [4]]}, "CBMA"),
        ("Stouffers", {"mask": "/nowhere/mask.nii.gz"}, "IBMA"),
        ("Hedges", {"rho": 2}, "IBMA"),
        ("ALESubtraction", {"vfwe_only": False, "voxel_thresh": 3}, "CBMA"),
    ],
)
def test_a_value_that_only_nimare_can_refuse_is_an_error_with_its_words(
    estimator: str, args: Document, kind: str
) -> None:
    make = synthetic.two_groups if estimator == "ALESubtraction" else synthetic.specification

    with pytest.raises(SpecificationError, match=estimator):
        build(parse_specification(make(estimator, args, kind=kind)))


def test_analyses_are_combined_per_study_for_coordinates_only(coordinates: Experiment) -> None:
    everything: dict[str, Any] = {"conditions": ("true", "false"), "weights": (1, 1)}

    combined = coordinates.groups(synthetic.specification(**everything))
    separate = coordinates.groups(synthetic.specification("Stouffers", kind="IBMA", **everything))

    assert list(combined.first.ids) == [f"s{i}-s{i}a0_s{i}a1" for i in range(6)]
    assert sorted(separate.first.ids) == sorted(f"s{i}-s{i}a{j}" for i in range(6) for j in range(2))


def test_groups_swap_when_the_conditions_swap(coordinates: Experiment) -> None:
    straight = coordinates.groups(synthetic.two_groups(conditions=("true", "false"), weights=(1, -1)))
    swapped = coordinates.groups(synthetic.two_groups(conditions=("false", "true"), weights=(1, -1)))

    assert straight.second is not None
    assert swapped.second is not None
    assert list(straight.first.ids) == list(swapped.second.ids) == [f"s{i}-s{i}a0" for i in range(6)]
    assert list(swapped.first.ids) == list(straight.second.ids) == [f"s{i}-s{i}a1" for i in range(6)]


def test_selecting_leaves_the_documents_and_the_studyset_unchanged(coordinates: Experiment) -> None:
    before, notes = list(coordinates.studyset.ids), str(coordinates.annotation)

    coordinates.groups(synthetic.two_groups())

    assert list(coordinates.studyset.ids) == before
    assert str(coordinates.annotation) == notes


def test_the_reference_studyset_is_asked_for_without_the_studysets_own_studies(coordinates: Experiment) -> None:
    asked: list[tuple[str, set[str]]] = []

    def reference(name: str, excluded: set[str]) -> Studyset:
        asked.append((name, excluded))
        return Studyset(synthetic.random_studyset(3, seed=5, studyset_id="reference"), target="mni152_2mm")

    specification = parse_specification(synthetic.specification("MKDAChi2", database_studyset="neurosynth"))
    groups = select(coordinates.studyset, coordinates.annotation, specification, reference=reference)

    assert asked == [("neurosynth", {f"s{i}" for i in range(6)})]
    assert groups.second is not None
    assert list(groups.second.ids) == [f"s{i}-s{i}a0_s{i}a1" for i in range(3)]


def test_the_reference_studyset_is_not_asked_for_when_the_first_group_is_empty(coordinates: Experiment) -> None:
    document = synthetic.specification("MKDAChi2", column="nowhere", database_studyset="neurosynth")

    def reference(_name: str, _excluded: set[str]) -> Studyset:
        pytest.fail("the reference studyset was asked for")

    with pytest.raises(SelectionError, match="nowhere"):
        select(coordinates.studyset, coordinates.annotation, parse_specification(document), reference=reference)


def test_a_reference_studyset_without_other_studies_is_an_error(coordinates: Experiment) -> None:
    specification = parse_specification(synthetic.specification("MKDAChi2", database_studyset="neurosynth"))
    empty = Studyset(synthetic.studyset([]), target="mni152_2mm")

    with pytest.raises(SelectionError, match="neurosynth"):
        select(coordinates.studyset, coordinates.annotation, specification, reference=lambda _name, _excluded: empty)


def test_a_reference_studyset_where_there_is_none_is_an_error(coordinates: Experiment) -> None:
    specification = parse_specification(synthetic.specification("MKDAChi2", database_studyset="neurosynth"))

    with pytest.raises(SpecificationError, match="neurosynth"):
        select(coordinates.studyset, coordinates.annotation, specification)


def test_a_coordinate_based_group_without_coordinates_is_an_error() -> None:
    studies = [synthetic.study("s0", [synthetic.analysis("a0")]), synthetic.study("s1", [synthetic.analysis("a1")])]

    with pytest.raises(SelectionError, match="coordinates"):
        Experiment(synthetic.studyset(studies)).groups(synthetic.specification())


def test_analysis_ids_that_repeat_in_other_studies_are_told_apart() -> None:
    document = synthetic.studyset(
        synthetic.study(f"s{i}", [synthetic.analysis("1", synthetic.foci(2, i)), synthetic.analysis("2")])
        for i in range(4)
    )
    annotation = synthetic.annotated(document, lambda study, analysis: study % 2 == 0 and analysis == 0)
    studyset = Studyset(document, target="mni152_2mm", annotations=[annotation])

    groups = select(studyset, annotation, parse_specification(synthetic.specification()))

    assert list(groups.first.ids) == ["s0-1", "s2-1"]
