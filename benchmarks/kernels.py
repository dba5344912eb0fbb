"""Time one permutation of each estimator on our kernels against NiMARE's own step, in alternating runs.

``python benchmarks/kernels.py [--studies N] [--foci N] [--rounds N] [--json]``. Both steps run on one core with the
same draws; processor time is counted, so that whatever else runs on the machine does not show. The ratio is the median
over rounds, the spread its quartiles. The studies are made from a seed, spread over the whole brain, so that only an
installed compose-runner is needed.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import statistics
import sys
import time
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from nimare.nimads import Studyset
from nimare.utils import _mask_coverage_to_null_ijk, _mask_img_to_bool
from scipy import ndimage
from scipy.stats import chi2

from compose_runner.analysis.compute.engine.foci_estimators import prepare_foci_permutations
from compose_runner.analysis.compute.engine.registry import ESTIMATORS
from compose_runner.analysis.compute.engine.runs import run_permutations

if TYPE_CHECKING:
    from collections.abc import Callable

# Goals of the project for one permutation, NiMARE's time over ours.
GOALS = {"ALE": 10.0, "MKDADensity": 10.0, "KDA": 10.0, "MKDAChi2": 10.0, "ALESubtraction": 3.0}
THRESHOLD = 0.001
MORE = 20


def studyset(n_studies: int, n_foci: int, seed: int) -> Studyset:
    """Make studies with foci all over the brain, in numbers that vary as real ones do."""
    rng = np.random.default_rng(seed)
    counts = np.maximum(rng.multinomial(n_foci, rng.dirichlet(np.full(n_studies, 2.0))), 1)
    studies = []
    for index, count in enumerate(counts):
        xyz = rng.uniform([-60, -90, -35], [60, 60, 65], size=(count, 3)).round(1).tolist()
        analysis = {
            "id": f"{seed}-{index}-1", "name": "", "metadata": {"sample_sizes": [20]}, "images": [], "conditions": [],
            "weights": [], "points": [{"coordinates": point, "space": "MNI", "values": []} for point in xyz],
        }  # fmt: skip
        studies.append(
            {
                "id": f"{seed}-{index}",
                "name": "",
                "authors": "",
                "publication": "",
                "metadata": {},
                "analyses": [analysis],
            }
        )
    return Studyset({"id": str(seed), "name": "", "studies": studies}, target="mni152_2mm")


def foci_steps(name: str, studies: Studyset, n_iters: int) -> tuple[Any, Any]:
    """Return NiMARE's and our way to the maxima of ``n_iters`` permutations of foci."""
    arguments = {"kernel__fwhm": 8} if name == "ALE" else {"kernel__r": 10}
    estimator: Any = ESTIMATORS[name](random_state=1, **arguments)
    estimator.fit(studies)
    threshold = estimator._p_to_summarystat(THRESHOLD)
    run, reason = prepare_foci_permutations(estimator, "correct_fwe_montecarlo", n_iters, float(threshold))
    if run is None:
        raise SystemExit(f"{name}: {reason}")
    null_ijk = _mask_coverage_to_null_ijk(estimator.masker, mask_coverage="brain")
    coordinates = estimator.inputs_["coordinates"]
    rng = estimator._get_rng("correct_fwe_montecarlo")
    draws = null_ijk[rng.choice(len(null_ijk), size=(len(coordinates), n_iters))]
    frame = coordinates.drop(columns=["x", "y", "z"], errors="ignore").copy()
    conn = ndimage.generate_binary_structure(3, 1)
    mask = _mask_img_to_bool(estimator.masker.mask_img)

    shared = {"iter_df": frame, "conn": conn, "voxel_thresh": threshold, "vfwe_only": False, "mask_arr": mask}

    def nimares() -> Any:
        step = estimator._correct_fwe_montecarlo_permutation
        return np.array([step(draws[:, i : i + 1], **shared) for i in range(n_iters)], dtype=float)

    return nimares, lambda: run_permutations(run, 1).rows


def chi2_steps(first: Studyset, second: Studyset, n_iters: int) -> tuple[Any, Any]:
    """Return NiMARE's and our way to the maxima of ``n_iters`` label permutations of MKDAChi2."""
    from nimare.meta.cbma.utils import require_masked_csr
    from scipy import sparse

    estimator: Any = ESTIMATORS["MKDAChi2"](random_state=1, kernel__r=10)
    estimator.fit(first, second)
    run, reason = estimator._label_permutations(THRESHOLD, n_iters)
    if run is None:
        raise SystemExit(f"MKDAChi2: {reason}")
    maps = [
        require_masked_csr(estimator.kernel_transformer.transform(estimator.inputs_[key], estimator.masker, "sparse"))
        for key in ("coordinates1", "coordinates2")
    ]
    seeds = estimator._iteration_seeds(n_iters, stream="chi2_label_permutations")
    shared = {
        "pooled_maps": sparse.vstack(maps, format="csr"),
        "n_selected": maps[0].shape[0],
        "n_unselected": maps[1].shape[0],
        "conn": ndimage.generate_binary_structure(3, 1),
        "voxel_thresh": chi2.isf(THRESHOLD, 1),
    }

    def nimares() -> Any:
        step = estimator._run_label_perm_fwe_permutation
        return np.array([step(i, seed=seeds[i], **shared) for i in range(n_iters)], dtype=float)

    return nimares, lambda: run_permutations(run, 1).rows


def subtraction_steps(first: Studyset, second: Studyset, n_iters: int) -> tuple[Any, Any]:
    """Return NiMARE's and our way to the nulls of ``n_iters`` label permutations of ALESubtraction."""
    ours: Any = ESTIMATORS["ALESubtraction"](random_state=1, kernel__fwhm=8, n_iters=2)
    ours.fit(first, second)
    keys = ("ma_maps1", "coordinates1", "ma_maps2", "coordinates2")
    store = ours._prepare_pairwise_ma_maps(*keys)
    observed = store.group1_stat - store.group2_stat

    def run(estimator_class: Any) -> Any:
        found = estimator_class._run_null_permutations(ours, store, n_iters, 1, diff_ale_values=observed)
        return np.concatenate([found[0], found[1]])

    return lambda: run(ours.nimare_class), lambda: run(type(ours))


def compare(steps: Callable[[int], tuple[Any, Any]], n_iters: int, rounds: int) -> dict[str, Any]:
    """Time both, one after the other, and check that they give the same.

    Ours runs :data:`MORE` times as many permutations: its preparation belongs to a job, not to a permutation.
    """
    nimares, ours = steps(n_iters)
    if not np.array_equal(nimares(), ours()):
        raise SystemExit("the results differ")
    _, ours = steps(MORE * n_iters)
    times = []
    for _ in range(rounds):
        started = time.process_time()
        nimares()
        middle = time.process_time()
        ours()
        seconds = (middle - started, (time.process_time() - middle) / MORE)
        times.append([value / n_iters * 1e3 for value in seconds])
    ratios = [slow / fast for slow, fast in times]
    low, median, high = statistics.quantiles(ratios, n=4) if rounds > 1 else ratios * 3
    slow, fast = (statistics.median(column) for column in zip(*times, strict=True))
    return {"nimare_ms": slow, "ours_ms": fast, "ratio": median, "ratio_quartiles": [low, high]}


def main() -> None:
    """Print one line per estimator."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=52)
    parser.add_argument("--foci", type=int, default=1011)
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    whole = studyset(options.studies, options.foci, 0)
    halves = [studyset(max(options.studies // 2, 1), max(options.foci // 2, 1), seed) for seed in (1, 2)]
    gc.collect()
    gc.freeze()  # otherwise nilearn's collections would be measured, on NiMARE's side only
    steps: dict[str, Callable[[int], tuple[Any, Any]]] = {
        **{name: partial(foci_steps, name, whole) for name in ("ALE", "MKDADensity", "KDA")},
        "MKDAChi2": partial(chi2_steps, *halves),
        "ALESubtraction": partial(subtraction_steps, *halves),
    }
    figures = {}
    for name, step in steps.items():
        figures[name] = made = compare(step, options.iterations, options.rounds) | {"goal": GOALS[name]}
        low, high = made["ratio_quartiles"]
        print(
            f"{name:15} NiMARE {made['nimare_ms']:7.2f} ms, ours {made['ours_ms']:6.2f} ms per permutation: "
            f"{made['ratio']:5.1f} times ({low:.1f} to {high:.1f}), goal {GOALS[name]:.0f}",
            file=sys.stderr if options.json else sys.stdout,
        )
    if options.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
