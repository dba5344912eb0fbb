"""The report: one HTML file with every figure in it, which opens from a disk or from S3 without a network.

NiMARE draws the figures (:mod:`compose_runner.analysis.write.figures`); its own page loads scripts from content
networks, refers to figures by relative addresses (which presigned URLs do not carry) and shows one corrected map
only. So its figures are taken and put into a page of our own, for every map that was described.

Names, ids and parameters come from documents that anybody may have written. The template escapes all of them; what is a
document of its own stands in a sandboxed frame; and the page's content security policy lets nothing run but the scripts
that the page was made with, and nothing be fetched.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import tempfile
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup, escape

from compose_runner.analysis.problems import Problems, explain_error
from compose_runner.analysis.write.drawing import draw_all
from compose_runner.analysis.write.figures import (
    Drawing,
    Figure,
    Section,
    map_section,
    parameter_section,
    study_sections,
)
from compose_runner.escaping import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nimare.results import MetaResult

REPORT_FILENAME = "report.html"
FIGURES = "figures"
_SHARED_FROM = 100_000  # characters from which a script that stands in several figures is kept once
_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_ANY_SCRIPT = re.compile(r"<script\b[^>]*>(.*?)</script\s*>", re.DOTALL | re.IGNORECASE)


def write_report(
    result: MetaResult,
    directory: Path,
    metadata: Mapping[str, Any],
    n_cores: int = 1,
    problems: Problems | None = None,
) -> Path:
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
    problems : Problems, optional
        What could not be made so far, which the report lists; the figures that cannot be drawn are added.

    Returns
    -------
    pathlib.Path
        The page.
    """
    problems = problems or Problems()
    sections = _sections(result, problems)
    with tempfile.TemporaryDirectory(prefix="report-") as drawn:
        _draw(sections, Path(drawn), directory / FIGURES, n_cores, problems)
    page = _page(sections, result, metadata, problems)
    path = directory / REPORT_FILENAME
    path.write_text(page, encoding="utf-8", errors="replace")
    return path


def _sections(result: MetaResult, problems: Problems) -> list[Section]:
    sections: list[Section] = []
    for number, diagnostic in enumerate(result.diagnostics):
        with problems.costing(f"part of the report about {diagnostic.target_image}"):
            sections.append(map_section(result, diagnostic, number))
    with problems.costing("part of the report about the studies"):
        sections += study_sections(result)
    with problems.costing("part of the report about the parameters"):
        sections.append(parameter_section(result))
    return sections


def _draw(sections: list[Section], drawn: Path, pictures: Path, n_cores: int, problems: Problems) -> None:
    """Put figures into the place of the drawings of all sections."""
    drawings = [figure for section in sections for figure in section.figures if isinstance(figure, Drawing)]
    failed = draw_all([partial(drawing, drawn) for drawing in drawings], n_cores)
    figures: dict[int, list[Figure]] = {}
    for number, drawing in enumerate(drawings):
        title = drawing.files[0].title
        reason = failed.get(number)
        found: list[Figure] = []
        if reason is None:
            try:
                found = [_figure(drawn / file.name, file.title, file.caption, file.folded) for file in drawing.files]
                _keep_pictures(drawing, drawn, pictures)
            except (OSError, ValueError) as error:
                reason = explain_error(error)
        if reason is not None:
            found = [Figure(title, "problem", f"could not be drawn: {reason}")]
            problems.add(f"figure '{title}' ({drawing.files[0].name})", reason)
        figures[id(drawing)] = found
    for section in sections:
        section.figures = [
            figure for one in section.figures for figure in (figures[id(one)] if isinstance(one, Drawing) else [one])
        ]


def _keep_pictures(drawing: Drawing, drawn: Path, pictures: Path) -> None:
    pictures.mkdir(parents=True, exist_ok=True)
    for file in drawing.files:
        if file.name.endswith(".png"):
            (pictures / file.name).write_bytes((drawn / file.name).read_bytes())


def _figure(path: Path, title: str, caption: str, folded: bool) -> Figure:
    if path.suffix == ".png":
        return Figure(title, "picture", base64.b64encode(path.read_bytes()).decode(), caption, folded)
    return Figure(title, "frame", path.read_text(encoding="utf-8"), caption, folded)


def _share_scripts(frames: list[Figure]) -> dict[str, str]:
    """Take scripts that several frames hold (plotly is 5 MB) out of them; the page puts them back."""
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


def _frames(sections: list[Section]) -> list[Figure]:
    return [
        figure
        for section in sections
        for figure in section.figures
        if isinstance(figure, Figure) and figure.kind == "frame"
    ]


def _policy(scripts: set[str]) -> str:
    """Make the page's content security policy, which its frames inherit.

    The page's script and those of the figures run because of their checksums; there is no source from which anything is
    fetched. ``unsafe-eval`` is for the peaks in three dimensions, whose script compiles its loops: it lets a script
    that runs make another, and lets none begin. Styles are inline in what plotly draws.
    """
    digests = (hashlib.sha256(script.replace("\r\n", "\n").encode()).digest() for script in scripts)
    hashes = sorted(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {' '.join(hashes)} 'unsafe-eval'",
            "style-src 'unsafe-inline'",
            "img-src data: blob:",
            "font-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _format_value(value: Any) -> Any:
    """What the template shows of a value: control characters of a text are visible, line breaks stay."""
    return visible(value, lines=True) if isinstance(value, str) and not isinstance(value, Markup) else value


def _page(sections: list[Section], result: MetaResult, metadata: Mapping[str, Any], problems: Problems) -> str:
    folder = files("compose_runner.analysis.write")
    script = (folder / "report.js").read_text(encoding="utf-8")
    frames = _frames(sections)
    policy = _policy({script, *(found for frame in frames for found in _ANY_SCRIPT.findall(frame.content))})
    shared = _share_scripts(frames)
    for frame in frames:
        # here, so that the template leaves every character of a script as it is, which its checksum is made of
        frame.content = escape(frame.content)
    template = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, finalize=_format_value
    ).from_string((folder / "report.html.jinja").read_text(encoding="utf-8"))
    address = str(metadata.get("result_url") or "")
    return template.render(
        title=metadata.get("name") or metadata.get("meta_analysis_id") or "Meta-analysis",
        address=address,
        linked=address.startswith(("https://", "http://")),
        facts=_facts(metadata),
        record=_record(metadata),
        sections=sections,
        shared={name: Markup(text) for name, text in shared.items()},
        script=Markup(script),
        policy=policy,
        metadata=metadata,
        problems=problems.listed,
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
