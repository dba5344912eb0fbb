"""Measure what one permutation costs, and write the table that predictions are made from.

``python -m benchmarks.calibrate [--studies N ...] [--foci-per-study N ...] [--check]`` writes
``compose_runner/analysis/compute/prediction.json``. Processor time of one core is measured, so that other work on the
machine shows little. The costs of the parts (volume, foci, studies, pairs) are the non-negative least
squares fit of the relative error.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import platform
import statistics
import sys
import time
import warnings
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from nimare.meta.cbma.base import _histogram_bin_edges
from scipy.optimize import nnls

from benchmarks.kernels import THRESHOLD, studyset
from compose_runner.analysis.compute import prediction
from compose_runner.analysis.compute.engine.foci_estimators import prepare_foci_permutations
from compose_runner.analysis.compute.engine.histogram_permutations import CountNull, UnionNull
from compose_runner.analysis.compute.engine.registry import ESTIMATORS
from compose_runner.analysis.compute.engine.runs import run_permutations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nimare.nimads import Studyset

TABLE = Path(prediction.__file__).with_suffix(".json")
STUDIES = (10, 50, 300)
FOCI_PER_STUDY = (4, 20, 60)
SECONDS = 0.6


def one_group(studies: Studyset) -> Iterator[tuple[str, Any]]:
    """Yield the runs of the estimators of one group: a function of the iterations that gives permutations."""
    for name in ("ALE", "MKDADensity", "KDA"):
        arguments = {"kernel__fwhm": 8} if name == "ALE" else {"kernel__r": 10}
        estimator: Any = ESTIMATORS[name](random_state=1, **arguments)
        estimator.fit(studies)
        threshold = float(estimator._p_to_summarystat(THRESHOLD))
        edges = _histogram_bin_edges(estimator.null_distributions_["histogram_bins"])

        def fwe(n_iters: int, estimator: Any = estimator, threshold: float = threshold) -> Any:
            return prepare_foci_permutations(estimator, "correct_fwe_montecarlo", n_iters, threshold)[0]

        def null(n_iters: int, estimator: Any = estimator, edges: Any = edges, name: str = name) -> Any:
            run = prepare_foci_permutations(estimator, "null_montecarlo", n_iters, None)[0]
            return UnionNull(run, edges) if name == "ALE" else CountNull(run, edges)  # type: ignore[arg-type]

        yield f"{name}-fwe", fwe
        yield f"{name}-null", null


def two_groups(first: Studyset, second: Studyset) -> Iterator[tuple[str, Any]]:
    """Yield the runs of the estimators of two groups."""
    from compose_runner.analysis.compute.engine.label_permutations import SubtractionPermutations

    chi2: Any = ESTIMATORS["MKDAChi2"](random_state=1, kernel__r=10)
    chi2.fit(first, second)
    yield "MKDAChi2-fwe", lambda n_iters: chi2._label_permutations(THRESHOLD, n_iters)[0]

    subtraction: Any = ESTIMATORS["ALESubtraction"](random_state=1, kernel__fwhm=8, n_iters=2)
    subtraction.fit(first, second)
    store = subtraction._prepare_pairwise_ma_maps("ma_maps1", "coordinates1", "ma_maps2", "coordinates2")
    observed = store.group1_stat - store.group2_stat

    def permutations(n_iters: int, tails: Any) -> Any:
        orders, seed = subtraction._label_orders("alesubtraction_permutations", store.n_group1, store.n_total)
        groups = (store.group1, store.group2)
        return SubtractionPermutations(orders, *groups, n_iters, seed, observed=tails)

    yield "ALESubtraction-null", lambda n_iters: permutations(n_iters, observed)
    yield "ALESubtraction-fwe", lambda n_iters: permutations(n_iters, None)


def measure_seconds(make: Any) -> tuple[float, float]:
    """Return processor seconds of one permutation on one core, and what share of them is drawing."""
    run_permutations(make(2), 1)
    count, spent = 4, 0.0
    while spent < SECONDS / 4:
        count *= 4 if spent < SECONDS / 40 else 2
        run = make(count)
        started = time.process_time()
        run_permutations(run, 1)
        spent = time.process_time() - started
    count = max(1, int(count * SECONDS / spent))
    run = make(count)
    started = time.process_time()
    run_permutations(run, 1)
    spent = time.process_time() - started
    run = make(count)
    started = time.process_time()
    for _ in run.blocks(0, count):
        pass
    drawing = time.process_time() - started
    return spent / count, min(1.0, drawing / spent)


def fitted(points: list[tuple[int, int, float, float]]) -> dict[str, float]:
    """Fit the costs of the parts to ``(foci, studies, seconds, share of drawing)``."""
    table = np.array([[1.0, foci, studies, foci * foci / studies] for foci, studies, _, _ in points])
    seconds = np.array([point[2] for point in points])
    parts, _ = nnls(table / seconds[:, None], np.ones(len(points)))
    names = ("volume", "focus", "study", "pair")
    costs = {name: float(f"{part:.4g}") for name, part in zip(names, parts, strict=True)}
    return {**costs, "serial": round(statistics.median(point[3] for point in points), 4)}


def machine() -> dict[str, Any]:
    """Describe this machine."""
    model = ""
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return {
        "processor": model or platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "date": date.today().isoformat(),
    }


def main() -> None:
    """Measure, and write or check the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, nargs="+", default=STUDIES)
    parser.add_argument("--foci-per-study", type=int, nargs="+", default=FOCI_PER_STUDY)
    parser.add_argument("--check", action="store_true", help="compare with the present table, write nothing")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    measured: dict[str, list[tuple[int, int, float, float]]] = {}
    for n_studies in options.studies:
        for each in options.foci_per_study:
            whole = studyset(n_studies, n_studies * each, 0)
            halves = [studyset(n_studies // 2, n_studies // 2 * each, seed) for seed in (1, 2)]
            gc.collect()
            gc.freeze()
            for runs, groups in ((one_group(whole), [whole]), (two_groups(*halves), halves)):
                foci = sum(len(group.coordinates) for group in groups)
                studies = sum(len(group.ids) for group in groups)
                for name, make in runs:
                    seconds, drawing = measure_seconds(make)
                    measured.setdefault(name, []).append((foci, studies, seconds, drawing))
                    print(f"{name:20} {studies:5} studies {foci:6} foci {seconds * 1e3:9.3f} ms", file=sys.stderr)
    made = {name: fitted(points) for name, points in sorted(measured.items())}
    costs = prediction.costs() if options.check else {name: prediction.Cost(**cost) for name, cost in made.items()}
    for name, points in measured.items():
        errors = [costs[name].seconds(foci, studies) / seconds for foci, studies, seconds, _ in points]
        print(f"{name:20} predicted / measured: {min(errors):.2f} to {max(errors):.2f}")
    if not options.check:
        TABLE.write_text(json.dumps({"machine": machine(), "costs": made}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
