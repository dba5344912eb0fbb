"""The stages of a job that need NiMARE; importing this module imports NiMARE, and everything a job needs of it."""

from __future__ import annotations

import logging
import pickle
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nimare.nimads import Studyset

from compose_runner.analysis.audit.auditing import Audit, audit
from compose_runner.analysis.audit.inputs import Inputs
from compose_runner.analysis.compute import engine
from compose_runner.analysis.compute.coverage import (
    COVERAGE_FILENAME,
    describe_coverage,
    refuse_empty_result,
    refuse_without_maps,
)
from compose_runner.analysis.compute.description import describe_diagnostics
from compose_runner.analysis.compute.estimators import build
from compose_runner.analysis.compute.patches.foci_lookup import foci_at_once
from compose_runner.analysis.compute.patches.loads import loads_without_collection
from compose_runner.analysis.compute.patches.references import references_at_own_cost
from compose_runner.analysis.compute.patches.tables import cluster_tables_by_box
from compose_runner.analysis.compute.patches.warnings import warnings_at_debug
from compose_runner.analysis.compute.workflow import run_meta_analysis
from compose_runner.analysis.problems import Problems
from compose_runner.analysis.select.foci import read_foci
from compose_runner.analysis.select.images import stage_images
from compose_runner.analysis.select.reference import load_reference
from compose_runner.analysis.select.repeated import merge_repeated
from compose_runner.analysis.select.sample_sizes import with_sample_sizes
from compose_runner.analysis.select.selection import select
from compose_runner.analysis.write.atlases import anatomy
from compose_runner.analysis.write.clusters import cluster_rows
from compose_runner.analysis.write.maps import saving_maps
from compose_runner.analysis.write.methods import methods_text
from compose_runner.analysis.write.provenance import count_studies
from compose_runner.analysis.write.result_directory import IMAGES
from compose_runner.analysis.write.study_tables import study_tables
from compose_runner.analysis.write.tables import CLUSTERS_FILENAME, write_table
from compose_runner.errors import ImageError
from compose_runner.specification.parsing import parse_specification

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from nimare.estimator import Estimator
    from nimare.results import MetaResult

    from compose_runner.analysis.compute.coverage import Coverage
    from compose_runner.analysis.fetch.bundle import Bundle
    from compose_runner.analysis.options import JobOptions
    from compose_runner.analysis.select.images import StagedImages
    from compose_runner.analysis.select.selection import Groups
    from compose_runner.analysis.write.result_directory import ResultDirectory
    from compose_runner.compose.environments import Environment
    from compose_runner.progress import Progress
    from compose_runner.specification.parsing import Specification

log = logging.getLogger(__name__)

TARGET_SPACE = "mni152_2mm"
RESULT_FILENAME = "meta_results.pkl"


@dataclass(frozen=True, slots=True)
class SelectedStudies:
    """The groups that a specification selects.

    Parameters
    ----------
    groups : Groups
        One group, or two that are compared.
    staged : StagedImages or None
        The statistical maps on this machine, for an image-based meta-analysis.
    counts : dict
        Studies, analyses and foci of each group, as its estimator gets them.
    inputs : Inputs
        What the audit looks at.
    """

    groups: Groups
    staged: StagedImages | None
    counts: dict[str, dict[str, int]]
    inputs: Inputs


def select_studies(
    inputs: Bundle,
    specification: Specification,
    environment: Environment,
    directory: ResultDirectory,
    progress: Progress,
) -> SelectedStudies:
    """Select the groups of studies, with their sample sizes, and with their maps on disk where they are needed.

    Parameters
    ----------
    inputs : Bundle
        Studyset and annotation; they are not changed.
    specification : Specification
        Which column, which conditions, which reference.
    environment : Environment
        Where reference studysets are.
    directory : ResultDirectory
        Maps are kept in its folder ``images``.
    progress : Progress
        Called as downloads advance.
    """

    def reference(name: str, exclude_study_ids: set[str]) -> Studyset:
        return load_reference(name, environment, exclude_study_ids, progress=progress.advance)

    def make_groups(studyset: dict[str, Any]) -> Groups:
        studies = Studyset(studyset, target=TARGET_SPACE, annotations=[inputs.annotation])
        return select(studies, inputs.annotation, specification, reference=reference)

    merged = merge_repeated(inputs.studyset)
    foci = read_foci(merged.studyset)
    sizes = with_sample_sizes(foci.studyset, inputs.annotation)
    document = sizes.studyset
    groups, staged = make_groups(document), None
    if specification.image_based:
        wanted = [str(identity) for identity in groups.first.ids]
        staged = stage_images(
            document, directory.path / IMAGES, only=wanted, reach=inputs.reach, progress=progress.advance
        )
        refuse_without_maps(staged)
        groups = make_groups(staged.studyset)
        # NiMARE writes the maps that it derives below this path
        groups = replace(groups, first=groups.first.update_path(str(staged.directory)))
    counts = {"first": count_studies(groups.first)}
    if groups.second is not None:
        counts["second"] = count_studies(groups.second)
    about = Inputs(merged, foci, sizes, inputs.annotation, specification, groups, staged)
    return SelectedStudies(groups, staged, counts, about)


def audit_inputs(studies: SelectedStudies) -> Audit:
    """Look at what is about to be computed from."""
    return audit(studies.inputs)


@loads_without_collection()
def compute(
    studies: SelectedStudies,
    specification: Specification,
    options: JobOptions,
    directory: ResultDirectory,
    progress: Progress,
    session: Mapping[str, Any],
    problems: Problems | None = None,
    audited: Audit | None = None,
) -> MetaResult:
    """Fit, correct and describe.

    Parameters
    ----------
    studies : SelectedStudies
        The groups.
    specification : Specification
        Estimator and corrector.
    options : JobOptions
        Cores, seed, engine.
    directory : ResultDirectory
        Where the account of the maps of an image-based meta-analysis goes.
    progress : Progress
        Called for every stage and Monte Carlo iteration.
    session : mapping
        Arguments of :func:`compose_runner.analysis.compute.engine.session`.
    problems : Problems, optional
        Records the diagnostics and tables that failed.
    audited : Audit, optional
        Compared with what was computed from.
    """
    problems = problems or Problems()
    estimator, corrector = build(
        specification,
        n_cores=options.n_cores,
        seed=options.seed,
        estimator_class=lambda name, nimare_class: engine.estimator_class(name, nimare_class, options.engine),
    )
    first, second = studies.groups.first, studies.groups.second

    def fitted() -> MetaResult:
        with (
            warnings_at_debug(),
            engine.session(**session),
            engine.observe_iterations(progress.advance),
            cluster_tables_by_box(),
            foci_at_once(),
            references_at_own_cost(problems),
        ):
            return run_meta_analysis(
                first, second, estimator, corrector, n_cores=options.n_cores, progress=progress, problems=problems
            )

    if studies.staged is None:
        result = fitted()
        _confirm(audited, result, None, problems)
        return result
    try:
        result = fitted()
    except ValueError as error:
        coverage = _write_coverage(first, estimator, studies.staged, directory, problems)
        if coverage is None or coverage.included:
            raise ImageError(f"{error} {coverage.summary()}" if coverage else str(error)) from error
        # the reasons are the summary's: what NiMARE raises names its own tables
        raise ImageError(f"{specification.estimator.name} has nothing to compute from. {coverage.summary()}") from error
    coverage = _write_coverage(first, result.estimator, studies.staged, directory, problems)
    refuse_empty_result(result, coverage)
    _confirm(audited, result, coverage, problems)
    return result


def _confirm(audited: Audit | None, result: MetaResult, coverage: Coverage | None, problems: Problems) -> None:
    """Compare what was counted with what was computed from."""
    if audited is not None:
        with problems.costing("comparison of what was counted with what was computed from"):
            audited.confirm(result.estimator, coverage)


def _write_coverage(
    studyset: Studyset, estimator: Estimator, staged: StagedImages, directory: ResultDirectory, problems: Problems
) -> Coverage | None:
    """Write the account of the maps and put its summary into the log; None where it cannot be made."""
    coverage = None
    with problems.costing(f"table {COVERAGE_FILENAME}"):
        coverage = describe_coverage(studyset, estimator, staged)
        log.info(coverage.summary())
        with directory.writing() as folder:
            coverage.write(folder)
    return coverage


def describe(result: MetaResult) -> dict[str, Any]:
    """What the record of the run says about how the result was made."""
    return {"diagnostics": describe_diagnostics(result)}


@loads_without_collection()
def write(
    result: MetaResult,
    directory: ResultDirectory,
    metadata: dict[str, Any],
    options: JobOptions,
    problems: Problems | None = None,
) -> None:
    """Write every artifact of a result, under NiMARE's own names.

    Maps, tables and texts are in the result directory before anything is drawn. A map that cannot be written is an
    error of the run; anything else that cannot be made costs itself only.

    Parameters
    ----------
    result : nimare.results.MetaResult
        What was computed.
    directory : ResultDirectory
        Where maps, tables and texts appear, all at once; then the pickle; then the report and its figures.
    metadata : dict
        What is known of the run, for the report. Its ``problems`` are what could not be made.
    options : JobOptions
        Whether figures are wanted.
    problems : Problems, optional
        What could not be made so far; what else cannot be is added.
    """
    problems = problems or Problems()
    metadata["problems"] = problems.listed
    _describe_methods(result, metadata, problems)
    clusters = None
    with directory.writing() as folder, saving_maps(result, folder, n_cores=options.n_cores):
        for name, table in result.tables.items():
            if table is not None:
                with _write_atomically(folder, f"{name}.tsv", problems) as path:
                    write_table(table, path)
        with _write_atomically(folder, CLUSTERS_FILENAME, problems) as path:
            clusters = cluster_rows(result, anatomy)
            write_table(clusters, path)
        with problems.costing("tables of the studies"):
            for name, table in study_tables(result, metadata).items():
                with _write_atomically(folder, name, problems) as path:
                    write_table(table, path)
        with _write_atomically(folder, "boilerplate.txt", problems) as path:
            path.write_text(result.description_, encoding="utf-8")
        with _write_atomically(folder, "references.bib", problems) as path:
            path.write_text(result.bibtex_, encoding="utf-8")
    # the largest file by far: on a disk that is nearly full it must not take the maps' room
    with (
        directory.writing() as folder,
        _write_atomically(folder, RESULT_FILENAME, problems) as path,
        path.open("wb") as file,
    ):
        pickle.dump(result, file, protocol=pickle.HIGHEST_PROTOCOL)
    if options.report:
        with problems.costing("report"), directory.writing() as folder:
            from compose_runner.analysis.write.report.writing import write_report

            write_report(result, folder, metadata, problems, files_directory=directory.path, clusters=clusters)


def _describe_methods(result: MetaResult, metadata: Mapping[str, Any], problems: Problems) -> None:
    """Give a result its methods text and references; NiMARE's own stay if that fails."""
    with problems.costing("methods text with its numbers, in whose place is NiMARE's"):
        methods = methods_text(parse_specification(metadata["specification"]), metadata)
        with _without_warnings_of_citations():
            result.description_ = methods.text
        result.bibtex_ = methods.bibtex


@contextmanager
def _without_warnings_of_citations() -> Iterator[None]:
    """Keep back that NiMARE does not find references: it looks for those of every text among its own."""

    def is_kept(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("Citation ")

    logger = logging.getLogger("nimare.utils")
    logger.addFilter(is_kept)
    try:
        yield
    finally:
        logger.removeFilter(is_kept)


@contextmanager
def _write_atomically(folder: Path, name: str, problems: Problems) -> Iterator[Path]:
    """Name a file that is there as a whole when the block ends, or not at all."""
    path = folder / name
    with problems.costing(f"file {name}"):
        try:
            yield path
        except BaseException:
            path.unlink(missing_ok=True)
            raise
