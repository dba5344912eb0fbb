"""Permutations that are interrupted, or shared by several tasks, give the maps of an uninterrupted run, bit for bit."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from compose_runner.analysis.compute import prediction
from compose_runner.analysis.compute.checkpoints import CHECKPOINTS, INPUTS, CheckpointDirectory
from compose_runner.analysis.compute.engine import foci_permutations
from compose_runner.analysis.compute.engine.draws import FociDraws
from compose_runner.analysis.compute.monte_carlo import MonteCarloOptions
from compose_runner.analysis.job import run_job
from compose_runner.analysis.shard import run_shard
from compose_runner.analysis.write.result_directory import STATE
from compose_runner.errors import MOST_SHARDS, ShardingRequested
from compose_runner.progress import Progress, ProgressRecord, Stage
from tests.support import synthetic

if TYPE_CHECKING:
    from pathlib import Path

N_ITERS = 22
FWE: dict[str, Any] = {"corrector": "FWECorrector", "corrector_args": {"method": "montecarlo", "n_iters": str(N_ITERS)}}
SPECIFICATIONS = {
    # both of its runs are shared: the null in the fit, then the correction
    "ALE": synthetic.specification("ALE", {"null_method": "montecarlo", "n_iters": 10}, **FWE),
    "MKDAChi2": synthetic.two_groups("MKDAChi2", **FWE),
}


def _bundle(folder: Path, specification: dict[str, Any], seed: int = 0) -> Path:
    studyset = synthetic.random_studyset(8, foci_per_analysis=5, seed=seed)
    documents = {
        "studyset": studyset,
        "annotation": synthetic.annotated(
            studyset, lambda study, _: "MKDAChi2" not in str(specification) or study % 2 == 0
        ),
        "specification": specification,
    }
    path = folder / "bundle.json"
    path.write_text(json.dumps(documents), encoding="utf-8")
    return path


def _checksums(result_dir: Path) -> dict[str, str]:
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(result_dir.glob("*.nii.gz"))}
    assert found
    return found


@pytest.fixture(scope="module", params=sorted(SPECIFICATIONS))
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Run each specification in one piece on one core."""
    folder = tmp_path_factory.mktemp("whole")
    bundle = _bundle(folder, SPECIFICATIONS[request.param])
    run_job("whole", bundle=bundle, result_dir=folder / "results", n_cores=1, report=False)
    return bundle, _checksums(folder / "results")


class _Interruption:
    """A listener that interrupts the run once so many permutations of a stage are done."""

    def __init__(self, after: int) -> None:
        self.after = after
        self.records: list[ProgressRecord] = []

    def __call__(self, record: ProgressRecord) -> None:
        self.records.append(record)
        if record.stage is Stage.CORRECT and record.completed >= self.after:
            raise KeyboardInterrupt


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw five permutations at a time, so that there is something to keep between them."""
    monkeypatch.setattr(foci_permutations, "FociDraws", partial(FociDraws, block_bytes=5 * 8 * 80))


def test_a_job_spread_over_four_tasks_gives_the_same_maps(whole: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    bundle, expected = whole
    backend = CheckpointDirectory(tmp_path / "kept")
    options: dict[str, Any] = {"backend": backend, "most_shards": 4, "threshold_seconds": 0.0}
    rounds = 0
    shards = 1
    while True:
        monte_carlo = MonteCarloOptions(**options, continues=rounds > 0, n_shards=shards)
        records: list[ProgressRecord] = []
        results = tmp_path / "results"
        try:
            outcome = run_job(
                "spread",
                bundle=bundle,
                result_dir=results,
                n_cores=2,
                report=False,
                monte_carlo=monte_carlo,
                progress=Progress(records.append),
            )
            break
        except ShardingRequested as requested:
            rounds, shards = rounds + 1, requested.n_shards
            assert (records[-1].shards, records[-1].completed) == (4, 0)
            assert not list(results.glob("*.nii.gz"))
        # in any order; the inputs are those that the first task kept
        for shard in reversed(range(shards)):
            run_shard(
                None,
                result_dir=tmp_path / f"shard-{shard}",
                n_cores=1 + shard % 2,
                monte_carlo=MonteCarloOptions(backend=backend, continues=True, n_shards=shards, shard=shard),
            )
            assert [path for path in (tmp_path / f"shard-{shard}").iterdir() if path.is_file()] == []

    assert rounds == len(outcome.metadata["prediction"]["runs"])
    assert outcome.metadata["prediction"]["shards"] == 4
    assert _checksums(results) == expected


def test_an_interrupted_run_goes_on_and_gives_the_same_maps(
    whole: tuple[Path, dict[str, str]], tmp_path: Path, small_blocks: None
) -> None:
    bundle, expected = whole
    monte_carlo = MonteCarloOptions(n_shards=3, checkpoint_seconds=0.0)
    run = partial(run_job, "again", bundle=bundle, result_dir=tmp_path, n_cores=2, report=False)
    interruption = _Interruption(after=12)

    with pytest.raises(KeyboardInterrupt):
        run(monte_carlo=monte_carlo, progress=Progress(interruption))
    kept = list((tmp_path / CHECKPOINTS).rglob("*.npz"))
    assert kept
    assert {path.name for path in tmp_path.iterdir()} == {STATE, "bundle.json.gz", "publish.json"}

    records: list[ProgressRecord] = []
    run(monte_carlo=monte_carlo, progress=Progress(records.append))
    computed = [record.completed for record in records if record.stage is Stage.CORRECT and record.completed]
    assert computed[0] > 5
    assert _checksums(tmp_path) == expected
    assert not (tmp_path / CHECKPOINTS).exists()


@pytest.mark.parametrize("change", ["seed", "inputs", "specification", "versions"])
def test_a_run_of_anything_else_does_not_go_on_from_it(
    tmp_path: Path, small_blocks: None, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    specification = synthetic.specification("MKDADensity", **FWE)
    backend = CheckpointDirectory(tmp_path / "kept")
    monte_carlo = MonteCarloOptions(backend=backend, checkpoint_seconds=0.0)
    results = tmp_path / "results"
    bundle = _bundle(tmp_path, specification)
    with pytest.raises(KeyboardInterrupt):
        run_job("one", bundle=bundle, result_dir=results, monte_carlo=monte_carlo, progress=Progress(_Interruption(12)))
    assert list(backend.path.rglob("*.npz"))

    if change == "inputs":
        bundle = _bundle(tmp_path, specification, seed=1)
    elif change == "specification":
        bundle = _bundle(tmp_path, synthetic.specification("MKDADensity", {"kernel__r": 8}, **FWE))
    elif change == "versions":
        monkeypatch.setattr("compose_runner.analysis.compute.checkpoints.versions", lambda: {"nimare": "another"})
    seed = 7 if change == "seed" else 42
    other = _Interruption(after=1)
    with pytest.raises(KeyboardInterrupt):
        run_job(
            "other", bundle=bundle, result_dir=results, seed=seed, monte_carlo=monte_carlo, progress=Progress(other)
        )
    assert other.records[-1].completed <= 5


def test_a_shard_that_is_interrupted_goes_on_with_what_it_had(tmp_path: Path, small_blocks: None) -> None:
    bundle = _bundle(tmp_path, synthetic.specification("MKDADensity", **FWE))
    backend = CheckpointDirectory(tmp_path / "kept")
    share = MonteCarloOptions(backend=backend, n_shards=2, shard=1, checkpoint_seconds=0.0)
    compute = partial(run_shard, "shard", bundle=bundle, result_dir=tmp_path / "work", monte_carlo=share)
    with pytest.raises(KeyboardInterrupt):
        compute(progress=Progress(_Interruption(after=6)))

    records: list[ProgressRecord] = []
    compute(progress=Progress(records.append))
    computed = [record for record in records if record.stage is Stage.CORRECT and record.completed]
    assert computed[0].completed > 5
    assert computed[-1].completed == computed[-1].total == N_ITERS // 2


def test_a_shard_of_a_run_that_is_complete_has_nothing_to_do(tmp_path: Path) -> None:
    bundle = _bundle(tmp_path, synthetic.specification("MKDADensity", **FWE))
    backend = CheckpointDirectory(tmp_path / "kept")
    for shard in (0, 1, 1):
        run_shard(
            "shard",
            bundle=bundle,
            result_dir=tmp_path / "work",
            monte_carlo=MonteCarloOptions(backend=backend, n_shards=2, shard=shard),
        )
    assert [path.name for path in (tmp_path / "work").iterdir()] == [STATE]


def test_later_tasks_compute_from_the_inputs_that_the_first_one_kept(tmp_path: Path) -> None:
    bundle = _bundle(tmp_path, synthetic.specification("MKDADensity", **FWE))
    backend = CheckpointDirectory(tmp_path / "kept")
    with pytest.raises(ShardingRequested):
        run_job(
            "first",
            bundle=bundle,
            result_dir=tmp_path / "results",
            monte_carlo=MonteCarloOptions(backend=backend, most_shards=2, threshold_seconds=0.0),
        )
    assert (backend.path / INPUTS).exists()
    # what Compose has by now is something else
    changed = _bundle(tmp_path, synthetic.specification("MKDADensity"), seed=1)
    outcome = run_job(
        "first",
        bundle=changed,
        result_dir=tmp_path / "results",
        report=False,
        monte_carlo=MonteCarloOptions(backend=backend, continues=True),
    )
    assert outcome.metadata["specification"]["corrector"]["type"] == "FWECorrector"


def test_a_run_below_the_threshold_is_not_spread_and_its_time_is_told_before_it_begins(tmp_path: Path) -> None:
    bundle = _bundle(tmp_path, synthetic.specification("MKDADensity", **FWE))
    records: list[ProgressRecord] = []
    outcome = run_job(
        "short",
        bundle=bundle,
        result_dir=tmp_path / "results",
        n_cores=1,
        report=False,
        monte_carlo=MonteCarloOptions(most_shards=16, threshold_seconds=900.0),
        progress=Progress(records.append),
    )
    predicted = outcome.metadata["prediction"]
    assert predicted["shards"] == 1
    assert 0 < predicted["seconds"] < 900
    fitting = next(record for record in records if record.stage is Stage.FIT)
    assert fitting.seconds_left == pytest.approx(predicted["seconds"], abs=1e-3)
    assert [record.shards for record in records if record.shards] == []


def test_what_our_kernels_do_not_compute_is_never_spread(tmp_path: Path) -> None:
    bundle = _bundle(tmp_path, synthetic.specification("ALE", **FWE))
    monte_carlo = MonteCarloOptions(most_shards=16, threshold_seconds=0.0)
    run_job(
        "own",
        n_cores=1,
        bundle=bundle,
        result_dir=tmp_path / "r",
        report=False,
        engine="nimare",
        monte_carlo=monte_carlo,
    )
    assert list((tmp_path / "r").glob("*.nii.gz"))


def test_the_exit_code_tells_how_many_tasks_are_wanted_and_is_no_other_code() -> None:
    codes = {ShardingRequested(n_shards, 1.0).exit_code for n_shards in range(2, MOST_SHARDS + 1)}
    assert codes == set(range(102, 125))
    with pytest.raises(ValueError, match="2 to 24"):
        ShardingRequested(MOST_SHARDS + 1, 1.0)


def test_predictions_of_the_synthetic_jobs_are_not_zero() -> None:
    # the tests above share every run whose prediction is above 0
    assert all(cost.seconds(80, 8) > 0 for cost in prediction.costs().values())
