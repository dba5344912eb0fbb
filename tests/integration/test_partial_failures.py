"""A figure, a table, a text or a diagnostic that fails costs itself; everything else of the run is written."""

from __future__ import annotations

import gc
import json
import logging
import pickle
import re
import shutil
from typing import TYPE_CHECKING, Any

import nimare.diagnostics
import nimare.reports.figures
import numpy as np
import pytest
from nimare.diagnostics import FocusCounter, Jackknife

from compose_runner.analysis import stages
from compose_runner.analysis.job import run_job
from compose_runner.analysis.write import report
from tests.support import synthetic

if TYPE_CHECKING:
    from pathlib import Path

gc.freeze()  # nilearn collects garbage at every load, which is slow with NiMARE's modules around

pytestmark = [pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"), pytest.mark.slow]

REASON = "nobody knows how"
KINDS = ("coordinates", "images")
FIGURES = {
    "coordinates": (
        "plot_static_brain",
        "plot_interactive_brain",
        "plot_clusters",
        "plot_heatmap",
        "plot_coordinates",
        "plot_mask",
    ),
    "images": ("_plot_dof_map", "_plot_true_voxels", "_plot_ridgeplot", "_plot_sumstats", "plot_heatmap", "plot_mask"),
}


def _fail(*_: object, **__: object) -> None:
    raise ValueError(f"{REASON}\nand so on")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bundles")
    studyset = synthetic.random_studyset(12, analyses_per_study=1, foci_per_analysis=6)
    few = synthetic.with_maps(synthetic.random_studyset(4, analyses_per_study=1, foci_per_analysis=1), folder / "maps")
    written = {}
    for kind, document, specification in (
        ("coordinates", studyset, synthetic.specification("ALE")),
        ("images", few, synthetic.specification("Stouffers", kind="IBMA")),
    ):
        written[kind] = folder / f"{kind}.json"
        documents = {
            "studyset": document,
            "annotation": synthetic.annotated(document),
            "specification": specification,
        }
        written[kind].write_text(json.dumps(documents), encoding="utf-8")
    return written


def _run(bundle: Path, result_dir: Path, *, drawn: bool = True) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Run a job; what it wrote but for its inputs, and its metadata."""
    run_job("partial", bundle=bundle, result_dir=result_dir, n_cores=2, report=drawn)
    names = (path.relative_to(result_dir).as_posix() for path in result_dir.rglob("*") if path.is_file())
    files = {name: (result_dir / name).read_bytes() for name in names if not name.startswith("images/")}
    return files, json.loads(files.pop("metadata.json"))


@pytest.fixture(scope="module")
def whole(bundles: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Any:
    written = {}
    for kind in KINDS:
        written[kind], metadata = _run(bundles[kind], tmp_path_factory.mktemp(kind))
        assert metadata["problems"] == []
    return written.__getitem__


def _same(files: dict[str, bytes], whole: dict[str, bytes]) -> set[str]:
    """The names of files that are missing; maps, tables and texts that are there have to be the same."""
    assert set(files) <= set(whole)
    for name, content in files.items():
        if name.endswith((".tsv", ".txt", ".bib", ".nii.gz")):
            assert content == whole[name], name
    return set(whole) - set(files)


# each fails beside others that do not, in as few runs as that takes
@pytest.mark.parametrize(
    ("kind", "functions"), [(kind, FIGURES[kind][half::2]) for kind in KINDS for half in (0, 1)], ids=str
)
def test_a_figure_that_cannot_be_drawn_costs_itself(
    kind: str,
    functions: tuple[str, ...],
    bundles: dict[str, Path],
    whole: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for function in functions:
        monkeypatch.setattr(nimare.reports.figures, function, _fail)
    files, metadata = _run(bundles[kind], tmp_path)
    missing = _same(files, whole(kind))
    assert all(name.startswith("figures/") for name in missing)
    assert metadata["problems"]
    assert {problem["reason"] for problem in metadata["problems"]} == {REASON}
    page = files["report.html"].decode()
    assert page.count(f"could not be drawn: {REASON}") == len(metadata["problems"])
    warned = [record for record in caplog.records if REASON in record.getMessage() and record.levelno > logging.INFO]
    assert len(warned) == len(metadata["problems"])
    assert all(record.exc_info is None and "\n" not in record.getMessage() for record in warned)
    # the summaries, the table of clusters and the other figures are there
    pictures_and_frames = [
        text.count("<iframe") + text.count("<img") for text in (whole(kind)["report.html"].decode(), page)
    ]
    assert 0 < pictures_and_frames[1] < pictures_and_frames[0]
    for title in re.findall(r"<h3>(.*?)</h3>", whole(kind)["report.html"].decode()):
        assert f"<h3>{title}</h3>" in page


@pytest.mark.parametrize("part", ["map_section", "study_sections", "parameter_section"])
def test_a_part_of_the_report_that_fails_costs_itself(
    part: str, bundles: dict[str, Path], whole: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, part, _fail)
    files, metadata = _run(bundles["coordinates"], tmp_path)
    assert all(name.startswith("figures/") for name in _same(files, whole("coordinates")))
    assert [problem["reason"] for problem in metadata["problems"]] == [REASON]
    assert REASON in files["report.html"].decode()


def test_a_report_that_cannot_be_written_costs_the_report(
    bundles: dict[str, Path], whole: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "_page", _fail)
    files, metadata = _run(bundles["coordinates"], tmp_path)
    missing = _same(files, whole("coordinates"))
    assert {name for name in missing if not name.startswith("figures/")} == {"report.html"}
    assert metadata["problems"] == [{"what": "report", "reason": REASON}]


@pytest.mark.parametrize(
    ("kind", "owner", "function", "lost"),
    [
        ("coordinates", FocusCounter, "_transform", r".*_diag-FocusCounter_.*\.tsv"),
        ("images", Jackknife, "_leave_one_out_values", r".*_diag-Jackknife_.*\.tsv"),
        ("images", Jackknife, "_check_enough_analyses_to_drop_one", r".*_diag-Jackknife_.*\.tsv"),
        (
            "coordinates",
            nimare.diagnostics,
            "_get_clusters_table_and_label_maps",
            r".*_diag-.*\.tsv|.*_tab-clust\.tsv|label_.*\.nii\.gz",
        ),
        (
            "images",
            nimare.diagnostics,
            "_get_clusters_table_and_label_maps",
            r".*_diag-.*\.tsv|.*_tab-clust\.tsv|label_.*\.nii\.gz",
        ),
    ],
)
def test_a_diagnostic_that_fails_leaves_maps_and_other_tables(
    kind: str,
    owner: Any,
    function: str,
    lost: str,
    bundles: dict[str, Path],
    whole: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(owner, function, _fail)
    files, metadata = _run(bundles[kind], tmp_path)
    expected = {name for name in whole(kind) if re.fullmatch(lost, name)}
    assert expected
    assert {name for name in _same(files, whole(kind)) if not name.startswith("figures/")} == expected
    assert metadata["problems"]
    assert {problem["reason"] for problem in metadata["problems"]} == {REASON}
    assert REASON in files["report.html"].decode()
    # an unpickled result knows nothing of this package's diagnostics
    assert b"compose_runner.analysis.compute.workflow" not in files["meta_results.pkl"]


@pytest.mark.parametrize(
    ("owner", "function", "lost"),
    [
        (stages, "write_table", r".*\.tsv"),
        (pickle, "dump", r"meta_results\.pkl"),
    ],
)
def test_a_file_that_cannot_be_written_costs_itself(
    owner: Any,
    function: str,
    lost: str,
    bundles: dict[str, Path],
    whole: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(owner, function, _fail)
    files, metadata = _run(bundles["coordinates"], tmp_path, drawn=False)
    expected = {name for name in whole("coordinates") if re.fullmatch(lost, name)}
    missing = {name for name in _same(files, whole("coordinates")) if not re.match(r"figures/|report\.html", name)}
    assert missing == expected
    assert sorted(problem["what"] for problem in metadata["problems"]) == sorted(f"file {name}" for name in expected)


def test_a_map_that_cannot_be_written_is_an_error_of_the_run(
    bundles: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "z.nii.gz")

    monkeypatch.setattr("nibabel.Nifti1Image.to_filename", full)
    with pytest.raises(OSError, match="No space left"):
        _run(bundles["coordinates"], tmp_path, drawn=False)
    assert not (tmp_path / "metadata.json").exists()


@pytest.mark.parametrize(
    ("owner", "function"),
    [(FocusCounter, "_transform"), (nimare.diagnostics, "_get_clusters_table_and_label_maps")],
    ids=["contributions", "clusters"],
)
@pytest.mark.parametrize("compiled", [False, True])
def test_a_request_to_stop_passes_through_a_diagnostic(
    owner: Any, function: str, compiled: bool, bundles: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        if compiled:
            raise SystemError("returned a result with an exception set") from KeyboardInterrupt()
        raise KeyboardInterrupt

    monkeypatch.setattr(owner, function, stop)
    with pytest.raises(KeyboardInterrupt):
        _run(bundles["coordinates"], tmp_path, drawn=False)


def test_equal_maps_and_names_with_the_same_beginning_give_a_result(bundles: dict[str, Path], tmp_path: Path) -> None:
    documents = json.loads(bundles["images"].read_text(encoding="utf-8"))
    first = documents["studyset"]["studies"][0]["analyses"][0]["images"]
    for study in documents["studyset"]["studies"]:
        study["name"] = f"Twenty letters that are the same, of {study['id']}"
        study["analyses"][0]["name"] = "the same"
        study["analyses"][0]["images"] = first
    bundle = bundles["images"].with_name("equal.json")
    bundle.write_text(json.dumps(documents), encoding="utf-8")
    files, metadata = _run(bundle, tmp_path / "results")
    assert {"z.nii.gz", "p.nii.gz", "report.html", "meta_results.pkl"} <= set(files)
    for problem in metadata["problems"]:
        assert f"could not be drawn: {problem['reason']}" in files["report.html"].decode() or "file" in problem["what"]


def test_a_result_of_two_maps_has_no_jackknife_and_everything_else(bundles: dict[str, Path], tmp_path: Path) -> None:
    documents = json.loads(bundles["images"].read_text(encoding="utf-8"))
    documents["studyset"]["studies"] = documents["studyset"]["studies"][:2]
    documents["annotation"]["notes"] = documents["annotation"]["notes"][:2]
    bundle = bundles["images"].with_name("two.json")
    bundle.write_text(json.dumps(documents), encoding="utf-8")
    files, metadata = _run(bundle, tmp_path / "results", drawn=False)
    assert {"z.nii.gz", "z_tab-clust.tsv", "ibma_coverage.tsv"} <= set(files)
    assert all("Jackknife" in problem["what"] for problem in metadata["problems"])


def test_figures_of_the_caller_stay_open_and_matplotlib_as_it_was(pain_result: Any, tmp_path: Path) -> None:
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    from compose_runner.analysis.write.figures import drawing_quietly, nimare_figures

    figure = plt.figure()
    before = dict(mpl.rcParams), mpl.get_backend()
    nimare_figures()

    def half_drawn() -> None:
        with drawing_quietly():
            plt.figure()
            plt.plot(np.arange(3))
            raise ValueError("half drawn")

    with pytest.raises(ValueError, match="half"):
        half_drawn()
    report.write_report(pain_result, tmp_path, {}, 2)
    try:
        assert plt.get_fignums() == [figure.number]
        assert (dict(mpl.rcParams), mpl.get_backend()) == before
    finally:
        plt.close(figure)
    shutil.rmtree(tmp_path)
