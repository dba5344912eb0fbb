"""The figures as tables of Markdown, with the goals they are held against."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.ratios import Ratio

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Figures = dict[str, Any]
# at most 1.4 times as long as the peer's, whose handlers import boto3 alone; ours validate, log, measure and trace too
COLD_START_GOAL = 0.71
MEMORY_GOAL = 1.0


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table of goals.

    Parameters
    ----------
    what : str
        What was measured.
    ratio : Ratio
        The other over ours.
    goal : float or None
        None for what is shown without a goal.
    kind : str
        ``job``, ``kernel``, ``memory`` or ``start``.
    """

    what: str
    ratio: Ratio
    goal: float | None
    kind: str

    @property
    def verdict(self) -> str:
        """Whether the goal is met, in a word."""
        if self.goal is None:
            return ""
        return "met" if self.ratio.meets(self.goal) else "**missed**"


def rows(figures: Figures) -> list[Row]:
    """Hold every figure against its goal.

    Parameters
    ----------
    figures : dict
        Sections by name, as the command keeps them; sections that were not measured are left out.
    """
    return [*_job_rows(figures), *_kernel_rows(figures), *_start_rows(figures)]


def _paired(job: Figures, column: int, ours: str = "ours") -> Ratio:
    both = zip(job["rounds"]["peer"], job["rounds"][ours], strict=False)  # the report is not drawn in every round
    return Ratio.of_pairs((peer[column], our[column]) for peer, our in both)


def _jobs(figures: Figures) -> Iterable[Figures]:
    found: Figures = figures.get("jobs", {}).get("jobs", {})
    return found.values()


def _job_rows(figures: Figures) -> list[Row]:
    found = [Row(job["title"], _paired(job, 0), job["goal"], "job") for job in _jobs(figures)]
    found += [
        Row(f"{job['title']}, with our report (the peer draws none)", _paired(job, 0, "with report"), None, "job")
        for job in _jobs(figures)
        if "with report" in job["rounds"]
    ]
    found += [Row(f"{job['title']}: peak memory", _paired(job, 2), MEMORY_GOAL, "memory") for job in _jobs(figures)]
    return found


def _kernel_rows(figures: Figures) -> list[Row]:
    return [
        Row(
            f"{name}: one permutation, one core",
            _quartiled(found),
            found["goal"],
            "kernel",
        )
        for name, found in figures.get("kernels", {}).items()
    ]


def _quartiled(found: Figures) -> Ratio:
    low, high = found["ratio_quartiles"]
    return Ratio(found["ratio"], low, high, found["rounds"])


def _start_rows(figures: Figures) -> list[Row]:
    emulated = [
        Row(f"{name}: cold start under Lambda's emulator{suffix}", Ratio.of_pairs(found[key]), COLD_START_GOAL, "start")
        for key, suffix in (("cold", ""), ("processor", ", processor time"))
        for name, found in figures.get("emulator", {}).items()
        if key in found
    ]
    bare = [
        Row(f"{name}: cold start of the bare process", Ratio.of_pairs(pairs), COLD_START_GOAL, "start")
        for name, pairs in figures.get("starts", {}).items()
    ]
    return emulated + bare


def markdown(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """Make a table; columns after the first are aligned right.

    Parameters
    ----------
    head : sequence of str
        Titles.
    body : iterable of sequence of str
        Cells.
    """
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def goals_table(all_rows: Iterable[Row]) -> str:
    """Every ratio with its spread, its goal and whether it is met."""
    return markdown(
        ("what", "goal", "measured", "middle half of the rounds", "rounds", ""),
        (
            (
                row.what,
                "" if row.goal is None else f"{row.goal:g}×",
                f"{row.ratio.median:.2f}×",
                f"{row.ratio.low:.2f} to {row.ratio.high:.2f}",
                str(row.ratio.rounds),
                row.verdict,
            )
            for row in all_rows
        ),
    )


def jobs_table(figures: Figures) -> str:
    """Seconds, processor seconds and megabytes of whole processes; medians."""

    def line(job: Figures) -> Sequence[str]:
        rounds = job["rounds"]
        middle = {
            who: [statistics.median(column) for column in zip(*many, strict=True)] for who, many in rounds.items()
        }
        report = f"{middle['with report'][0]:.1f}" if "with report" in middle else ""
        peer, ours = middle["peer"], middle["ours"]
        pairs = [f"{peer[0]:.1f} / {ours[0]:.1f}", report, f"{peer[1]:.1f} / {ours[1]:.1f}"]
        return [job["title"], *pairs, f"{peer[2]:.0f} / {ours[2]:.0f}", sameness(job["same"])]

    head = ("job (peer / ours)", "seconds", "with report", "processor seconds", "peak MB", "outputs")
    return markdown(head, map(line, _jobs(figures)))


def sameness(same: Figures) -> str:
    """Say in words how the outputs compare."""
    if same["missing"]:
        return f"lacks {', '.join(same['missing'])}"
    if same["different"]:
        return f"differ: {', '.join(same['different'])}"
    largest = f"{same['largest']:.0e}" if same["largest"] else "0"
    return f"{same['maps']} maps, {same['tables']} tables equal (largest difference {largest})"


def kernels_table(figures: Figures) -> str:
    """Milliseconds of one permutation."""
    return markdown(
        ("one permutation on one core", "NiMARE, ms", "ours, ms"),
        (
            (name, f"{found['nimare_ms']:.1f}", f"{found['ours_ms']:.2f}")
            for name, found in figures.get("kernels", {}).items()
        ),
    )


def starts_table(figures: Figures) -> str:
    """Milliseconds to the first answer and of later ones; medians of peer and ours."""

    def both(pairs: Sequence[Sequence[float]], digits: int) -> str:
        peer, ours = (statistics.median(column) for column in zip(*pairs, strict=True))
        return f"{peer:.{digits}f} / {ours:.{digits}f}"

    bare, emulated = figures.get("starts", {}), figures.get("emulator", {})
    return markdown(
        (
            "function (peer / ours)",
            "cold, emulator, ms",
            "of the processor",
            "warm, emulator, ms",
            "cold, bare process, ms",
        ),
        (
            (
                name,
                both(emulated[name]["cold"], 0) if name in emulated else "",
                both(emulated[name]["processor"], 0) if "processor" in emulated.get(name, {}) else "",
                both(emulated[name]["warm"], 1) if name in emulated else "",
                both(bare[name], 0) if name in bare else "",
            )
            for name in {**emulated, **bare}
        ),
    )


def growth_table(points: Iterable[Figures]) -> str:
    """Time and memory of every point."""
    return markdown(
        ("estimator", "studies", "foci", "permutations", "cores", "fit, s", "each, ms", "predicted, ms", "peak MB"),
        (
            (
                point["estimator"],
                *(f"{point[name]:,}" for name in ("studies", "foci", "permutations", "cores")),
                f"{point['fit_seconds']:.1f}",
                f"{point['permutation_ms']:.2f}",
                f"{point['predicted_ms'] / point['cores']:.2f}",
                "" if point["memory_mb"] is None else f"{point['memory_mb']:,.0f}",
            )
            for point in points
        ),
    )


def load_table(load: Figures) -> str:
    """Latency of each function while many clients call."""
    return markdown(
        ("function", "median, ms", "95 of 100 below, ms", "longest, ms"),
        (
            (name, *(f"{values[key]:.0f}" for key in ("median", "p95", "max")))
            for name, values in load["latency_ms"].items()
        ),
    )
