"""What is known about NiMARE without importing it is what the installed NiMARE says."""

from __future__ import annotations

import json

import pytest

from compose_runner.specification import generate
from compose_runner.specification.signatures import signatures as known


def test_the_signatures_on_file_are_those_of_the_installed_nimare() -> None:
    on_file = json.loads(generate.SIGNATURES_PATH.read_text(encoding="utf-8"))
    collected = json.loads(generate.as_text(generate.collect()))
    for document in (on_file, collected):
        del document["nimare_version"]

    assert on_file == collected, "write them anew: python -m compose_runner.specification.generate"


def test_every_public_estimator_is_known() -> None:
    assert {name: (one.kind, one.groups) for name, one in known().estimators.items()} == {
        "ALE": ("CBMA", 1),
        "KDA": ("CBMA", 1),
        "MKDADensity": ("CBMA", 1),
        "SCALE": ("CBMA", 1),
        "ALESubtraction": ("CBMA", 2),
        "BalancedALESubtraction": ("CBMA", 2),
        "MKDAChi2": ("CBMA", 2),
        "DerSimonianLaird": ("IBMA", 1),
        "Fishers": ("IBMA", 1),
        "FixedEffectsHedges": ("IBMA", 1),
        "Hedges": ("IBMA", 1),
        "PermutedOLS": ("IBMA", 1),
        "SampleSizeBasedLikelihood": ("IBMA", 1),
        "Stouffers": ("IBMA", 1),
        "VarianceBasedLikelihood": ("IBMA", 1),
        "WeightedLeastSquares": ("IBMA", 1),
    }


@pytest.mark.parametrize(
    ("estimator", "argument", "types", "choices", "nullable"),
    [
        ("ALE", "n_iters", ("integer",), (), False),
        ("ALE", "null_method", (), ("approximate", "montecarlo", "reduced_montecarlo"), False),
        ("ALE", "mask_coverage", (), ("gm", "brain"), False),
        ("ALE", "random_state", ("integer",), (), True),
        ("ALESubtraction", "low_memory", ("boolean",), ("auto",), False),
        ("MKDAChi2", "prior", ("number",), (), False),
        ("MKDADensity", "weighting", (), ("sample_size", "uniform"), True),
        ("SCALE", "xyz", ("array",), (), False),
        ("Hedges", "rho", ("number",), (), False),
        ("Fishers", "groupby", ("boolean", "string", "array"), (), True),
    ],
)
def test_types_come_from_defaults_and_documentation(
    estimator: str, argument: str, types: tuple[str, ...], choices: tuple[str, ...], nullable: bool
) -> None:
    parameter = known().estimators[estimator].parameters[argument]

    assert (parameter.types, parameter.choices, parameter.nullable) == (types, choices, nullable)
