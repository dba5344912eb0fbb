"""Two pictures of the figures: ratios against their goals, and growth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter, NullFormatter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.tables import Row

MET, MISSED, PLAIN, GOAL, INK, FAINT = "#2a9d8f", "#e76f51", "#9fb3c8", "#c1121f", "#1f2933", "#d9e2ec"
SERIES = {"ALE": "#3d5a80", "MKDADensity": "#ee6c4d"}
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9aa5b1",
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.hashsalt": "compose-runner",
    "savefig.facecolor": "white",
}
TITLES = {
    "job": "Whole process, time",
    "memory": "Whole process, peak memory",
    "kernel": "One permutation, NiMARE / ours",
    "start": "Cold start of a function",
}


def draw_ratios(rows: Sequence[Row], path: Path) -> None:
    """Draw a bar per row, with the middle half of the rounds and a mark for the goal.

    Parameters
    ----------
    rows : sequence of Row
        Those without a goal are drawn in grey.
    path : Path
        An SVG or PNG file.
    """
    kinds = [kind for kind in TITLES if any(row.kind == kind for row in rows)]
    if not kinds:
        return
    grouped = [[row for row in rows if row.kind == kind] for kind in kinds]
    heights = [len(group) + 1.2 for group in grouped]
    with mpl.rc_context(STYLE):
        figure, panels = plt.subplots(
            len(kinds),
            figsize=(10.5, 0.36 * sum(heights) + 1.0),
            gridspec_kw={"height_ratios": heights},
            layout="constrained",
            squeeze=False,
        )
        figure.suptitle("How many times as fast (as small) as the runner in production", weight="bold", fontsize=13)
        for panel, kind, group in zip(panels[:, 0], kinds, grouped, strict=True):
            _draw_panel(panel, TITLES[kind], group)
        figure.savefig(path, metadata=_no_date(path))
        plt.close(figure)


def _draw_panel(panel: Any, title: str, group: Sequence[Row]) -> None:
    ratios = [row.ratio for row in group]
    positions = range(len(group))
    colours = [{"met": MET, "": PLAIN}.get(row.verdict, MISSED) for row in group]
    medians = [ratio.median for ratio in ratios]
    spread = [
        [max(ratio.median - ratio.low, 0) for ratio in ratios],
        [max(ratio.high - ratio.median, 0) for ratio in ratios],
    ]
    panel.barh(positions, medians, height=0.62, color=colours, zorder=2)
    panel.errorbar(medians, positions, xerr=spread, fmt="none", ecolor=INK, elinewidth=1, capsize=2.5, zorder=3)
    for position, row in enumerate(group):
        if row.goal is not None:
            panel.plot([row.goal] * 2, [position - 0.42, position + 0.42], color=GOAL, linewidth=2.2, zorder=4)
        panel.annotate(
            f"{row.ratio.median:.1f}×" if row.ratio.median >= 9.95 else f"{row.ratio.median:.2f}×",
            (1.0, position),
            xycoords=panel.get_yaxis_transform(),
            xytext=(38, 0),
            textcoords="offset points",
            va="center",
            ha="right",
            fontsize=9,
            weight="bold",
        )
    largest = max(max(ratio.high, ratio.median) for ratio in ratios)
    panel.set_xlim(0, 1.05 * max([largest, *(row.goal for row in group if row.goal is not None)]))
    panel.set_yticks(positions, [row.what for row in group], fontsize=9)
    panel.invert_yaxis()
    panel.set_title(f"{title}   (red line: goal)", loc="left", fontsize=10.5, weight="bold")
    panel.grid(axis="x", color=FAINT, zorder=0)
    panel.tick_params(length=0)


def draw_growth(points: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw time and memory against foci, studies, permutations and cores.

    Parameters
    ----------
    points : sequence of dict
        As :func:`benchmarks.growth.measure` gives them.
    path : Path
        An SVG or PNG file.
    """
    columns = [
        ("foci", "foci (20 a study, one core)", "permutation_ms", "one permutation, ms"),
        ("studies", "studies (3,000 foci, one core)", "permutation_ms", "one permutation, ms"),
        ("permutations", "permutations (1,000 foci)", "run_seconds", "all permutations, s"),
        ("cores", "cores (1,000 foci)", "permutation_ms", "one permutation, ms"),
    ]
    columns = [column for column in columns if any(point["series"] == column[0] for point in points)]
    if not columns:
        return
    with mpl.rc_context(STYLE):
        figure, panels = plt.subplots(
            2, len(columns), figsize=(3.3 * len(columns), 5.8), layout="constrained", squeeze=False
        )
        figure.suptitle("How a Monte Carlo correction grows", weight="bold", fontsize=13)
        for (top, bottom), (series, label, quantity, unit) in zip(panels.T, columns, strict=True):
            for estimator, colour in SERIES.items():
                chosen = [point for point in points if (point["series"], point["estimator"]) == (series, estimator)]
                chosen = sorted(chosen, key=lambda point: point[series])
                sizes = [point[series] for point in chosen]
                line = {"color": colour, "marker": "o", "markersize": 4.5, "label": estimator}
                top.plot(sizes, [point[quantity] for point in chosen], **line)
                bottom.plot(sizes, [point["memory_mb"] or float("nan") for point in chosen], **line)
                if quantity == "permutation_ms":
                    predicted = [point["predicted_ms"] / point["cores"] for point in chosen]
                    top.plot(sizes, predicted, color=colour, linestyle=":", label=f"{estimator}, predicted")
            for panel, side in ((top, unit), (bottom, "peak memory, MB")):
                panel.set_ylabel(side)
                panel.grid(color=FAINT)
                if series == "cores":
                    panel.set_xticks(sorted({point["cores"] for point in points if point["series"] == "cores"}))
                    panel.set_ylim(bottom=0)
                else:
                    panel.set_xscale("log")
                    panel.set_yscale("log" if panel is top or series == "foci" else "linear")
                _plain_numbers(panel)
            bottom.set_xlabel(label)
            bottom.set_ylim(bottom=100 if bottom.get_yscale() == "log" else 0)
            bottom.margins(y=0.15)
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)
        figure.savefig(path, metadata=_no_date(path))
        plt.close(figure)


def _plain_numbers(panel: Any) -> None:
    """Write 1,000 for 10³, at decades alone."""
    plain = FuncFormatter(lambda value, _: f"{value:,.15g}")
    for axis in (panel.xaxis, panel.yaxis):
        if axis.get_scale() == "log":
            axis.set_major_formatter(plain)
            axis.set_minor_formatter(NullFormatter())


def _no_date(path: Path) -> dict[str, Any] | None:
    return {"Date": None} if path.suffix == ".svg" else None
