"""What ``run()`` shows in a notebook: its progress while it runs, and a card of the result at the end.

Both are HTML that every front end of Jupyter draws without an extension: an output that is updated, and the object's
own ``_repr_html_``.
"""

from __future__ import annotations

import base64
import sys
import time
from html import escape
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from compose_runner.analysis.write.names import clean
from compose_runner.analysis.write.summary import MOST_SHOWN, summarize
from compose_runner.progress import STAGE_NAMES, time_left

if TYPE_CHECKING:
    from nimare.results import MetaResult

    from compose_runner.analysis.write.summary import ClustersOfMap, RunSummary
    from compose_runner.progress import ProgressRecord

_SECONDS_BETWEEN = 0.2
_PICTURE_THRESHOLD = 1.65


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


class NotebookProgress:
    """Draws the stage of a run, a bar, and the time left, below the cell that runs.

    Attributes
    ----------
    html : str
        What is shown at this moment.
    """

    def __init__(self) -> None:
        # no dependency: it is there where a kernel runs this
        from IPython.display import display

        self.html = "<p>The run begins.</p>"
        self._stage: str | None = None
        self._drawn = 0.0
        self._lock = Lock()
        self._handle: Any = display(self, display_id=True)  # type: ignore[no-untyped-call]

    def __call__(self, record: ProgressRecord) -> None:
        """Draw the record; those that follow quickly on another of the same stage are left out."""
        with self._lock:
            stage, now = record.stage.value, time.monotonic()
            done = record.total is not None and record.completed >= record.total
            if stage == self._stage and not done and now - self._drawn < _SECONDS_BETWEEN:
                return
            self._stage, self._drawn = stage, now
            name = escape(STAGE_NAMES.get(stage, stage))
            steps = f" {record.completed:,}/{record.total:,}" if record.total else ""
            left = time_left(record.seconds_left)
            value = f' value="{record.completed}" max="{record.total}"' if record.total else ""
            self._draw(
                f'<p><progress aria-label="{name}"{value}></progress> {name}{steps}{f", {left}" if left else ""}</p>'
            )

    def finish(self) -> None:
        """Take the bar away."""
        with self._lock:
            self._draw("")

    def __repr__(self) -> str:
        return f"run: {self._stage or 'begins'}" if self.html else ""

    def _repr_html_(self) -> str:
        return self.html

    def _draw(self, html: str) -> None:
        self.html = html
        if self._handle is not None:
            self._handle.update(self)


def notebook_progress() -> NotebookProgress | None:
    """Make the progress of a notebook; None where this is none."""
    return NotebookProgress() if in_notebook() else None


class _Pair(NamedTuple):
    url: str | None
    result: MetaResult


class RunOutcome(_Pair):
    """What :func:`compose_runner.run.run` returns: it unpacks as ``url, result``, and a notebook shows it as a card.

    Attributes
    ----------
    url : str or None
        Page of the published result; None when nothing was uploaded.
    result : nimare.results.MetaResult
        Maps, tables, estimator.
    result_dir : Path
        Where the files are.
    """

    result_dir: Path

    @classmethod
    def of(cls, url: str | None, result: MetaResult, result_dir: Path) -> RunOutcome:
        """Make the outcome of a run."""
        outcome = cls(url, result)
        outcome.result_dir = result_dir.expanduser().resolve()
        return outcome

    def __repr__(self) -> str:
        summary = summarize(self.result_dir)
        lines = [clean(summary.title), *summary.lines()] if summary is not None else []
        return "\n".join([*map(_one_line, lines), f"(url, result) of the run in {self.result_dir}"])

    def _repr_html_(self) -> str:
        summary = summarize(self.result_dir)
        if summary is None:
            return f"<p>The result directory {escape(str(self.result_dir))} holds no finished run.</p>"
        parts = [f"<h3>{escape(clean(summary.title))}</h3>", self._picture(summary)]
        parts += [_table(of_map, summary) for of_map in summary.maps]
        parts += [f"<p>{escape(clean(note))}</p>" for note in summary.left_out]
        if summary.warnings:
            items = "".join(f"<li>{escape(clean(warning))}</li>" for warning in summary.warnings)
            parts.append(f"<details><summary>Warnings: {len(summary.warnings)}</summary><ul>{items}</ul></details>")
        parts.append(f"<p>{self._links(summary)}</p>")
        return f'<article aria-label="Result of the meta-analysis">{"".join(parts)}</article>'

    def _picture(self, summary: RunSummary) -> str:
        """Draw the map that the clusters are in; a card without a picture is still a card."""
        from compose_runner.analysis.write.pictures import describe, glass_brain, png

        available = {name: values for name, values in self.result.maps.items() if values is not None}
        names = [*(of_map.name for of_map in summary.maps), *(name for name in available if name.startswith("z"))]
        name = next((name for name in names if name in available), None)
        if name is None:
            return ""
        image = self.result.get_map(name)
        try:
            data, alt = png(glass_brain(image, _PICTURE_THRESHOLD)), describe(image, _PICTURE_THRESHOLD)
        except (ValueError, OSError):
            return ""
        source = base64.b64encode(data).decode()
        return f'<img alt="{escape(alt)}" style="max-width: 100%" src="data:image/png;base64,{source}">'

    def _links(self, summary: RunSummary) -> str:
        links = [f"Files: <code>{escape(str(self.result_dir))}</code>"]
        if summary.report is not None:
            links.insert(0, f'<a href="{escape(_address(summary.report))}" target="_blank">Report</a>')
        if self.url:
            links.insert(
                0, f'<a href="{escape(self.url)}" target="_blank" rel="noopener">Page on Neurosynth Compose</a>'
            )
        return " · ".join(links)


def _table(of_map: ClustersOfMap, summary: RunSummary) -> str:
    heading = escape(of_map.heading)
    if not of_map.clusters:
        return f"<p>{heading}: no clusters.</p>"
    studied = " and ".join(f"{count:,}" for count in summary.studies)
    caption = f"{heading}: {len(of_map.clusters)} clusters, {studied} studies; peaks in mm (MNI)"
    labelled = any(cluster.label for cluster in of_map.clusters)
    columns = ["x", "y", "z", "value", "size (mm³)", *(["label"] if labelled else [])]
    head = "".join(f'<th scope="col">{column}</th>' for column in columns)
    rows = []
    for cluster in of_map.clusters[:MOST_SHOWN]:
        cells = [f"{axis:.0f}" for axis in (cluster.x, cluster.y, cluster.z)]
        cells += ["" if cluster.value is None else f"{cluster.value:.2f}"]
        cells += ["" if cluster.size_mm3 is None else f"{cluster.size_mm3:,.0f}"]
        cells += [escape(clean(cluster.label))] if labelled else []
        rows.append(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    more = len(of_map.clusters) - MOST_SHOWN
    rest = f"<p>and {more} more in the report</p>" if more > 0 else ""
    return (
        f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>{rest}"
    )


def _address(path: Path) -> str:
    """Address of a file for a notebook: a page that a server sent must not link to a file by itself."""
    here = Path.cwd()
    return quote(path.relative_to(here).as_posix()) if path.is_relative_to(here) else path.as_uri()


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
