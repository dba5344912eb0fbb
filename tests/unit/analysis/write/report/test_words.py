"""Numbers, groups and parameters as a reader knows them."""

from __future__ import annotations

from typing import Any

import pytest

from compose_runner.analysis.write.report.words import group_names, level, number, parameters, probability


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(1234.567, 2, "1,234.57"), (-3.1, 1, "−3.1"), (-0.001, 2, "0.00"), (2.0, 0, "2"), (None, 2, "")],
)
def test_numbers_have_separators_and_a_real_minus(value: float | None, digits: int, text: str) -> None:
    assert number(value, digits) == text


@pytest.mark.parametrize(("p", "text"), [(0.0421, ".042"), (0.0001, "< .001"), (1.0, "1"), (None, "")])
def test_p_is_written_as_in_papers(p: float | None, text: str) -> None:
    assert probability(p) == text


def test_a_level_has_no_zero_before_its_point() -> None:
    assert [level(alpha) for alpha in (0.05, 0.001)] == [".05", ".001"]


@pytest.mark.parametrize(
    ("specification", "names"),
    [
        ({"filter": "kind", "conditions": ["physical", "emotional"], "weights": [1, -1]}, ("physical", "emotional")),
        ({"filter": "kind", "conditions": ["a", "b", "c"], "weights": [1, 1, -1]}, ("a / b", "c")),
        ({"filter": "old", "conditions": [True, False], "weights": [1, -1]}, ("old", "not old")),
        (
            {"filter": "included", "conditions": ["true"], "weights": [1], "database_studyset": "neurosynth"},
            ("included", "the studies of neurosynth"),
        ),
        ({"filter": "included", "conditions": ["true"], "weights": [1]}, ("", "")),
        ({"filter": "x", "conditions": ["a\u202eb", "c"], "weights": [1, -1]}, ("a\\u202eb", "c")),
        ({"conditions": {"not": "a list"}}, ("", "")),
        ({}, ("", "")),
    ],
)
def test_groups_are_called_by_their_conditions(specification: dict[str, Any], names: tuple[str, str]) -> None:
    assert group_names(specification) == names


def test_parameters_are_those_that_are_set_and_defaults_that_count() -> None:
    specification = {
        "estimator": {
            "type": "ALE",
            "args": {"kernel__fwhm": 8, "n_cores": 4, "**kwargs": {"null_method": "approximate"}},
        },
        "corrector": {"type": "FWECorrector", "args": {"method": "montecarlo", "n_iters": 5000}},
    }
    (estimator, own), (corrector, correction) = parameters(specification)
    assert estimator == "Activation likelihood estimation (ALE)"
    assert ("Kernel: full width at half maximum (mm)", "kernel__fwhm", "8", False) in own
    assert ("Null distribution", "null_method", "approximate (histogram)", False) in own
    # permutations of a null distribution that is not drawn, and cores, say nothing
    assert not {"n_iters", "n_cores"} & {name for _, name, _, _ in own}
    assert corrector == "Correction: Family-wise error rate (FWE)"
    assert ("Permutations", "n_iters", "5,000", False) in correction
    assert ("Voxel-level threshold that forms clusters (p)", "voxel_thresh", "0.001", True) in correction


def test_without_a_corrector_the_page_says_so() -> None:
    assert parameters({"estimator": {"type": "Unknown"}})[1] == ("Correction: none", [])
