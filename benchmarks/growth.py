"""How a Monte Carlo run grows with foci, studies, permutations and cores: time, and peak memory.

``python -m benchmarks.growth ESTIMATOR STUDIES FOCI ITERATIONS CORES`` measures one point in a process of its own and
prints JSON; :func:`measure` runs all points. The studies are made from a seed, with foci all over the brain.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.paths import REPOSITORY
from benchmarks.processes import memory_mb
from compose_runner.analysis.compute.prediction import costs

if TYPE_CHECKING:
    from collections.abc import Callable

FOCI_PER_STUDY = 20
FOCI = (100, 1_000, 10_000, 30_000, 100_000)
STUDIES = (10, 100, 1_000)
PERMUTATIONS = (100, 1_000, 10_000)
# Permutations of points that show how one permutation grows: as many as fit, and enough to divide by.
SECONDS = 2.0
FEWEST = 4
MOST = 2000
LIMIT_SECONDS = 420.0
BUDGET_SECONDS = 720.0


@dataclass(frozen=True, slots=True)
class Point:
    """One run.

    Parameters
    ----------
    series : str
        What grows: ``foci``, ``studies``, ``permutations`` or ``cores``.
    estimator : str
        NiMARE's class.
    studies, foci : int
        Size of the studyset.
    permutations : int
        0 for as many as take a few seconds.
    cores : int
        Threads.
    """

    series: str
    estimator: str
    studies: int
    foci: int
    permutations: int
    cores: int

    @property
    def size(self) -> int:
        """The quantity that grows in this point's series."""
        size: int = getattr(self, self.series)
        return size


def points(available_cores: int, *, quick: bool = False) -> list[Point]:
    """List the points to measure, small ones first, so that a bounded time leaves out the largest alone.

    Parameters
    ----------
    available_cores : int
        Cores of this machine.
    quick : bool
        Only the small ones.
    """
    chosen = []
    counts = sorted({1, 2, 4, available_cores} & set(range(1, available_cores + 1)))
    for estimator in ("ALE", "MKDADensity"):
        chosen += [Point("foci", estimator, foci // FOCI_PER_STUDY, foci, 0, 1) for foci in FOCI]
        chosen += [Point("studies", estimator, studies, 3_000, 0, 1) for studies in STUDIES]
        chosen += [Point("permutations", estimator, 50, 1_000, count, available_cores) for count in PERMUTATIONS]
        chosen += [Point("cores", estimator, 50, 1_000, 1_000, cores) for cores in counts]
    if quick:
        return [point for point in chosen if point.foci <= 1_000 and point.permutations <= 1_000]
    return sorted(chosen, key=lambda point: (point.foci, point.permutations))


def measure(say: Callable[[str], None], *, quick: bool = False) -> list[dict[str, Any]]:
    """Measure all points that fit into :data:`BUDGET_SECONDS`.

    Parameters
    ----------
    say : callable
        Called for every point.
    quick : bool
        Only the small ones.

    Returns
    -------
    list of dict
        Each point with ``fit_seconds``, ``run_seconds``, ``permutation_ms``, ``cpu_ms``, ``memory_mb``, and
        ``predicted_ms``: what :mod:`compose_runner.analysis.compute.prediction` says of one permutation on one core.
    """
    started = time.perf_counter()
    figures = []
    for point in points(os.cpu_count() or 1, quick=quick):
        left = BUDGET_SECONDS - (time.perf_counter() - started)
        if left <= 0:
            say(f"  {point.estimator}, {point.foci:,} foci: left out, the time for this part is used up")
            continue
        found = _in_own_process(point, min(left, LIMIT_SECONDS))
        if found is None:
            say(f"  {point.estimator}, {point.foci:,} foci: left out, it takes too long")
            continue
        size = f"{point.studies:,} studies, {point.foci:,} foci, {found['permutations']:,} permutations"
        needed = f"{found['permutation_ms']:.2f} ms each, {found['memory_mb'] or 0:.0f} MB"
        say(f"  {point.estimator}, {size}, {point.cores} cores: {needed}")
        predicted = costs()[f"{point.estimator}-fwe"].seconds(point.foci, point.studies) * 1000
        figures.append({**asdict(point), **found, "predicted_ms": predicted})
    return figures


def _in_own_process(point: Point, limit: float) -> dict[str, Any] | None:
    arguments = [point.estimator, *map(str, (point.studies, point.foci, point.permutations, point.cores))]
    command = [sys.executable, "-m", "benchmarks.growth", *arguments]
    try:
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return None
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"{' '.join(command)}: {error.stderr[-2000:]}") from error
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def run_point(name: str, n_studies: int, n_foci: int, n_iters: int, n_cores: int) -> dict[str, Any]:
    """Fit, and run permutations of foci with maxima and cluster sizes, as an FWE correction does."""
    import logging
    import warnings

    from benchmarks.kernels import THRESHOLD, studyset
    from compose_runner.analysis.compute.engine.foci_estimators import prepare_foci_permutations
    from compose_runner.analysis.compute.engine.registry import ESTIMATORS
    from compose_runner.analysis.compute.engine.runs import run_permutations

    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    estimator: Any = ESTIMATORS[name](random_state=1, **({"kernel__fwhm": 8} if name == "ALE" else {"kernel__r": 10}))
    studies = studyset(n_studies, n_foci, 0)
    started = time.perf_counter()
    estimator.fit(studies)
    fit_seconds = time.perf_counter() - started
    threshold = float(estimator._p_to_summarystat(THRESHOLD))

    def run(count: int) -> tuple[float, float]:
        permutations, reason = prepare_foci_permutations(estimator, "correct_fwe_montecarlo", count, threshold)
        if permutations is None:
            raise SystemExit(f"{name}: {reason}")
        began, worked = time.perf_counter(), time.process_time()
        run_permutations(permutations, n_cores)
        return time.perf_counter() - began, time.process_time() - worked

    run(n_cores)  # loads the kernels
    n_iters = n_iters or int(max(FEWEST, min(MOST, SECONDS * FEWEST / run(FEWEST)[0])))
    seconds, worked = run(n_iters)
    return {
        "permutations": n_iters,
        "fit_seconds": fit_seconds,
        "run_seconds": seconds,
        "permutation_ms": seconds / n_iters * 1000,
        "cpu_ms": worked / n_iters * 1000,
        "memory_mb": memory_mb("self"),
    }


if __name__ == "__main__":
    print(json.dumps(run_point(sys.argv[1], *map(int, sys.argv[2:6]))))
