"""What a specification asks for in vain, or otherwise than it may seem."""

from __future__ import annotations

from typing import Any

import pytest

from compose_runner.errors import SpecificationError
from compose_runner.findings import Severity
from compose_runner.specification.signatures import signatures
from tests.support.form import codes, fwe, parsed


@pytest.mark.parametrize(
    ("name", "args", "corrector", "said"),
    [
        ("ALE", {"n_iters": 200}, None, "n_iters 200"),
        ("ALE", {"random_state": 5}, None, "random_state 5"),
        ("KDA", {"kernel__value": 3}, None, "kernel__value 3"),
        ("ALESubtraction", {"voxel_thresh": 0.01}, None, "voxel_thresh 0.01"),
        ("MKDAChi2", {"fwe_null_method": "random-foci"}, None, "fwe_null_method"),
        ("MKDADensity", {"generate_description": False}, None, "methods text"),
        ("ALE", {"mask_coverage": "gm"}, None, "does not tell grey matter apart"),
        (
            "ALE",
            {"null_method": "montecarlo", "n_iters": 100},
            fwe(method="montecarlo", vfwe_only=True, n_iters=200),
            "takes the iterations of ALE",
        ),
        ("Fishers", {}, fwe(n_iters=200), "n_iters 200"),
        ("ALE", {}, fwe(method="montecarlo", vfwe_only=True, voxel_thresh=0.01), "vfwe_only forms no clusters"),
        ("SCALE", {}, fwe(method="montecarlo", voxel_thresh=0.001), "SCALE has no cluster-level correction"),
    ],
)
def test_an_argument_that_changes_nothing_is_told(name: str, args: Any, corrector: Any, said: str) -> None:
    specification = parsed(name, args, corrector)

    (finding,) = specification.findings
    assert (finding.code, finding.severity) == ("specification-argument-without-effect", Severity.NOTE)
    assert said in finding.message
    assert finding.message.endswith("It changes nothing.")


@pytest.mark.parametrize(
    ("args", "corrector", "seed"),
    [
        ({"random_state": "5", "null_method": "montecarlo"}, None, 5),
        ({"**kwargs": {"random_state": 0}}, fwe(method="montecarlo"), 0),
        ({"random_state": None}, fwe(method="montecarlo"), None),
        ({}, None, None),
    ],
)
def test_the_specifications_random_state_is_its_seed(args: Any, corrector: Any, seed: int | None) -> None:
    specification = parsed("ALE", args, corrector)

    assert specification.seed == seed
    assert codes(specification) == ([] if seed is None else ["specification-seed"])


@pytest.mark.parametrize(
    ("name", "kernel"),
    [
        ("ALE", "KDAKernel"),
        ("ALESubtraction", "KDAKernel"),
        ("SCALE", "KDAKernel"),
        ("MKDAChi2", "KDAKernel"),
        ("MKDADensity", "ALEKernel"),
        ("BalancedALESubtraction", "KDAKernel"),
        ("BalancedALESubtraction", "MKDAKernel"),
    ],
)
def test_a_kernel_with_which_an_estimator_cannot_work_is_refused_with_the_one_that_works(
    name: str, kernel: str
) -> None:
    own = signatures().estimators[name].kernel

    with pytest.raises(SpecificationError, match=f"{name} does not work with .* {kernel}: .* Use {own}"):
        parsed(name, {"kernel_transformer": kernel})


def test_another_kernel_that_computes_is_warned_of() -> None:
    assert codes(parsed("ALE", {"kernel_transformer": "MKDAKernel"})) == ["specification-kernel"]
    assert codes(parsed("MKDADensity", {"kernel__value": 3})) == ["specification-kernel"]
    assert codes(parsed("ALE", {"kernel_transformer": "ALEKernel"})) == []
