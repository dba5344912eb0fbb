"""Put the page together, and write it."""

from __future__ import annotations

import json
import math
import tempfile
from contextlib import nullcontext
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from compose_runner.analysis.problems import Problems
from compose_runner.analysis.write.atlases import anatomy, atlases
from compose_runner.analysis.write.clusters import cluster_rows
from compose_runner.analysis.write.maps import save_maps
from compose_runner.analysis.write.references import ReadMethods, Reference, methods, references
from compose_runner.analysis.write.report import words
from compose_runner.analysis.write.report.accounts import accounts, facts, n_used, study_rows
from compose_runner.analysis.write.report.clusters import peaks_by_map
from compose_runner.analysis.write.report.input_images import (
    MOST_IMAGES,
    Drawing,
    distributions,
    input_maps,
    similarity,
)
from compose_runner.analysis.write.report.map_order import ResultMap, order_maps
from compose_runner.analysis.write.report.map_sections import MapSection, describe_maps
from compose_runner.analysis.write.report.saved_files import SavedFile, in_directory, tables_and_texts
from compose_runner.analysis.write.report.study_names import StudyNames, find_groups
from compose_runner.analysis.write.viewer import ViewerMap, content_security_policy, source_hash, viewer
from compose_runner.compose.environments import environment_named
from compose_runner.escaping import visible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nimare.results import MetaResult
    from pandas import DataFrame

    from compose_runner.analysis.write.report.clusters import Peak
    from compose_runner.analysis.write.report.study_names import UsedExperiments

REPORT_FILENAME = "report.html"
FIGURES = "figures"
MOST_MAP_BYTES = 24_000_000
"""How large the maps in a page may be together; what does not fit is in the result directory only."""


def write_report(
    result: MetaResult,
    directory: Path,
    metadata: Mapping[str, Any],
    problems: Problems | None = None,
    *,
    files_directory: Path | None = None,
    clusters: DataFrame | None = None,
) -> Path:
    """Write the report of a result, and its still pictures.

    Parameters
    ----------
    result : nimare.results.MetaResult
        A fitted result with its estimator, corrector (or none) and diagnostics.
    directory : pathlib.Path
        Where ``report.html`` and the folder ``figures`` with every still picture go.
    metadata : mapping
        The body of ``metadata.json``, as far as it is known: what went in, what was found out about it, versions.
    problems : Problems, optional
        What could not be made so far, which the report lists; the figures that cannot be drawn are added.
    files_directory : pathlib.Path, optional
        Where the result's maps and tables are; they are written for the page alone without it.
    clusters : pandas.DataFrame, optional
        Clusters and peaks of the described maps with their anatomy, where they are known already: see
        :func:`compose_runner.analysis.write.clusters.cluster_rows`.

    Returns
    -------
    pathlib.Path
        The page.
    """
    problems = problems or Problems()
    with nullcontext(files_directory) if files_directory else tempfile.TemporaryDirectory(prefix="report-") as folder:
        written = Path(folder)
        if files_directory is None:
            save_maps(result, written)
        page = _Page(result, metadata, problems, written, directory / FIGURES, clusters).render()
    path = directory / REPORT_FILENAME
    path.write_text(page, encoding="utf-8", errors="replace")
    return path


class _Page:
    """What the template shows."""

    def __init__(
        self,
        result: MetaResult,
        metadata: Mapping[str, Any],
        problems: Problems,
        written: Path,
        figures: Path,
        clusters: DataFrame | None,
    ) -> None:
        self.result = result
        self.metadata = metadata
        self.problems = problems
        self.written = written
        self.figures = figures
        self.clusters = clusters
        self.specification: Mapping[str, Any] = metadata.get("specification") or {}
        self.group_names = words.group_names(self.specification)
        self.diagnostics = _diagnostics(result, metadata)
        self.maps = order_maps(
            result,
            self.diagnostics,
            groups=self.group_names,
            n_iters=_iterations(self.specification),
        )

    def render(self) -> str:
        """Make the page."""
        groups: tuple[UsedExperiments, ...] = ()
        names = StudyNames((), ())
        with self.problems.costing("names of the studies in the report"):
            groups = find_groups(self.result)
            names = StudyNames(self.metadata.get("studies") or (), groups)
        environment = environment_named(str(self.metadata.get("environment") or ""))
        neurostore = environment.neurostore_api.removesuffix("/api")
        sections = self._sections()
        texts = self._methods()
        held, left = self._held_maps()
        show = self._viewer(held, sections)
        program, style = _text("page.js"), _text("page.css")
        hashes = ((*show.script_sources, source_hash(program)), (*show.style_sources, source_hash(style)))
        return _template().render(
            title=self.metadata.get("name") or self.metadata.get("meta_analysis_id") or "Meta-analysis",
            lead=self._lead(),
            page_address=self._address(environment.find_page),
            facts=[*self._facts(), *self._cluster_facts(sections)],
            findings=_findings(self.metadata),
            problems=self.problems.listed,
            viewer=show.html,
            places={one.name: place for place, one in enumerate(held)},
            sections=sections,
            names=names,
            drawings=self._drawings(names, groups),
            accounts=self._accounts(),
            studies=self._studies(names, groups, neurostore),
            methods=texts,
            citations=_citations(),
            cite=self._cite(),
            parameters=self._parameters(),
            atlases=atlases(),
            map_files=[(one, (self.written / one.filename).stat().st_size, one in held) for one in self.maps],
            n_left=len(left),
            saved=self._saved(texts),
            in_directory=in_directory(),
            record=_record(self.metadata),
            tails=len({peak.tail for section in sections for peak in section.peaks}) > 1,
            policy=content_security_policy(*hashes),
            style=Markup(style),
            program=Markup(program),
            words=words,
        )

    def _sections(self) -> list[MapSection]:
        with self.problems.costing("part of the report about the described maps"):
            called = tuple(name or f"group {place}" for place, name in enumerate(self.group_names, start=1))
            paired = getattr(self.result.estimator, "dataset2", None) is not None
            return describe_maps(
                self.result,
                self.maps,
                self.diagnostics,
                self.figures,
                self.problems,
                peaks=self._peaks(),
                n_used=n_used(self.metadata),
                groups=called if paired else (),
            )
        return []

    def _peaks(self) -> dict[str, list[Peak]]:
        with self.problems.costing("tables of the clusters in the report"):
            rows = cluster_rows(self.result, anatomy) if self.clusters is None else self.clusters
            return peaks_by_map(rows)
        return {}

    def _methods(self) -> ReadMethods:
        with self.problems.costing("methods text of the report"):
            return methods(self.result.description_, self.result.bibtex_)
        return ReadMethods("", (), "")

    def _held_maps(self) -> tuple[list[ResultMap], list[ResultMap]]:
        """Divide the maps into those that the page holds, and the rest."""
        held: list[ResultMap] = []
        room = MOST_MAP_BYTES
        for one in self.maps:
            size = (self.written / one.filename).stat().st_size
            if size <= room:
                held.append(one)
                room -= size
        return held, [one for one in self.maps if one not in held]

    def _viewer(self, held: Sequence[ResultMap], sections: Sequence[MapSection]) -> Any:
        peak = next((section.first_peak for section in sections if section.first_peak), None)
        return viewer(
            [
                ViewerMap(
                    title=visible(str(one.heading)),
                    content=(self.written / one.filename).read_bytes(),
                    kind=one.kind,
                    quantity=one.heading.quantity,
                    threshold=_rounded_down(one.threshold),
                    tails=one.tails,
                )
                for one in held
            ],
            start=peak.xyz if peak else (0.0, 0.0, 0.0),
            stills=Markup('<p class="viewer-hint">Still pictures of the maps are <a href="#results">below</a>.</p>'),
        )

    def _lead(self) -> str:
        estimator = str(self.metadata.get("estimator") or type(self.result.estimator).__name__)
        lead = words.ESTIMATORS.get(estimator, estimator)
        if self.group_names[1]:
            lead += f" of {self.group_names[0]} against {self.group_names[1]}"
        return lead

    def _address(self, find_page: Any) -> str:
        address = str(self.metadata.get("result_url") or "")
        identity = str(self.metadata.get("meta_analysis_id") or "")
        origin = (self.metadata.get("inputs") or {}).get("origin")
        if not address and identity.isalnum() and origin in ("live", "snapshot"):
            # a Compose on this machine is not there for those who read the page
            address = found if (found := find_page(identity)).startswith("https://") else ""
        return address if address.startswith(("https://", "http://")) else ""

    def _facts(self) -> list[tuple[str, str, str]]:
        with self.problems.costing("numbers at the head of the report"):
            return facts(self.metadata)
        return []

    def _cluster_facts(self, sections: Sequence[MapSection]) -> list[tuple[str, str, str]]:
        found = []
        if sections and not sections[0].problem:
            found.append(("Clusters", f"{sections[0].n_clusters:,}", str(sections[0].map.heading)))
        elif not sections:
            found.append(("Maps", f"{len(self.maps):,}", ""))
        return found

    def _accounts(self) -> Any:
        with self.problems.costing("part of the report about what went in"):
            return accounts(self.metadata, self.group_names)
        return []

    def _studies(self, names: StudyNames, groups: Sequence[UsedExperiments], neurostore: str) -> Any:
        with self.problems.costing("table of the studies in the report"):
            return study_rows(self.metadata, names, groups, self.group_names, neurostore)
        return []

    def _drawings(self, names: StudyNames, groups: Sequence[UsedExperiments]) -> list[Drawing | str]:
        """Draw what only image-based results have; a text says why a figure is missing."""
        found = input_maps(self.result)
        if found is None or not 1 < len(found[1]) <= MOST_IMAGES:
            return []
        called = [names.experiment(identity) for identity in groups[0].used] if groups else []
        called += [f"map {place}" for place in range(len(called) + 1, len(found[1]) + 1)]
        drawings: list[Drawing | str] = []
        for title, draw in (
            ("Similarity of the input maps", similarity),
            ("Distribution of the values", distributions),
        ):
            before = len(self.problems.listed)
            with self.problems.costing(f"figure '{title}'"):
                drawings.append(draw(self.result, called))
                continue
            drawings.append(f"{title} could not be drawn: {self.problems.listed[before]['reason']}")
        return drawings

    def _parameters(self) -> Any:
        with self.problems.costing("parameters in the report"):
            return words.parameters(self.specification) if self.specification else []
        return []

    def _saved(self, texts: ReadMethods) -> list[SavedFile]:
        with self.problems.costing("tables in the report"):
            return tables_and_texts(
                self.written,
                {"boilerplate.txt": texts.latex, "references.bib": texts.bibtex, "references.ris": texts.ris},
            )
        return []

    def _cite(self) -> str:
        versions = self.metadata.get("versions") or {}
        ran = ", ".join(
            f"{shown} {versions[name]}"
            for name, shown in (("compose-runner", "compose-runner"), ("nimare", "NiMARE"))
            if name in versions
        )
        ran = f" with {ran}" if ran else ""
        return f"Computed by Neurosynth Compose{ran}; random seed {self.metadata.get('seed', 'not known')}."


def _rounded_down(threshold: float) -> float:
    """Leave four digits of a threshold, which hide no voxel that reaches it."""
    if threshold <= 0:
        return 0.0
    scale = 10.0 ** (3 - math.floor(math.log10(threshold)))
    return math.floor(threshold * scale) / scale


def _diagnostics(result: MetaResult, metadata: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    known = metadata.get("diagnostics")
    if known is None:
        known = [
            {
                "target_image": one.target_image,
                "target_threshold": one.target_threshold,
                "cluster_threshold": one.cluster_threshold,
            }
            for one in result.diagnostics
        ]
    return [one for one in known if result.maps.get(one.get("target_image")) is not None]


def _iterations(specification: Mapping[str, Any]) -> int | None:
    args = (specification.get("corrector") or {}).get("args") or {}
    for given in (args, args.get("**kwargs") or {}):
        if isinstance(given, dict) and isinstance(given.get("n_iters"), int):
            return int(given["n_iters"])
    return None


def _findings(metadata: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {"warning": [], "note": []}
    for finding in metadata.get("audit") or []:
        found["note" if finding.get("severity") == "note" else "warning"].append(finding)
    return found


def _record(metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is needed to make the numbers again."""
    inputs = metadata.get("inputs") or {}
    machine = metadata.get("machine") or {}
    rows = [
        ("Meta-analysis", str(metadata.get("meta_analysis_id") or "")),
        ("Started", str(metadata.get("started") or "")),
        ("Versions", ", ".join(f"{name} {version}" for name, version in (metadata.get("versions") or {}).items())),
        ("Machine", ", ".join(str(one) for one in machine.values())),
        ("Seed", str(metadata.get("seed", ""))),
        ("Origin of the inputs", str(inputs.get("origin") or "")),
    ]
    rows += [
        (part.capitalize(), f"{about.get('source') or ''} (SHA-256 {about.get('sha256')})".strip())
        for part, about in inputs.items()
        if isinstance(about, dict)
    ]
    rows.append(("Specification", json.dumps(metadata.get("specification") or {}, default=str, ensure_ascii=False)))
    return [(title, value) for title, value in rows if value]


def _format_value(value: Any) -> Any:
    """What the template shows of a value: control characters of a text are visible, line breaks stay."""
    return visible(value, lines=True) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _citations() -> tuple[Reference, ...]:
    return tuple(references(_text("citation.bib")))


@cache
def _text(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_format_value,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.FunctionLoader(_text),
    )
    environment.filters["number"] = words.number
    environment.filters["probability"] = words.probability
    return environment.get_template("page.html.jinja")
