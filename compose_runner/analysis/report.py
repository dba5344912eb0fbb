"""The report: one HTML file with every figure in it, which opens from a disk or from S3 without a network.

NiMARE draws the figures (:mod:`nimare.reports`); its own page loads scripts from content networks, refers to figures by
relative addresses (which presigned URLs do not carry) and shows one corrected map only. So its figures are taken and
put into a page of our own, for every map that was described.
"""

from __future__ import annotations

import base64
import copy
import json
import logging
import re
import tempfile
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup
from nimare.reports import base as nimare_report

from compose_runner.analysis.drawing import draw_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nimare.results import MetaResult

log = logging.getLogger(__name__)

REPORT_FILENAME = "report.html"
_SHARED_FROM = 100_000  # characters from which a script that stands in several figures is kept once
_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


@dataclass
class Figure:
    """One figure of the page: a picture, a table, or an interactive document in a frame of its own."""

    title: str
    kind: str
    content: str | Markup
    caption: str = ""
    folded: bool = False


@dataclass
class Section:
    """A headed group of figures."""

    title: str
    anchor: str
    figures: list[Figure] = field(default_factory=list)


# file stem -> (title, folded away at first), in the order of the page
_STUDY_FIGURES = {
    "summary": ("Studies", False),
    "figure-static": ("Peak coordinates", False),
    "figure-interactive": ("Explore the peaks", True),
    "figure-legend": ("Colours of the studies", True),
    "figure-dof": ("Degrees of freedom", False),
    "figure-relcov": ("Coverage", False),
    "figure-truevoxels": ("Valid voxels", True),
    "figure-ridgeplot": ("Distribution of values", False),
    "figure-summarystats": ("Summary statistics", True),
    "figure-similarity": ("Similarity of the input maps", False),
    "figure-mask": ("Mask", True),
}
_HEATMAP = (
    "One row for each experiment, one column for each cluster: how much the experiment contributes to the cluster."
)


def write_report(result: MetaResult, directory: Path, metadata: Mapping[str, Any], n_cores: int = 1) -> Path:
    """Draw all figures of a result and write the report.

    Parameters
    ----------
    result : nimare.results.MetaResult
        A fitted result with its estimator, corrector (or none) and diagnostics.
    directory : pathlib.Path
        Where ``report.html`` and the folder ``figures`` with every still picture go.
    metadata : mapping
        The body of ``metadata.json``, as far as it is known: name, seed, versions, counts.
    n_cores : int
        How many figures are drawn at the same time.

    Returns
    -------
    pathlib.Path
        The page.
    """
    with tempfile.TemporaryDirectory(prefix="report-") as drawn:
        sections = _sections(_drawable(result), Path(drawn), directory / "figures", n_cores)
    page = _page(sections, result, metadata)
    path = directory / REPORT_FILENAME
    path.write_text(page, encoding="utf-8")
    return path


class _NoCorrector:
    """Stands where NiMARE's report wants a corrector when the specification asked for none."""

    _correction_method = "method"

    def __init__(self) -> None:
        self.parameters: dict[str, Any] = {}

    def get_params(self) -> dict[str, Any]:
        return {"method": "no correction for multiple comparisons"}


def _drawable(result: MetaResult) -> MetaResult:
    """A shallow copy that NiMARE's report can draw whatever the specification was."""
    drawable = copy.copy(result)
    if drawable.corrector is None:
        drawable.corrector = _NoCorrector()
    return drawable


@contextmanager
def _drawing_quietly() -> Iterator[None]:
    """Figures are files: no display, no window left open when drawing fails, no warnings about axes and colours."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    backend = mpl.get_backend()
    plt.switch_backend("agg")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        plt.close("all")
        plt.switch_backend(backend)


def _sections(result: MetaResult, drawn: Path, pictures: Path, n_cores: int) -> list[Section]:
    diagnostics, result.diagnostics = list(result.diagnostics), []
    folders = [drawn / f"map-{number}" for number in range(len(diagnostics))]
    draw_map = nimare_report._gen_figures
    drawings: list[Callable[[], object]] = []
    for diagnostic, folder in zip(diagnostics, folders, strict=True):
        folder.mkdir()
        name = type(diagnostic).__name__
        drawings.append(partial(draw_map, result, diagnostic.target_image, name, diagnostic.target_threshold, folder))
    # without diagnostics, NiMARE's report is about the studies and the parameters
    drawings.append(partial(nimare_report.Report, result, drawn))
    with _drawing_quietly():
        draw_all(drawings, n_cores)
    maps = [
        _map_section(diagnostic, folder, pictures, number)
        for number, (diagnostic, folder) in enumerate(zip(diagnostics, folders, strict=True))
    ]
    studies = [section for group in (1, 2) if (section := _study_section(drawn / "figures", pictures, group)).figures]
    if len(studies) == 1:
        studies[0].title = "Studies"
    return [*maps, *studies, _parameter_section(drawn / "figures")]


def _map_section(diagnostic: Any, folder: Path, pictures: Path, number: int) -> Section:
    target = diagnostic.target_image
    section = Section(title=f"Result: {target}", anchor=f"map-{number}")
    threshold = f"z above {diagnostic.target_threshold}" if diagnostic.target_threshold else "z above 0"
    size = f", clusters of more than {diagnostic.cluster_threshold} voxels" if diagnostic.cluster_threshold else ""
    wanted: list[tuple[str, str, str]] = [
        ("corrector_figure-non.html", "Map", ""),
        ("corrector_figure-static.png", "Map", f"{threshold}{size}"),
        ("corrector_figure-interactive.html", "Explore the map", "Click in the slices to move."),
        ("diagnostics_tab-clust_table.html", "Clusters and their peaks", "Coordinates in MNI space, in mm."),
        ("diagnostics_tail-positive_figure.png", "Clusters, positive tail", ""),
        ("diagnostics_tail-negative_figure.png", "Clusters, negative tail", ""),
    ]
    wanted += [
        (path.name, "Contributions of the experiments", _HEATMAP) for path in sorted(folder.glob("diagnostics_diag-*"))
    ]
    for name, title, caption in wanted:
        if (path := folder / name).is_file():
            section.figures.append(_figure(path, title, caption, pictures, prefix=f"map-{number}_"))
    return section


def _study_section(folder: Path, pictures: Path, group: int) -> Section:
    section = Section(title=f"Studies of group {group}", anchor=f"studies-{group}")
    for stem, (title, folded) in _STUDY_FIGURES.items():
        for path in sorted(folder.glob(f"preliminary_dset-{group}_{stem}.*")):
            figure = _figure(path, title, "", pictures, prefix="")
            figure.folded = folded
            section.figures.append(figure)
    return section


def _parameter_section(folder: Path) -> Section:
    section = Section(title="Parameters", anchor="parameters")
    for name, title in (("estimator_summary.html", "Estimator"), ("corrector_summary.html", "Corrector")):
        if (path := folder / name).is_file():
            section.figures.append(Figure(title, "html", Markup(path.read_text(encoding="utf-8"))))
    return section


def _figure(path: Path, title: str, caption: str, pictures: Path, prefix: str) -> Figure:
    if path.suffix == ".png":
        content = path.read_bytes()
        pictures.mkdir(parents=True, exist_ok=True)
        (pictures / f"{prefix}{path.name}").write_bytes(content)
        return Figure(title, "picture", base64.b64encode(content).decode(), caption)
    text = path.read_text(encoding="utf-8")
    if "<script" in text:
        return Figure(title, "frame", text, caption)
    return Figure(title, "html", Markup(text), caption)


def _share_scripts(sections: list[Section]) -> dict[str, str]:
    """Take scripts that several frames hold (plotly is 5 MB) out of them; the page puts them back."""
    frames = [figure for section in sections for figure in section.figures if figure.kind == "frame"]
    uses: dict[str, int] = {}
    for frame in frames:
        for script in _SCRIPT.findall(str(frame.content)):
            if len(script) > _SHARED_FROM:
                uses[script] = uses.get(script, 0) + 1
    shared = {script: f"shared-{number}" for number, (script, n) in enumerate(uses.items()) if n > 1}
    for frame in frames:
        text = str(frame.content)
        for script, name in shared.items():
            text = text.replace(f"<script>{script}</script>", f"<!--{name}-->")
        frame.content = text
    return {name: script for script, name in shared.items()}


def _page(sections: list[Section], result: MetaResult, metadata: Mapping[str, Any]) -> str:
    shared = _share_scripts(sections)
    template = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        (files("compose_runner.analysis") / "report.html.jinja").read_text(encoding="utf-8")
    )
    return template.render(
        title=metadata.get("name") or metadata.get("meta_analysis_id") or "Meta-analysis",
        facts=_facts(metadata),
        record=_record(metadata),
        sections=sections,
        shared={name: Markup(script) for name, script in shared.items()},
        metadata=metadata,
        description=result.description_,
        references=result.bibtex_,
        maps=[name for name, values in result.maps.items() if values is not None],
        tables=[name for name, table in result.tables.items() if table is not None],
    )


def _facts(metadata: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """What a reader wants to know first."""
    specification = metadata.get("specification") or {}
    corrector = specification.get("corrector") or {}
    counts = list((metadata.get("counts") or {}).values())
    facts: list[tuple[str, Any]] = [("Estimator", metadata.get("estimator"))]
    method = ((corrector.get("args") or {}).get("method") or "").strip()
    facts.append(("Correction", f"{corrector['type'].removesuffix('Corrector')} {method}" if corrector else "none"))
    facts += [
        (word.capitalize(), " + ".join(str(count.get(word, 0)) for count in counts))
        for word in ("studies", "foci")
        if any(word in count for count in counts)
    ]
    facts.append(("Seed", metadata.get("seed")))
    return [(title, value) for title, value in facts if value is not None]


def _record(metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is needed to make the numbers again."""
    inputs = metadata.get("inputs") or {}
    rows = [
        ("Meta-analysis", str(metadata.get("meta_analysis_id") or "")),
        ("Started", str(metadata.get("started") or "")),
        ("Versions", ", ".join(f"{name} {version}" for name, version in (metadata.get("versions") or {}).items())),
        ("Seed", str(metadata.get("seed", ""))),
        ("Specification", json.dumps(metadata.get("specification") or {}, default=str)),
        ("Inputs", str(inputs.get("origin") or "")),
    ]
    rows += [
        (part.capitalize(), f"{about.get('source')} (SHA-256 {about.get('sha256')})")
        for part, about in inputs.items()
        if isinstance(about, dict)
    ]
    return [(title, value) for title, value in rows if value]
