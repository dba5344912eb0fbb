"""The pure parts of the benchmarks: ratios, documents of jobs, tables, the page."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import jobs, tables
from benchmarks.document_server import DocumentServer
from benchmarks.growth import points
from benchmarks.ratios import Ratio, quartiles


def job_figures(**more: Any) -> dict[str, Any]:
    """Figures of one job: the peer needs 9, 12 and 10 seconds, ours 3, 3 and 5."""
    peer = [[9.0, 8.0, 500.0], [12.0, 9.0, 510.0], [10.0, 8.5, 490.0]]
    ours = [[3.0, 2.5, 250.0], [3.0, 2.6, 260.0], [5.0, 2.7, 255.0]]
    same = {"maps": 8, "tables": 2, "different": [], "largest": 0.0, "missing": []}
    job = {"title": "a job", "goal": 3.0, "rounds": {"peer": peer, "ours": ours}, "same": same, **more}
    return {"jobs": {"jobs": {"a": job}}}


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    ratio = Ratio.of_pairs([(9.0, 3.0), (12.0, 3.0), (10.0, 5.0)])

    assert (ratio.median, ratio.rounds) == (3.0, 3)
    assert (ratio.low, ratio.high) == (2.5, 3.5)


def test_the_spread_of_one_round_is_that_round() -> None:
    assert quartiles([2.5]) == (2.5, 2.5)


def test_a_summary_of_no_rounds_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing"):
        quartiles([])


@pytest.mark.parametrize(("median", "met"), [(3.0, True), (2.996, True), (2.99, False)])
def test_a_goal_is_met_by_the_ratio_as_it_is_printed(median: float, met: bool) -> None:
    assert Ratio(median, median, median, 1).meets(3.0) is met


def test_a_jobs_time_and_memory_are_held_against_their_goals() -> None:
    time, memory = tables.rows(job_figures())

    assert (time.what, time.ratio.median, time.goal, time.verdict) == ("a job", 3.0, 3.0, "met")
    assert (memory.goal, memory.verdict) == (1.0, "met")


def test_a_missed_goal_is_said_to_be_missed() -> None:
    table = tables.goals_table(tables.rows(job_figures(goal=3.5)))

    assert "| a job | 3.5× | 3.00× | 2.50 to 3.50 | 3 | **missed** |" in table


def test_our_report_is_a_row_without_a_goal() -> None:
    figures = job_figures()
    job = figures["jobs"]["jobs"]["a"]
    job["rounds"]["with report"] = [[4.0, 4.0, 400.0]] * 2

    row = next(row for row in tables.rows(figures) if "report" in row.what)

    assert row.goal is None
    assert row.verdict == ""
    assert row.ratio.rounds == 2


def test_starts_and_kernels_are_rows_too() -> None:
    figures = {
        "kernels": {"ALE": {"ratio": 12.0, "ratio_quartiles": [11.0, 13.0], "rounds": 5, "goal": 10.0}},
        "emulator": {"logs": {"cold": [[300.0, 400.0]], "processor": [[300.0, 420.0]], "warm": [[5.0, 4.0]]}},
        "starts": {"logs": [[280.0, 400.0]]},
    }

    assert [row.verdict for row in tables.rows(figures)] == ["met", "met", "met", "**missed**"]
    assert "| logs | 300 / 400 | 300 / 420 | 5.0 / 4.0 | 280 / 400 |" in tables.starts_table(figures)


def test_every_line_of_a_table_has_as_many_cells_as_its_head() -> None:
    head, rule, line = tables.jobs_table(job_figures()).splitlines()

    assert head.count("|") == rule.count("|") == line.count("|")
    assert "10.0 / 3.0" in line


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "8 maps, 2 tables equal"),
        ({"different": ["z.nii.gz"]}, "differ: z.nii.gz"),
        ({"missing": ["p.nii.gz"]}, "lacks p.nii.gz"),
    ],
)
def test_a_difference_between_the_outputs_is_named(change: dict[str, Any], said: str) -> None:
    same = {"maps": 8, "tables": 2, "different": [], "largest": 0.0, "missing": [], **change}

    assert tables.sameness(same).startswith(said)


def test_growth_is_measured_up_to_a_hundred_thousand_foci_and_small_sizes_come_first() -> None:
    found = points(2)

    assert max(point.foci for point in found) == 100_000
    assert [point.foci for point in found] == sorted(point.foci for point in found)
    assert {point.series for point in found} == {"foci", "studies", "permutations", "cores"}
    assert max(point.foci for point in points(2, quick=True)) == 1_000


def test_jobs_have_the_sizes_that_their_titles_say() -> None:
    given = jobs.documents()

    assert [len(studyset["studies"]) for studyset, _ in (given.small, given.large)] == [5, 52]


def test_the_halves_are_the_first_twenty_seven_studies_and_the_others() -> None:
    studyset, annotation = jobs.documents().large
    first = {study["id"] for study in studyset["studies"][:27]}

    halves: dict[str, set[str]] = {"first": set(), "second": set()}
    for note in annotation["notes"]:
        halves[note["note"]["half"]].add(note["study"])
    assert halves["first"]
    assert halves["first"] <= first
    assert halves["second"]
    assert halves["second"].isdisjoint(first)


def test_a_job_is_served_with_everything_that_either_runner_asks_for() -> None:
    from compose_runner.analysis.fetch.bundle import fetch_bundle
    from compose_runner.compose.environments import Environment

    job = next(job for job in jobs.JOBS if job.name == "chi2-50")
    with DocumentServer() as server:
        jobs.serve_job(job, jobs.documents(), server, most_iterations=3)
        bundle = fetch_bundle(
            job.meta_analysis_id, Environment("production", server.compose_api, server.neurostore_api)
        )

    assert bundle.specification["corrector"]["args"]["n_iters"] == 3
    assert "half" in bundle.annotation["note_keys"]
    assert len(bundle.studyset["studies"]) == 52


def test_both_runners_draw_the_same_permutations() -> None:
    for job in jobs.JOBS:
        seeded = "random_state" in job.specification()["estimator"]["args"]["**kwargs"]
        assert seeded == (job.corrector["type"] == "FWECorrector")
