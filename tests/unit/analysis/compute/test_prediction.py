"""How long permutations are predicted to take, and over how many tasks share them."""

from __future__ import annotations

from typing import Any

import pytest

from compose_runner.analysis.compute.prediction import Cost, calibration, costs, predict, shards_for
from compose_runner.progress import Stage
from compose_runner.specification.parsing import parse_specification
from tests.support import synthetic

COUNTS = [{"studies": 50, "foci": 1000}]
MONTE_CARLO: dict[str, Any] = {
    "corrector": "FWECorrector",
    "corrector_args": {"method": "montecarlo", "n_iters": "200"},
}


def runs(document: dict[str, Any], **options: Any) -> list[tuple[str, int]]:
    found = predict(parse_specification(document), COUNTS, **options).runs
    return [(run.stage.value, run.iterations) for run in found]


def test_a_correction_by_permutations_is_one_run() -> None:
    assert runs(synthetic.specification("ALE", **MONTE_CARLO)) == [("correct", 200)]


def test_iterations_that_nobody_gave_are_nimares_own() -> None:
    document = synthetic.specification("ALE", corrector="FWECorrector", corrector_args={"method": "montecarlo"})
    assert runs(document) == [("correct", 5000)]
    document = synthetic.two_groups("MKDAChi2", corrector="FWECorrector", corrector_args={"method": "montecarlo"})
    assert runs(document) == [("correct", 1000)]


def test_a_null_by_permutations_is_a_run_of_the_fit() -> None:
    document = synthetic.specification("KDA", {"null_method": "montecarlo", "n_iters": 300}, **MONTE_CARLO)
    assert runs(document) == [("fit", 300), ("correct", 200)]


def test_a_correction_that_uses_the_null_of_the_fit_costs_nothing() -> None:
    arguments = {"method": "montecarlo", "n_iters": 300, "vfwe_only": True}
    document = synthetic.specification(
        "ALE", {"null_method": "montecarlo", "n_iters": 300}, corrector="FWECorrector", corrector_args=arguments
    )
    assert runs(document) == [("fit", 300)]
    document = synthetic.two_groups(
        "ALESubtraction", {"n_iters": 300}, corrector="FWECorrector", corrector_args=arguments
    )
    assert runs(document) == [("fit", 300)]


def test_what_is_not_permuted_takes_no_time() -> None:
    prediction = predict(parse_specification(synthetic.specification("ALE")), COUNTS)
    assert (prediction.runs, prediction.seconds(1), prediction.of_stage(Stage.CORRECT)) == ((), 0, None)


@pytest.mark.parametrize(("estimator", "engine"), [("ALE", "nimare"), ("SCALE", "auto")])
def test_nimares_own_steps_are_not_predicted(estimator: str, engine: str) -> None:
    arguments = {"xyz": [[0, 0, 0]]} if estimator == "SCALE" else {}
    corrector = MONTE_CARLO if estimator == "ALE" else {}
    assert runs(synthetic.specification(estimator, arguments, **corrector), engine=engine) == []


def test_time_grows_with_foci_voxels_and_iterations_and_shrinks_with_cores() -> None:
    document = parse_specification(synthetic.specification("ALE", **MONTE_CARLO))

    def seconds(foci: int = 1000, cores: int = 1, **options: Any) -> float:
        return predict(document, [{"studies": 50, "foci": foci}], **options).seconds(cores)

    assert seconds(foci=10_000) > 2 * seconds()
    assert seconds(voxels=2_000_000) > seconds()
    assert seconds(cores=2) < seconds()
    assert seconds(cores=16) > seconds() / 16
    (run,) = predict(document, COUNTS).runs
    assert run.seconds(1, 400) == pytest.approx(2 * run.seconds(1))


def test_what_is_drawn_is_not_shared_by_cores() -> None:
    cost = Cost(volume=1.0, focus=0.1, study=0.01, pair=0.001, serial=0.5)
    assert cost.seconds(foci=10, studies=5) == pytest.approx(1.0 + 1.0 + 0.05 + 0.02)


def test_every_kernel_is_calibrated_on_a_machine_that_is_named() -> None:
    names = {f"{name}-{kind}" for name in ("ALE", "MKDADensity", "KDA", "ALESubtraction") for kind in ("fwe", "null")}
    assert set(costs()) == {*names, "MKDAChi2-fwe"}
    assert calibration()["machine"]["processor"]
    for cost in costs().values():
        assert 1e-6 < cost.seconds(1000, 50) < 0.2
        assert 0 <= cost.serial < 0.2


def test_metadata_tells_the_prediction_its_cores_and_the_machine_behind_it() -> None:
    described = predict(parse_specification(synthetic.specification("ALE", **MONTE_CARLO)), COUNTS).describe(2)
    assert described["cores"] == 2
    assert described["seconds"] == described["runs"][0]["seconds"] > 0
    assert described["runs"][0]["iterations"] == 200
    assert described["calibrated_on"] == calibration()["machine"]


@pytest.mark.parametrize(
    ("seconds", "threshold", "most", "shards"),
    [
        (899, 900, 16, 1),
        (900, 900, 16, 1),
        (901, 900, 16, 2),
        (3601, 900, 16, 5),
        (1e6, 900, 16, 16),
        (1, 0, 4, 4),
        (1e6, float("inf"), 16, 1),
        (1e6, 900, 1, 1),
    ],
)
def test_a_run_is_spread_so_that_each_task_stays_below_the_threshold(
    seconds: float, threshold: float, most: int, shards: int
) -> None:
    assert shards_for(seconds, threshold, most) == shards
