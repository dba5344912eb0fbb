"""What Compose's form stores by default, or leaves behind when a person changes their mind, is accepted."""

from __future__ import annotations

import re
from typing import Any

import pytest

from compose_runner.errors import SpecificationError
from compose_runner.findings import Severity
from compose_runner.specification.arguments import CACHE_ARGUMENTS, CORES_ARGUMENTS
from compose_runner.specification.leftovers import takers
from compose_runner.specification.parsing import needs_large_task, parse_specification
from compose_runner.specification.signatures import signatures
from tests.support.form import FORM, codes, document, form_document, fwe, parsed

CORRECTORS = [None, *FORM["CORRECTOR"]]
ESTIMATORS = [name for kind in ("CBMA", "IBMA") for name in FORM[kind] if name in signatures().estimators]
PAIRS = [(name, corrector) for name in ESTIMATORS for corrector in CORRECTORS]
MONTE_CARLO = {"voxel_thresh": 0.001, "n_iters": 5000, "vfwe_only": False}


def test_the_form_has_fourteen_estimators_of_nimare_with_three_corrections_each() -> None:
    assert len(PAIRS) == 42


@pytest.mark.parametrize(("name", "corrector"), PAIRS)
def test_what_the_form_stores_by_default_is_accepted(name: str, corrector: str | None) -> None:
    specification = parse_specification(form_document(name, corrector))

    assert specification.estimator.name == name
    expected = {None: None, "FDRCorrector": "indep", "FWECorrector": "bonferroni"}[corrector]
    assert (specification.corrector and specification.corrector.method) == expected
    assert specification.alpha == 0.05
    assert None not in (specification.corrector.args.values() if specification.corrector else ())
    former = ["specification-argument-ignored"] if name == "Stouffers" else []
    assert codes(specification) == former


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("before", ESTIMATORS)
def test_arguments_of_the_algorithm_that_was_chosen_before_are_ignored_with_a_warning(name: str, before: str) -> None:
    kind = signatures().estimators[before].kind
    left = {**FORM[kind][before], **({"n_iters": 5000, "kernel__r": 10, "kernel__fwhm": 8} if kind == "CBMA" else {})}

    specification = parsed(name, left, fwe(method="bonferroni", **MONTE_CARLO, alpha=0.01, target="pairwise"))

    taken = signatures().estimators[name].parameters
    ignored = [finding for finding in specification.findings if finding.code == "specification-argument-ignored"]
    assert all(finding.severity is Severity.WARNING and finding.count == 1 for finding in ignored)
    said = " ".join(finding.message for finding in ignored)
    for argument, value in left.items():
        if argument.startswith(("kernel__", "**")) or value is None:
            continue
        assert (f"{name} has no argument {argument!r}" in said) == (argument not in taken)
    for argument in ("voxel_thresh", "vfwe_only", "alpha", "target"):
        assert f"on {name} has no argument {argument!r}" in said
    assert specification.corrector is not None
    assert set(specification.corrector.args) == {"n_iters"}


@pytest.mark.parametrize("name", ["MKDAChi2", "Hedges", "SCALE"])
def test_every_argument_of_anything_else_is_ignored_and_a_mistake_in_writing_it_is_refused(name: str) -> None:
    signature = signatures().estimators[name]
    own = {"kernel_transformer"} if signature.kernel else set()
    for argument in sorted(set(takers()) - set(signature.parameters) - own):
        if argument.startswith(signature.prefixes) or argument in CACHE_ARGUMENTS | CORES_ARGUMENTS:
            continue
        assert codes(parsed(name, {argument: 2})) == ["specification-argument-ignored"], argument
    for argument in takers():
        for written in (f"{argument[:-1]}xq", f"{argument.upper()}S"):
            with pytest.raises(SpecificationError, match="has no argument"):
                parsed(name, {written: 2})
            if name != "SCALE":
                with pytest.raises(SpecificationError, match="has no argument"):
                    parsed(name, {}, fwe(**{written: 2}))


@pytest.mark.parametrize(
    ("written", "meant"), [("N_Iters", "n_iters"), ("Kernel__R", "kernel__r"), ("NULL_METHOD", "null_method")]
)
def test_a_name_in_another_case_is_recognised_as_a_mistake(written: str, meant: str) -> None:
    with pytest.raises(SpecificationError, match=f"Did you mean {meant!r}"):
        parsed("MKDADensity", {written: 3})


@pytest.mark.parametrize("args", [{"voxel_thresh": 0.001}, {"vfwe_only": False}, {"**kwargs": {"vfwe_only": "true"}}])
@pytest.mark.parametrize("name", ["MKDADensity", "KDA", "ALE", "MKDAChi2", "ALESubtraction", "PermutedOLS"])
@pytest.mark.parametrize("method", [{}, {"method": None}, {"method": ""}, {"**kwargs": {"method": "null"}}])
def test_a_corrector_without_a_method_whose_arguments_only_one_takes_is_that_method(
    name: str, args: dict[str, Any], method: dict[str, Any]
) -> None:
    together = {"n_iters": 5000, **method, **args}
    together["**kwargs"] = {**method.get("**kwargs", {}), **args.get("**kwargs", {})}

    specification = parsed(name, corrector=fwe(**together))

    assert specification.corrector is not None
    assert specification.corrector.method == "montecarlo"
    assert "specification-method-assumed" in codes(specification)
    assert needs_large_task(document(name, corrector=fwe(**together)))


@pytest.mark.parametrize("name", ["Fishers", "BalancedALESubtraction"])
def test_where_that_method_does_not_exist_the_arguments_are_left_over(name: str) -> None:
    asked = fwe(**MONTE_CARLO)

    specification = parsed(name, corrector=asked)

    assert specification.corrector is not None
    assert specification.corrector.method == "bonferroni"
    assert "specification-argument-ignored" in codes(specification)
    assert not needs_large_task(document(name, corrector=asked))


def test_a_corrector_without_a_method_has_nimares_own_where_nothing_speaks_for_another() -> None:
    specification = parsed("ALE", corrector=fwe(n_iters=5000))

    assert specification.corrector is not None
    assert specification.corrector.method == "bonferroni"
    assert codes(specification) == []


def test_where_there_is_one_method_only_a_corrector_without_a_method_has_that() -> None:
    specification = parsed("SCALE", corrector=fwe(n_iters=100))

    assert specification.corrector is not None
    assert specification.corrector.method == "montecarlo"
    assert codes(specification) == ["specification-method-assumed"]
    assert needs_large_task(document("SCALE", corrector=fwe(n_iters=100)))


@pytest.mark.parametrize("value", [20.5, "20.5", "2.05e1"])
def test_a_fraction_of_an_iteration_is_cut_off_with_a_word(value: Any) -> None:
    specification = parsed("ALE", {"null_method": "montecarlo", "n_iters": value})

    assert specification.estimator.args["n_iters"] == 20
    assert codes(specification) == ["specification-value-rounded"]
    assert "20 was used" in specification.findings[0].message


@pytest.mark.parametrize("value", [20, 20.0, "20", "2e1", " 20.0 "])
def test_a_whole_number_in_any_form_needs_none(value: Any) -> None:
    assert codes(parsed("ALE", {"null_method": "montecarlo", "n_iters": value})) == []


@pytest.mark.parametrize(
    ("corrector", "alpha"),
    [
        (None, 0.05),
        ({"type": "FDRCorrector", "args": {"alpha": "0.001"}}, 0.001),
        ({"type": "FDRCorrector", "args": {"**kwargs": {"alpha": 0.2}}}, 0.2),
        ({"type": "FDRCorrector", "args": {"alpha": None}}, 0.05),
        (fwe(method="bonferroni", alpha=0.2), 0.05),
    ],
)
def test_alpha_is_that_of_fdr_or_five_percent(corrector: Any, alpha: float) -> None:
    assert parsed("MKDADensity", {}, corrector).alpha == alpha


@pytest.mark.parametrize("alpha", [0, 1, 2, -3, "-0.05", "5%", 5])
@pytest.mark.parametrize("name", ["ALE", "MKDAChi2", "Fishers"])
def test_an_alpha_outside_is_refused_with_the_range(name: str, alpha: Any) -> None:
    with pytest.raises(SpecificationError, match="'alpha' must be a number between 0 and 1"):
        parsed(name, {}, {"type": "FDRCorrector", "args": {"alpha": alpha}})


@pytest.mark.parametrize(
    ("args", "corrector"),
    [({"fwe_null_method": "shuffle"}, None), ({}, fwe(method="montecarlo", target="both"))],
)
def test_words_that_nimare_refuses_only_when_it_computes_are_refused_at_once(args: Any, corrector: Any) -> None:
    with pytest.raises(SpecificationError, match="must be"):
        parsed("MKDAChi2" if args else "ALESubtraction", args, corrector)


def test_no_finding_speaks_of_nimares_insides() -> None:
    found = [
        finding.message
        for name in ESTIMATORS
        for finding in parsed(name, {"null_method": "montecarlo", "n_iters": 5.5}, fwe(**MONTE_CARLO)).findings
    ]

    assert found
    assert not [message for message in found if re.search(r"NoneType|kwarg|Traceback|object at|index|axis", message)]
