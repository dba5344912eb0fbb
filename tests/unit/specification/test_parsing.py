"""Specifications are read, converted and checked without NiMARE."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from compose_runner.errors import SpecificationError
from compose_runner.specification.parsing import Specification, needs_large_task, parse_specification
from compose_runner.specification.signatures import signatures
from tests.support import synthetic

if TYPE_CHECKING:
    from pathlib import Path

Document = dict[str, Any]


def parsed_args(estimator: str, args: Document, **more: Any) -> Document:
    return parse_specification(synthetic.specification(estimator, args, **more)).estimator.args


def refusal(document: object) -> str:
    with pytest.raises(SpecificationError) as caught:
        parse_specification(document)
    return str(caught.value)


def test_the_forms_default_specification_is_read() -> None:
    document = {
        "id": "Ahx3YQYb8Jx4",
        "created_at": "2026-02-18T13:37:46.199314+00:00",
        "type": "CBMA",
        "estimator": {
            "type": "MKDADensity",
            "args": {
                "null_method": "approximate",
                "n_iters": 5000,
                "**kwargs": {},
                "kernel__r": 10,
                "kernel__value": 1,
            },
        },
        "database_studyset": None,
        "filter": "included",
        "corrector": {"type": "FDRCorrector", "args": {"method": "indep", "alpha": 0.05}},
        "conditions": ["true"],
        "weights": [1.0],
    }

    specification = parse_specification(document)

    assert (specification.kind, specification.groups, specification.image_based) == ("CBMA", 1, False)
    assert (specification.filter, specification.first, specification.second) == ("included", ("true",), ())
    assert specification.estimator.name == "MKDADensity"
    assert specification.estimator.args == {
        "null_method": "approximate",
        "n_iters": 5000,
        "kernel__r": 10,
        "kernel__value": 1,
    }
    assert specification.corrector is not None
    assert (specification.corrector.name, specification.corrector.method) == ("FDRCorrector", "indep")
    assert specification.corrector.args == {"alpha": 0.05}


def test_texts_under_kwargs_become_the_arguments_types_and_go_before_the_others() -> None:
    extra = {"n_iters": "100", "kernel__fwhm": "8.5", "random_state": "3", "generate_description": "False"}

    assert parsed_args("ALE", {"n_iters": 5000, "**kwargs": extra}) == {
        "n_iters": 100,
        "kernel__fwhm": 8.5,
        "random_state": 3,
        "generate_description": False,
    }


@pytest.mark.parametrize("value", [100, 100.0, 100.7, "100", " 100 ", "100.0", "1e2"])
def test_n_iters_comes_as_a_number_or_a_text(value: Any) -> None:
    n_iters = parsed_args("ALE", {"n_iters": value})["n_iters"]

    assert n_iters == 100
    assert type(n_iters) is int


@pytest.mark.parametrize("value", [None, "", "None", "null"])
def test_null_and_empty_texts_leave_arguments_unset(value: Any) -> None:
    args = parsed_args(
        "ALE", {"n_iters": value, "null_method": value, "kernel__fwhm": value, "kernel__sample_size": value}
    )

    assert args == {"kernel__fwhm": None, "kernel__sample_size": None}


@pytest.mark.parametrize(
    ("estimator", "argument", "text", "value"),
    [
        ("MKDADensity", "kernel__r", "6.5", 6.5),
        ("MKDADensity", "null_method", "MonteCarlo", "montecarlo"),
        ("MKDADensity", "weighting", "sample_size", "sample_size"),
        ("SCALE", "xyz", "[[1, 2, 3], [4, 5, 6]]", [[1, 2, 3], [4, 5, 6]]),
        ("Fishers", "two_sided", "0", False),
        ("Fishers", "two_sided", 1, True),
        ("Fishers", "groupby", "false", False),
        ("Fishers", "groupby", "lab", "lab"),
        ("Fishers", "resample__clip", "true", True),
        ("WeightedLeastSquares", "tau2", "0.25", 0.25),
        ("WeightedLeastSquares", "tau2", "[0.25, 0.5]", [0.25, 0.5]),
        ("Hedges", "rho", "0.5", 0.5),
        ("Hedges", "small_sample_correction", "None", None),
    ],
)
def test_a_value_is_converted_by_its_arguments_type(estimator: str, argument: str, text: Any, value: Any) -> None:
    kind = signatures().estimators[estimator].kind

    converted = parsed_args(estimator, {argument: text}, kind=kind)[argument]

    assert converted == value
    assert type(converted) is type(value)


@pytest.mark.parametrize(
    ("estimator", "argument", "value", "said"),
    [
        ("ALE", "n_iters", "many", "'n_iters' must be a whole number from 1 to 10,000,000, not 'many'"),
        ("ALE", "n_iters", [100], "'n_iters' must be a whole number"),
        ("ALE", "kernel__fwhm", "nan", "'kernel__fwhm' must be a number from 1 to 100 mm or null, not 'nan'"),
        ("ALE", "mask_coverage", "white", "'mask_coverage' must be 'gm' or 'brain'"),
        ("ALE", "mask", {"a": 1}, "'mask' must be null"),
        ("ALESubtraction", "vfwe_only", "perhaps", "'vfwe_only' must be true or false"),
        ("ALESubtraction", "low_memory", "never", "'low_memory' must be 'auto' or true or false"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_with_what_can_be(
    estimator: str, argument: str, value: Any, said: str
) -> None:
    make = synthetic.two_groups if estimator == "ALESubtraction" else synthetic.specification

    assert said in refusal(make(estimator, {argument: value}))


@pytest.mark.parametrize("name", ["n_cores", "n_jobs", "memory_level"])
def test_the_runners_own_business_is_accepted_for_every_estimator_and_kept_from_nimare(name: str) -> None:
    args = {"**kwargs": {name: "9"}}

    specification = parse_specification(
        synthetic.two_groups("MKDAChi2", args, corrector="FDRCorrector", corrector_args=args)
    )

    assert specification.corrector is not None
    requested = 9 if name.startswith("n_") else None
    assert (specification.estimator.args, specification.estimator.n_cores) == ({}, requested)
    assert (specification.corrector.args, specification.corrector.n_cores) == ({}, requested)


@pytest.mark.parametrize("value", ["0", -1, None, "", 2.5])
def test_cores_below_one_are_no_wish(value: Any) -> None:
    assert parse_specification(synthetic.specification("ALE", {"n_cores": value})).estimator.n_cores is None


def test_an_unknown_argument_is_named_with_those_that_exist() -> None:
    said = refusal(synthetic.specification("MKDADensity", {"**kwargs": {"n_itres": "5"}}))

    assert "'n_itres'" in said
    assert "Did you mean 'n_iters'?" in said
    assert "kernel__r, kernel__value" in said


def test_the_arguments_of_another_kernel_are_ignored_unless_that_kernel_is_named() -> None:
    assert parsed_args("ALE", {"kernel__r": 10}) == {}
    for name in ("MKDAKernel", "nimare.meta.kernel.MKDAKernel", "<class 'nimare.meta.kernel.MKDAKernel'>"):
        args = parsed_args("ALE", {"kernel_transformer": name, "kernel__r": "10"})
        assert args == {"kernel_transformer": "MKDAKernel", "kernel__r": 10}
    assert parsed_args("ALE", {"kernel_transformer": "ALEKernel"}) == {}


def test_an_unknown_kernel_is_named_with_those_that_exist() -> None:
    said = refusal(synthetic.specification("ALE", {"kernel_transformer": "GaussKernel"}))

    assert "'GaussKernel'" in said
    assert "ALEKernel, KDAKernel, MKDAKernel" in said


def test_a_kernel_has_one_width() -> None:
    said = refusal(synthetic.specification("ALE", {"kernel__fwhm": 8, "kernel__sample_size": 20}))

    assert "kernel__fwhm or kernel__sample_size" in said


def test_an_argument_without_default_has_to_be_given() -> None:
    assert refusal(synthetic.specification("SCALE")) == "SCALE needs the argument 'xyz'."


def test_an_unknown_estimator_is_named_with_those_that_exist() -> None:
    said = refusal(synthetic.specification("ale"))

    assert "'ale'. Did you mean 'ALE'?" in said
    assert "ALE, ALESubtraction, BalancedALESubtraction, KDA, MKDAChi2, MKDADensity, SCALE" in said


def test_an_estimator_of_the_other_kind_is_refused_with_its_own_kind() -> None:
    assert "Stouffers is one for IBMA" in refusal(synthetic.specification("Stouffers"))


@pytest.mark.parametrize("kind", ["ibma", "IBMA", " Ibma ", None])
def test_the_type_may_be_in_any_case_and_may_be_missing(kind: str | None) -> None:
    specification = parse_specification({**synthetic.specification("Stouffers"), "type": kind})

    assert specification.kind == "IBMA"
    assert specification.image_based


@pytest.mark.parametrize("kind", ["cbmr", "", 3, ["CBMA"]])
def test_an_unknown_type_is_refused(kind: Any) -> None:
    assert "CBMA, IBMA" in refusal({**synthetic.specification(), "type": kind})


@pytest.mark.parametrize("part", [None, {}, {"type": None}, {"type": ""}, {"args": {}}, ""])
def test_without_a_name_there_is_no_corrector(part: Any) -> None:
    assert parse_specification({**synthetic.specification(), "corrector": part}).corrector is None


@pytest.mark.parametrize("part", [None, {}, {"type": None}, {"args": {"n_iters": 5}}])
def test_a_missing_estimator_is_refused_with_those_that_exist(part: Any) -> None:
    assert "MKDADensity" in refusal({**synthetic.specification(), "estimator": part})


def test_args_that_are_null_or_absent_are_the_defaults() -> None:
    for part in ({"type": "ALE"}, {"type": "ALE", "args": None}, {"type": "ALE", "args": {"**kwargs": None}}):
        assert parse_specification({**synthetic.specification(), "estimator": part}).estimator.args == {}


def test_an_unknown_corrector_is_named_with_those_that_exist() -> None:
    said = refusal(synthetic.specification(corrector="Bonferroni"))

    assert "'Bonferroni'" in said
    assert "FDRCorrector, FWECorrector" in said


@pytest.mark.parametrize(
    ("estimator", "corrector", "args", "method"),
    [
        ("ALE", "FDRCorrector", {}, "indep"),
        ("ALE", "FDRCorrector", {"method": "negcorr"}, "negcorr"),
        ("ALE", "FWECorrector", {}, "bonferroni"),
        ("ALE", "FWECorrector", {"method": " MonteCarlo "}, "montecarlo"),
        ("ALE", "FWECorrector", {"method": "montecarlo", "**kwargs": {"method": "predictive"}}, "predictive"),
        ("PermutedOLS", "FWECorrector", {"method": "montecarlo"}, "montecarlo"),
        ("Fishers", "FWECorrector", {"method": None, "n_iters": 100}, "bonferroni"),
        ("SCALE", "FWECorrector", {"method": "montecarlo"}, "montecarlo"),
    ],
)
def test_methods_that_exist_for_the_estimator_are_found(
    estimator: str, corrector: str, args: Document, method: str
) -> None:
    kind = signatures().estimators[estimator].kind
    extra = {"xyz": [[0, 0, 0]]} if estimator == "SCALE" else {}

    choice = parse_specification(
        synthetic.specification(estimator, extra, kind=kind, corrector=corrector, corrector_args=args)
    ).corrector

    assert choice is not None
    assert choice.method == method


@pytest.mark.parametrize(
    ("estimator", "corrector", "method", "said"),
    [
        ("ALE", "FWECorrector", "bonferoni", "There are: bonferroni, montecarlo, predictive."),
        ("ALE", "FDRCorrector", "bonferroni", "There are: indep, negcorr."),
        ("MKDADensity", "FWECorrector", "predictive", "There are: bonferroni, montecarlo."),
        ("Fishers", "FWECorrector", "montecarlo", "There is: bonferroni."),
        ("SCALE", "FWECorrector", "bonferroni", "There is: montecarlo."),
        ("SCALE", "FDRCorrector", "indep", "FWECorrector with montecarlo"),
        ("BalancedALESubtraction", "FWECorrector", "montecarlo", "There is: bonferroni."),
        ("ALE", "FWECorrector", 5, "There are: bonferroni, montecarlo, predictive."),
    ],
)
def test_a_method_that_the_estimator_has_not_is_refused_with_those_it_has(
    estimator: str, corrector: str, method: Any, said: str
) -> None:
    signature = signatures().estimators[estimator]
    make = synthetic.two_groups if signature.groups == 2 else synthetic.specification
    extra = {"xyz": [[0, 0, 0]]} if estimator == "SCALE" else {}
    document = make(estimator, extra, kind=signature.kind, corrector=corrector, corrector_args={"method": method})

    assert said in refusal(document)


@pytest.mark.parametrize(
    ("corrector", "args", "said"),
    [
        ("FWECorrector", {"method": "bonferroni", "voxel_treshold": 0.001}, "has no argument 'voxel_treshold'"),
        ("FWECorrector", {"method": "montecarlo", "voxel_treshold": 1}, "vfwe_only, voxel_thresh"),
        (
            "FWECorrector",
            {"method": "montecarlo", "n_iters": 0},
            "'n_iters' must be a whole number from 1 to 10,000,000, not 0",
        ),
        ("FWECorrector", {"method": "montecarlo", "n_iters": True}, "'n_iters' must be a whole number from 1"),
        ("FWECorrector", {"method": "montecarlo", "vfwe_only": "so"}, "'vfwe_only' must be true or false"),
        ("FDRCorrector", {"alpha": "strict"}, "'alpha' must be a number"),
        ("FDRCorrector", {"aplha": 0.001}, "Did you mean 'alpha'?"),
        ("FDRCorrector", {"mask": "gm.nii.gz"}, "names no files"),
    ],
)
def test_arguments_that_nothing_takes_and_values_that_cannot_be_are_refused(
    corrector: str, args: Document, said: str
) -> None:
    assert said in refusal(synthetic.specification(corrector=corrector, corrector_args=args))


def test_scale_has_no_cluster_level_correction() -> None:
    args = {"method": "montecarlo", "vfwe_only": "false"}
    document = synthetic.specification("SCALE", {"xyz": [[0, 0, 0]]}, corrector="FWECorrector", corrector_args=args)

    assert "vfwe_only must be true" in refusal(document)


def test_null_arguments_of_a_corrector_are_left_out_as_nimare_does() -> None:
    for method in ("montecarlo", "bonferroni"):
        args = {"method": method, "voxel_thresh": None, "n_iters": None, "vfwe_only": "", "target": "null"}
        specification = parse_specification(synthetic.specification(corrector="FWECorrector", corrector_args=args))

        assert specification.corrector is not None
        assert (specification.corrector.method, specification.corrector.args) == (method, {})
        assert specification.findings == ()


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (synthetic.specification("MKDAChi2"), "compares two groups, but the specification selects one"),
        (synthetic.two_groups("MKDADensity"), "takes one group, but the specification selects two"),
        (synthetic.specification("ALE", database_studyset="neurosynth"), "(a database_studyset)"),
        (synthetic.two_groups("MKDAChi2", database_studyset="neurosynth"), "more than two groups"),
        (synthetic.two_groups("Stouffers", kind="IBMA"), "No image-based estimator compares two groups"),
        (synthetic.specification("Hedges", kind="IBMA", database_studyset="neurosynth"), "No image-based estimator"),
    ],
)
def test_groups_that_cannot_be_are_refused(document: Document, said: str) -> None:
    assert said in refusal(document)


@pytest.mark.parametrize(
    "document",
    [
        synthetic.two_groups("MKDAChi2"),
        synthetic.two_groups("ALESubtraction", conditions=("left", "right"), column="side"),
        synthetic.specification("MKDAChi2", database_studyset="neurostore"),
        synthetic.specification("MKDAChi2", conditions=None, weights=None, database_studyset="neurostore"),
    ],
)
def test_two_groups_come_from_conditions_or_a_reference_studyset(document: Document) -> None:
    assert parse_specification(document).groups == 2


@pytest.mark.parametrize("value", [None, "", [], {}])
def test_a_filter_that_names_no_column_is_refused(value: Any) -> None:
    assert "filter" in refusal({**synthetic.specification(), "filter": value})


@pytest.mark.parametrize("document", [None, [], "MKDADensity", 3])
def test_a_document_that_is_no_object_is_refused(document: object) -> None:
    assert "not an object" in refusal(document)


def test_every_default_of_nimare_is_accepted() -> None:
    for name, signature in signatures().estimators.items():
        args = {one.name: one.default for one in signature.parameters.values() if not one.required}
        if name == "SCALE":
            args["xyz"] = [[0, 0, 0]]
        make = synthetic.two_groups if signature.groups == 2 else synthetic.specification

        assert isinstance(parse_specification(make(name, args, kind=signature.kind)), Specification)


@pytest.mark.parametrize(
    "corrector",
    [
        {"type": "FWECorrector", "args": {"method": "montecarlo"}},
        {"type": "FWECorrector", "args": {"method": "MonteCarlo"}},
        {"type": "FWECorrector", "args": {"**kwargs": {"method": "MONTECARLO"}}},
        {"type": "FWECorrector", "args": {"method": "bonferroni", "**kwargs": {"method": "montecarlo"}}},
        {"type": " FWECorrector ", "args": {"method": "montecarlo", "**kwargs": {"method": None}}},
        {"type": "FWECorrector", "args": {"voxel_thresh": 0.001, "n_iters": 5000, "vfwe_only": False}},
        {"type": "FWECorrector", "args": {"method": "", "**kwargs": {"vfwe_only": "false"}}},
    ],
)
def test_a_monte_carlo_correction_needs_the_large_task(corrector: Document) -> None:
    assert needs_large_task({"corrector": corrector})


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "montecarlo",
        {},
        {"corrector": None},
        {"corrector": "FWECorrector"},
        {"corrector": {"type": "FWECorrector"}},
        {"corrector": {"type": "FWECorrector", "args": None}},
        {"corrector": {"type": "FWECorrector", "args": ["montecarlo"]}},
        {"corrector": {"type": "FWECorrector", "args": {"method": ["montecarlo"], "**kwargs": "montecarlo"}}},
        {"corrector": {"type": "FWECorrector", "args": {"method": "bonferroni"}}},
        {"corrector": {"type": "FWECorrector", "args": {"method": "bonferroni", "voxel_thresh": 0.001}}},
        {"corrector": {"type": "FWECorrector", "args": {"n_iters": 5000, "voxel_thresh": None}}},
        {"estimator": "Fishers", "corrector": {"type": "FWECorrector", "args": {"voxel_thresh": 0.001}}},
        {"corrector": {"type": "FDRCorrector", "args": {"method": "montecarlo"}}},
        {"corrector": {"type": ["FWECorrector"], "args": {"method": "montecarlo"}}},
        {"estimator": {"type": "ALE", "args": {"null_method": "montecarlo"}}},
    ],
)
def test_everything_else_needs_the_standard_task(document: object) -> None:
    assert not needs_large_task(document)


def test_reading_a_specification_imports_neither_nimare_nor_numpy() -> None:
    script = (
        "import sys, compose_runner.specification.parsing as s; s.signatures();"
        "sys.exit(any(name in sys.modules for name in ('nimare', 'numpy', 'pandas', 'compose_runner.analysis')))"
    )

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_the_specifications_of_real_meta_analyses_are_accepted(recorded: Path) -> None:
    documents = [json.loads(path.read_text()) for path in sorted(recorded.glob("*/api/meta-analyses/*.json"))]

    assert documents
    for document in documents:
        assert parse_specification(document["specification"]).groups == 1
        assert not needs_large_task(document["specification"])
