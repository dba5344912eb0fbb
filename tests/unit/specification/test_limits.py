"""What one job may ask of a deployment."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compose_runner.analysis.compute.prediction import PredictedRun, Prediction
from compose_runner.errors import EXIT_CANNOT_RUN, LimitExceededError
from compose_runner.progress import Stage
from compose_runner.specification.limits import ITERATIONS, NO_LIMITS, JobLimits
from compose_runner.specification.parsing import Specification, parse_specification
from compose_runner.specification.signatures import signatures

FWE = "FWECorrector"


def specification(
    estimator: str, args: dict[str, Any] | None = None, corrector: dict[str, Any] | None = None
) -> Specification:
    kind = signatures().estimators[estimator].kind
    two_groups = signatures().estimators[estimator].groups == 2
    return parse_specification(
        {
            "type": kind,
            "estimator": {"type": estimator, "args": args or {}},
            "corrector": corrector,
            "filter": "included",
            "conditions": [True, False] if two_groups else [True],
            "weights": [1, -1] if two_groups else [1],
        }
    )


def check_prediction(limits: JobLimits, predicted: Prediction, cores: int) -> None:
    limits.check_prediction(predicted.iterations, predicted.seconds(cores), cores)


def monte_carlo(n_iters: Any) -> dict[str, Any]:
    return {"type": FWE, "args": {"method": "montecarlo", "n_iters": n_iters}}


@pytest.mark.parametrize(
    "asked",
    [
        specification("ALE", corrector=monte_carlo(5001)),
        specification("ALE", corrector=monte_carlo("5001")),
        specification("ALE", corrector={"type": FWE, "args": {"**kwargs": {"method": "montecarlo", "n_iters": 10**7}}}),
        specification("ALE", {"null_method": "montecarlo", "n_iters": 5001}),
        specification("ALESubtraction", {"n_iters": 10**6}),
        specification("BalancedALESubtraction", {"n_subsamples": 5001}),
        specification("BalancedALESubtraction", {"difference_iterations": 5001}),
        specification("PermutedOLS", corrector=monte_carlo(1e6)),
    ],
)
def test_more_iterations_than_allowed_are_refused_with_argument_number_and_limit(asked: Specification) -> None:
    with pytest.raises(
        LimitExceededError, match=r"asks for .+ iterations \(\w+\); this service allows 5,000"
    ) as refused:
        JobLimits(iterations=5000).check_iterations(asked)

    assert "compose-run on a machine of your own" in str(refused.value)
    assert len(str(refused.value)) < 300
    assert refused.value.exit_code == EXIT_CANNOT_RUN


@pytest.mark.parametrize(
    "asked",
    [
        specification("ALE", corrector=monte_carlo(5000)),
        specification("ALE", {"null_method": "approximate", "n_iters": 10**6}),
        specification("MKDADensity", {"n_iters": 10**6}),
        specification("ALE", corrector={"type": FWE, "args": {"method": "bonferroni", "n_iters": 10**6}}),
        specification("MKDAChi2"),
    ],
)
def test_iterations_that_are_allowed_or_never_drawn_are_not_refused(asked: Specification) -> None:
    JobLimits(iterations=5000).check_iterations(asked)


def test_every_argument_of_nimare_that_counts_iterations_is_known() -> None:
    found = signatures()
    of_all = [
        *(signature.parameters for signature in found.estimators.values()),
        *(
            parameters
            for signature in found.estimators.values()
            for methods in signature.corrections.values()
            for parameters in methods.values()
        ),
        *found.kernels.values(),
    ]
    names = {
        name
        for parameters in of_all
        for name in parameters
        if "iter" in name
        or "perm" in name
        or "boot" in name
        or "draw" in name
        or "sample" in name.removesuffix("_size")
    }
    assert {name for name in names if name.startswith("n_") or "iterations" in name} <= set(ITERATIONS)


def test_without_limits_nothing_is_refused() -> None:
    NO_LIMITS.check_iterations(specification("ALE", corrector=monte_carlo(10**7)))
    check_prediction(NO_LIMITS, prediction(10**9, 10.0), 16)


def prediction(iterations: int, seconds: float, serial: float = 0.0) -> Prediction:
    return Prediction((PredictedRun(Stage.CORRECT, iterations, seconds, serial),))


def test_a_prediction_beyond_the_limit_is_told_with_what_would_fit() -> None:
    with pytest.raises(
        LimitExceededError, match=r"100,000 permutations .* 100\.0 core hours; this service allows 64 "
    ) as it:
        check_prediction(JobLimits(core_hours=64), prediction(100_000, 3.6), 16)

    assert "Some 64,000 iterations" in str(it.value)


@given(
    iterations=st.integers(1, 10**7),
    seconds=st.floats(1e-4, 10),
    serial=st.floats(0, 1),
    cores=st.integers(1, 64),
    allowed=st.floats(0.01, 1000),
)
def test_what_is_said_to_fit_does(iterations: int, seconds: float, serial: float, cores: int, allowed: float) -> None:
    limits = JobLimits(core_hours=allowed)
    try:
        check_prediction(limits, prediction(iterations, seconds, serial), cores)
    except LimitExceededError as refused:
        fitting = int(str(refused).split("Some ")[1].split(" ")[0].replace(",", ""))
        assert fitting < iterations
        check_prediction(limits, prediction(fitting, seconds, serial), cores)


def test_what_cannot_be_predicted_is_not_refused() -> None:
    check_prediction(JobLimits(core_hours=0.001), Prediction(), 16)
