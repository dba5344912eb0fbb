"""A figure, a table, a text or a diagnostic that fails costs itself; everything else of the run is written."""

from __future__ import annotations

import gc
import json
import logging
import pathlib
import pickle
import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import nimare.diagnostics
import nimare.utils
import pytest
from nimare.diagnostics import FocusCounter, Jackknife

from compose_runner.analysis import stages
from compose_runner.analysis.compute import workflow
from compose_runner.analysis.compute.coverage import Coverage
from compose_runner.analysis.job import run_job
from compose_runner.analysis.problems import Problems
from compose_runner.analysis.write.pictures import projections, slices
from compose_runner.analysis.write.report import input_images, words, writing
from compose_runner.analysis.write.result_directory import STATE
from compose_runner.analysis.write.result_record import run_may_write
from compose_runner.commands.exit_codes import exit_with_code
from compose_runner.errors import ImageError
from compose_runner.local.demo import studies
from tests.support import synthetic
from tests.support.result_records import record_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import FrameType

gc.freeze()  # nilearn collects garbage at every load, which is slow with NiMARE's modules around

pytestmark = pytest.mark.slow

REASON = "nobody knows how"
KINDS = ("coordinates", "images")
# what each figure needs, and no other does
FIGURES = {
    "coordinates": [(slices, "best_cuts"), (projections, "_outline")],
    "images": [(slices, "best_cuts"), (input_images, "_colour"), (input_images, "_short")],
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


# what a run cannot do without: it ends with an error where one of these fails
_OF_THE_RUN = re.compile(
    r"""compose_runner\.(
        progress|signals|escaping|files|compose\.json_documents # how far it is; JSON of its own
        |analysis\.problems                                     # what could not be made
        |analysis\.write\.(maps|result_directory|result_record|run_log\.recording) # the maps, and where they go
        |analysis\.compute\.(engine|patches)\.\w+               # what ends with the computation
        |analysis\.compute\.(monte_carlo|checkpoints)           # its checkpoints, which may stay
        |analysis\.stages\.(compute|write|_write_coverage|_confirm|_describe_methods|_write_atomically)
        |analysis\.compute\.coverage\.refuse_empty_result       # maps without a value are no result
        |analysis\.(job\._finish|job\.JobOutcome|job\.__create_fn__|preparation\.translating_errors)
    )\b.*""",
    re.VERBOSE,
)


class _Unprotected:
    """The functions of the package that are called after the maps are computed while no problem would be caught."""

    def __init__(self) -> None:
        self.called: set[str] = set()
        self._n_caught = 0

    @contextmanager
    def watching(self) -> Iterator[None]:
        costing, computed = Problems.costing, workflow.run_meta_analysis

        @contextmanager
        def counted(problems: Problems, what: str) -> Iterator[None]:
            with costing(problems, what):
                self._n_caught += 1
                try:
                    yield
                finally:
                    self._n_caught -= 1

        def watched(*arguments: Any, **more: Any) -> Any:
            result = computed(*arguments, **more)
            sys.setprofile(self._see)
            return result

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Problems, "costing", counted)
            patch.setattr(stages, "run_meta_analysis", watched)
            try:
                yield
            finally:
                sys.setprofile(None)

    def _see(self, frame: FrameType, event: str, _: object) -> None:
        name = f"{frame.f_globals.get('__name__')}.{frame.f_code.co_qualname}"
        if event == "call" and not self._n_caught and name.startswith("compose_runner."):
            self.called.add(name)


@pytest.fixture(scope="module")
def unprotected() -> _Unprotected:
    return _Unprotected()


@pytest.fixture(scope="module")
def whole(bundles: dict[str, Path], unprotected: _Unprotected, tmp_path_factory: pytest.TempPathFactory) -> Any:
    written = {}
    for kind in KINDS:
        with unprotected.watching():
            written[kind], metadata = _run(bundles[kind], tmp_path_factory.mktemp(kind))
        assert metadata["problems"] == []
        # nothing is written that the record of the directory would not take for the run's
        assert [name for name in written[kind] if not (run_may_write(name) or name.startswith(STATE))] == []
    return written.__getitem__


def test_every_step_after_the_computation_costs_itself_at_most(whole: Any, unprotected: _Unprotected) -> None:
    assert whole("images")
    assert any("_write_coverage" in name for name in unprotected.called)
    assert sorted(name for name in unprotected.called if not _OF_THE_RUN.fullmatch(name)) == []


def _same(files: dict[str, bytes], whole: dict[str, bytes]) -> set[str]:
    """The names of files that are missing; maps, tables and texts that are there have to be the same."""
    assert set(files) <= set(whole)
    for name, content in files.items():
        # what is in these says what there is: tables, thresholds of the diagnostics, files, the log of libraries
        told = name in ("clusters.tsv", "boilerplate.txt", "README.txt", "run.log")
        if name.endswith((".tsv", ".txt", ".bib", ".nii.gz")) and not told:
            assert content == whole[name], name
    return set(whole) - set(files)


def _missing(files: dict[str, bytes], whole: dict[str, bytes]) -> set[str]:
    """The names of the files that are missing from a run without a report."""
    return {name for name in _same(files, whole) if not re.match(r"figures/|report\.html", name)}


@pytest.mark.parametrize(
    ("kind", "owner", "function"),
    [(kind, owner, function) for kind in KINDS for owner, function in FIGURES[kind]],
    ids=lambda value: getattr(value, "__name__", str(value)).rpartition(".")[2],
)
def test_a_figure_that_cannot_be_drawn_costs_itself(
    kind: str,
    owner: Any,
    function: str,
    bundles: dict[str, Path],
    whole: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(owner, function, _fail)
    files, metadata = _run(bundles[kind], tmp_path)
    missing = _same(files, whole(kind))
    assert all(name.startswith("figures/") for name in missing)
    assert {problem["reason"] for problem in metadata["problems"]} == {REASON}
    page = files["report.html"].decode()
    assert page.count(f"could not be drawn: {REASON}") == len(metadata["problems"])
    warned = [record for record in caplog.records if REASON in record.getMessage() and record.levelno > logging.INFO]
    assert len(warned) == len(metadata["problems"])
    assert all(record.exc_info is None and "\n" not in record.getMessage() for record in warned)
    # the other figures and everything else is there
    drawn = [text.count("<svg") + text.count("<img") for text in (whole(kind)["report.html"].decode(), page)]
    assert drawn[0] - len(metadata["problems"]) == drawn[1] > 0
    for heading in re.findall(r"<h2.*?</h2>", whole(kind)["report.html"].decode()):
        assert heading in page


@pytest.mark.parametrize(
    ("owner", "part", "lost"),
    [
        (writing, "peaks_by_map", 'class="clusters"'),
        (writing, "describe_maps", "<article"),
        (writing, "find_groups", None),
        (writing, "facts", "<dt>Studies"),
        (writing, "accounts", None),
        (writing, "study_rows", None),
        (writing, "methods", r"\citep"),
        (words, "parameters", 'class="parameters"'),
        (writing, "tables_and_texts", 'data-name="references.ris"'),
    ],
)
def test_a_part_of_the_report_that_fails_costs_itself(
    owner: Any, part: str, lost: str | None, pain_result: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = studies.pain_studyset()
    record = record_of(pain_result, document, specification=studies.specification())
    before = writing.write_report(pain_result, tmp_path, record).read_text(encoding="utf-8")
    monkeypatch.setattr(owner, part, _fail)
    problems = Problems()
    page = writing.write_report(pain_result, tmp_path, record, problems).read_text(encoding="utf-8")
    assert [problem["reason"] for problem in problems.listed] == [REASON]
    assert REASON in page
    assert 'data-part="map-0"' in page  # the viewer has its maps
    if lost is not None:
        assert lost in before
        assert lost not in page


def test_a_report_that_cannot_be_written_costs_the_report(
    bundles: dict[str, Path], whole: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing._Page, "render", _fail)
    files, metadata = _run(bundles["coordinates"], tmp_path)
    missing = _same(files, whole("coordinates"))
    assert {name for name in missing if not name.startswith("figures/")} == {"report.html"}
    assert metadata["problems"] == [{"what": "report", "reason": REASON}]


@pytest.mark.parametrize(
    ("kind", "owner", "function", "lost"),
    [
        ("coordinates", FocusCounter, "_transform", r".*_diag-FocusCounter_.*\.tsv|contributions\.tsv"),
        ("images", Jackknife, "_leave_one_out_values", r".*_diag-Jackknife_.*\.tsv|contributions\.tsv"),
        ("images", Jackknife, "_check_enough_analyses_to_drop_one", r".*_diag-Jackknife_.*\.tsv|contributions\.tsv"),
        (
            "coordinates",
            nimare.diagnostics,
            "_get_clusters_table_and_label_maps",
            r".*_diag-.*\.tsv|contributions\.tsv|.*_tab-clust\.tsv|label_.*\.nii\.gz",
        ),
        (
            "images",
            nimare.diagnostics,
            "_get_clusters_table_and_label_maps",
            r".*_diag-.*\.tsv|contributions\.tsv|.*_tab-clust\.tsv|label_.*\.nii\.gz",
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
    assert _missing(files, whole("coordinates")) == expected
    assert sorted(problem["what"] for problem in metadata["problems"]) == sorted(f"file {name}" for name in expected)


def _fail_for(*names: str) -> Callable[..., int]:
    write_text = pathlib.Path.write_text

    def write(path: pathlib.Path, *arguments: Any, **more: Any) -> int:
        if path.name in names:
            raise OSError(5, REASON)
        return write_text(path, *arguments, **more)

    return write


def test_a_disk_that_the_pickle_fills_has_the_maps_already(
    bundles: dict[str, Path], whole: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there: set[str] = set()

    def fill(*_: object, **_options: object) -> None:
        there.update(path.name for path in tmp_path.rglob("*.nii.gz") if ".compose-runner" not in path.parts)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pickle, "dump", fill)
    files, _ = _run(bundles["coordinates"], tmp_path, drawn=False)
    assert _missing(files, whole("coordinates")) == {"meta_results.pkl"}
    assert there == {name for name in files if name.endswith(".nii.gz")}


@pytest.mark.parametrize("name", ["boilerplate.txt", "references.bib"])
def test_a_text_that_cannot_be_written_costs_itself(
    name: str, bundles: dict[str, Path], whole: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pathlib.Path, "write_text", _fail_for(name))
    files, metadata = _run(bundles["coordinates"], tmp_path, drawn=False)
    assert _missing(files, whole("coordinates")) == {name}
    assert metadata["problems"] == [{"what": f"file {name}", "reason": REASON}]


@pytest.mark.parametrize(
    ("kind", "step", "what", "lost"),
    [
        ("images", (stages, "describe_coverage"), "table ibma_coverage.tsv", {"ibma_coverage.tsv"}),
        ("images", (Coverage, "summary"), "table ibma_coverage.tsv", {"ibma_coverage.tsv"}),
        ("images", (Coverage, "write"), "table ibma_coverage.tsv", {"ibma_coverage.tsv"}),
        ("coordinates", (stages, "describe_diagnostics"), "entry diagnostics of metadata.json", set()),
        ("coordinates", (nimare.utils, "get_description_references"), "list of references", set()),
    ],
)
def test_an_account_of_the_run_that_cannot_be_made_costs_itself(
    kind: str,
    step: tuple[Any, str],
    what: str,
    lost: set[str],
    bundles: dict[str, Path],
    whole: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(*step, _fail)
    outcome: list[Any] = []
    # a command that goes without something ends as one that has it all
    exit_with_code(lambda: outcome.extend(_run(bundles[kind], tmp_path, drawn=False)))
    files, metadata = outcome
    if step[1] == "describe_diagnostics":
        # the methods text takes its thresholds from there
        assert b"Clusters of at least" not in files["boilerplate.txt"]
        files["boilerplate.txt"] = whole(kind)["boilerplate.txt"]
    assert _missing(files, whole(kind)) == lost
    assert metadata["problems"] == [{"what": what, "reason": REASON}]
    assert {"versions", "machine", "counts", "seed", "inputs", "diagnostics"} <= set(metadata)


def test_an_error_of_the_computation_is_told_without_an_account_of_the_maps(
    bundles: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "run_meta_analysis", _fail)
    monkeypatch.setattr(stages, "describe_coverage", _fail)
    with pytest.raises(ImageError, match=REASON):
        _run(bundles["images"], tmp_path, drawn=False)


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
    assert ["Jackknife" in problem["what"] for problem in metadata["problems"]] == [True]
    assert [one["contributions"] for one in metadata["diagnostics"]] == [None]


def test_figures_of_the_caller_stay_open_and_matplotlib_as_it_was(pain_result: Any, tmp_path: Path) -> None:
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    figure = plt.figure()
    before = dict(mpl.rcParams), mpl.get_backend()
    writing.write_report(pain_result, tmp_path, {})
    try:
        assert plt.get_fignums() == [figure.number]
        assert (dict(mpl.rcParams), mpl.get_backend()) == before
    finally:
        plt.close(figure)
