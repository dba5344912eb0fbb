"""How long a Monte Carlo run will take, before it begins; and how many tasks should share it.

One permutation costs a fixed part (the passes over the whole volume, which grow with its voxels), a part for each
focus, for each study, and for each two foci of one study, which may meet. ``python -m benchmarks.calibrate`` measures
these on one core and writes them, with the machine, into ``prediction.json``. A part of the work (drawing) is not
shared by cores. Kernels of other than the default widths cost more or less than predicted; what NiMARE's own steps
compute is not predicted.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from compose_runner.progress import Stage
from compose_runner.specification.estimators import MONTE_CARLO
from compose_runner.specification.signatures import signatures

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from compose_runner.specification.parsing import Specification

# voxels of NiMARE's own brain mask in 2 mm
BRAIN_VOXELS = 228_483
_NULL = "null"
_FWE = "fwe"


@dataclass(frozen=True, slots=True)
class Cost:
    """What one permutation costs on one core.

    Parameters
    ----------
    volume : float
        Seconds for passes over a whole volume of :data:`BRAIN_VOXELS` voxels.
    focus, study : float
        Seconds for each focus and for each study.
    pair : float
        Seconds for each focus of all studies and each focus of a mean study.
    serial : float
        Share of these that more cores do not make faster, 0 to 1.
    """

    volume: float
    focus: float
    study: float
    pair: float
    serial: float

    def seconds(self, foci: int, studies: int, voxels: int = BRAIN_VOXELS) -> float:
        """Predict one permutation on one core, in seconds."""
        pairs = foci * foci / max(studies, 1)
        return self.volume * voxels / BRAIN_VOXELS + self.focus * foci + self.study * studies + self.pair * pairs


@dataclass(frozen=True, slots=True)
class PredictedRun:
    """One Monte Carlo run of a job.

    Parameters
    ----------
    stage : Stage
        In which stage it runs.
    iterations : int
        Permutations.
    seconds_per_permutation : float
        On one core.
    serial : float
        Share that more cores do not make faster.
    """

    stage: Stage
    iterations: int
    seconds_per_permutation: float
    serial: float

    def seconds(self, cores: int, iterations: int | None = None) -> float:
        """Predict the run, or so many of its permutations, on so many cores."""
        count = self.iterations if iterations is None else iterations
        return count * self.seconds_per_permutation * (self.serial + (1 - self.serial) / max(cores, 1))


@dataclass(frozen=True, slots=True)
class Prediction:
    """All Monte Carlo runs of a job, in their order; none where nothing is permuted or nothing can be predicted.

    Parameters
    ----------
    runs : tuple of PredictedRun
        In the order in which they are run.
    """

    runs: tuple[PredictedRun, ...] = ()

    def seconds(self, cores: int) -> float:
        """Predict all runs together on so many cores."""
        return sum(run.seconds(cores) for run in self.runs)

    @property
    def iterations(self) -> int:
        """Permutations of all runs together."""
        return sum(run.iterations for run in self.runs)

    def of_stage(self, stage: Stage) -> PredictedRun | None:
        """The run of a stage."""
        return next((run for run in self.runs if run.stage is stage), None)

    def describe(self, cores: int) -> dict[str, Any]:
        """What ``metadata.json`` says of it."""
        return {
            "seconds": round(self.seconds(cores), 3),
            "cores": cores,
            "runs": [
                {
                    "stage": run.stage.value,
                    "iterations": run.iterations,
                    "seconds_per_permutation_and_core": round(run.seconds_per_permutation, 7),
                    "seconds": round(run.seconds(cores), 3),
                }
                for run in self.runs
            ],
            "calibrated_on": calibration()["machine"],
        }


def predict(
    specification: Specification,
    counts: Iterable[Mapping[str, int]],
    *,
    voxels: int = BRAIN_VOXELS,
    engine: str = "auto",
) -> Prediction:
    """Predict the Monte Carlo runs of a job.

    Parameters
    ----------
    specification : Specification
        Estimator, corrector, iterations.
    counts : iterable of mapping
        ``foci`` and ``studies`` of each group.
    voxels : int
        Voxels of the analysis mask.
    engine : {"auto", "nimare"}
        Whose Monte Carlo code computes; NiMARE's own is not predicted.
    """
    name = specification.estimator.name
    if engine != "auto" or name not in signatures().estimators:
        return Prediction()
    groups = list(counts)
    foci, studies = (sum(group[what] for group in groups) for what in ("foci", "studies"))
    runs = []
    for stage, kind, iterations in _runs(specification):
        cost = costs().get(f"{name}-{kind}")
        if cost is not None:
            runs.append(PredictedRun(stage, iterations, cost.seconds(foci, studies, voxels), cost.serial))
    return Prediction(tuple(runs))


def shards_for(seconds: float, threshold_seconds: float, most: int) -> int:
    """How many tasks should share a run: 1 up to the threshold, then so many that each stays below it.

    Parameters
    ----------
    seconds : float
        Predicted time on one task.
    threshold_seconds : float
        Longest time that one task should take.
    most : int
        Upper bound.
    """
    if seconds <= threshold_seconds:
        return 1
    return min(most, max(2, math.ceil(seconds / threshold_seconds) if threshold_seconds > 0 else most))


def _runs(specification: Specification) -> list[tuple[Stage, str, int]]:
    """Stage, kind and iterations of every run that the specification asks for."""
    estimator, corrector = specification.estimator, specification.corrector
    signature = signatures().estimators[estimator.name]
    own = estimator.args.get("n_iters")
    if own is None and "n_iters" in signature.parameters:
        own = signature.parameters["n_iters"].default
    runs = []
    null_method = estimator.args.get("null_method")
    if own and (null_method == MONTE_CARLO or estimator.name == "ALESubtraction"):
        runs.append((Stage.FIT, _NULL, int(own)))
    if corrector is not None and corrector.method == MONTE_CARLO:
        parameters = signature.corrections.get("fwe", {}).get(MONTE_CARLO, {})
        wanted = {key: corrector.args.get(key, parameter.default) for key, parameter in parameters.items()}
        iterations = wanted.get("n_iters") or own
        if iterations and not _is_there_already(specification, wanted):
            runs.append((Stage.CORRECT, _FWE, int(iterations)))
    return runs


def _is_there_already(specification: Specification, wanted: Mapping[str, Any]) -> bool:
    """Whether the fit has made the null that the correction needs."""
    estimator = specification.estimator
    parameters = signatures().estimators[estimator.name].parameters
    if estimator.name == "ALESubtraction":
        names = ("n_iters", "voxel_thresh", "vfwe_only")
        own = {name: estimator.args.get(name, parameters[name].default) for name in names}
        return all(wanted.get(name) in (own[name], None) for name in names)
    return bool(wanted.get("vfwe_only")) and estimator.args.get("null_method") == MONTE_CARLO


@cache
def calibration() -> dict[str, Any]:
    """Read what ``python -m benchmarks.calibrate`` measured, with the machine it was measured on."""
    text = files("compose_runner.analysis.compute").joinpath("prediction.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


@cache
def costs() -> dict[str, Cost]:
    """Costs of a permutation by estimator and kind, such as ``ALE-fwe``."""
    return {name: Cost(**cost) for name, cost in calibration()["costs"].items()}
