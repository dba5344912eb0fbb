"""The end of a run says what was found and what was left out, in the numbers that the run recorded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from compose_runner.analysis.write.summary import Cluster, summarize

if TYPE_CHECKING:
    from pathlib import Path

MAP = "z_corr-FDR_method-indep"
CLUSTERS = (
    "Cluster ID\tX\tY\tZ\tPeak Stat\tCluster Size (mm3)\n"
    "PositiveTail 1\t38.0\t2.0\t-4.0\t4.348\t3480\nPositiveTail 1a\t34\t22\t0\t3.55\t\n"
    "PositiveTail 2\t54\t-28\t20\t3.96\t1088\n"
)
FOCI = {"outside_mask": 3, "without_coordinates": 0, "duplicates": 1}
ACCOUNTING = {"first": {"used": {"studies": 20}, "foci": FOCI}, "second": None}
STUDIES = [
    {"id": "a", "authors": "Nagamatsu L, Voss M", "year": 2016, "group": "first", "in": False, "why": "no coordinates"},
    {"id": "b", "authors": "", "title": "Pain", "group": "first", "in": False, "why": "no coordinates"},
    {"id": "c", "authors": "Smith J", "year": 2001, "group": "first", "in": True, "why": ""},
    {"id": "d", "authors": "Wu X", "year": 2002, "group": None, "in": False, "why": "not selected"},
]


def lines(folder: Path, **metadata: Any) -> list[str]:
    body = {"counts": {"first": {"studies": 21}}, "diagnostics": [{"target_image": MAP}], **metadata}
    (folder / "metadata.json").write_text(json.dumps(body))
    summary = summarize(folder)
    assert summary is not None
    return list(summary.lines())


def test_clusters_are_told_by_their_peaks_and_not_by_their_sub_peaks(tmp_path: Path) -> None:
    (tmp_path / f"{MAP}_tab-clust.tsv").write_text(CLUSTERS)
    assert lines(tmp_path) == [
        "Voxel-wise corrected (FDR, Benjamini-Hochberg)",
        "2 clusters where 21 studies converge; peaks in mm (MNI):",
        "     38     2    -4   z = 4.35     3,480 mm³",
        "     54   -28    20   z = 3.96     1,088 mm³",
    ]


def test_labels_come_from_the_table_of_all_clusters(tmp_path: Path) -> None:
    rows = [
        "map\talpha\ttail\tcluster\tpeak\tx\ty\tz\tz_corrected\tz_uncorrected\tsize_mm3\tlabel",
        f"{MAP}\t0.05\tpositive\t1\t1\t38\t2\t2\t3.1\t4.4\t800\tRight insula (AAL3); Right insular cortex (CIT168)",
        f"{MAP}\t0.05\tpositive\t1\t2\t34\t2\t2\t2.9\t4.0\t\tRight Putamen",
    ]
    (tmp_path / "clusters.tsv").write_text("\n".join(rows))
    assert lines(tmp_path)[1:] == [
        "1 cluster where 21 studies converge; peaks in mm (MNI), regions of AAL3:",
        "     38     2     2   z = 3.10       800 mm³   Right insula",
    ]
    cluster = Cluster(-38, -12, -12, -3.1, 180800, "Left middle cingulate and paracingulate gyrus (AAL3)")
    assert len(f"  {cluster.line()}") == 80


def test_a_map_without_clusters_is_said_to_have_none(tmp_path: Path) -> None:
    (tmp_path / "clusters.tsv").write_text("map\n")
    assert lines(tmp_path)[-1] == "No clusters, with 21 studies."


def test_what_was_left_out_is_told_with_the_reason_and_the_names_of_studies(tmp_path: Path) -> None:
    (tmp_path / f"{MAP}_tab-clust.tsv").write_text(CLUSTERS)
    told = lines(tmp_path, accounting=ACCOUNTING, studies=STUDIES)
    assert told[1].startswith("2 clusters where 20 studies converge")
    assert told[4:] == [
        "1 study of the studyset was not selected by the specification.",
        "Left out: 2 studies (Nagamatsu 2016, Pain): no coordinates",
        "Left out: 3 foci outside of the brain mask.",
        "Left out: 1 focus listed twice.",
    ]


def test_warnings_of_the_audit_and_what_could_not_be_made_are_told_and_notes_are_not(tmp_path: Path) -> None:
    audit = [{"severity": "warning", "message": "Few studies. " * 9}, {"severity": "note", "message": "kernel"}]
    told = lines(tmp_path, audit=audit, problems=[{"what": "figure map", "reason": "no space"}])
    assert told[1].startswith("Warning: Few studies.")
    assert told[-1] == "Warning: figure map could not be made: no space"
    assert max(map(len, told)) <= 80
    assert "kernel" not in "".join(told)
    summary = summarize(tmp_path)
    assert summary is not None
    assert list(summary.lines(warned=True))[1:] == ["2 warnings: see above, or metadata.json"]


def test_the_heading_says_the_threshold_where_the_run_recorded_it(tmp_path: Path) -> None:
    (tmp_path / f"{MAP}_tab-clust.tsv").write_text(CLUSTERS)
    told = lines(tmp_path, diagnostics=[{"target_image": MAP, "alpha": 0.05, "tails": 2}])
    assert told[0] == "Voxel-wise corrected (FDR, Benjamini-Hochberg), p < 0.05, two-tailed"


def test_the_report_is_told_by_its_address(tmp_path: Path) -> None:
    (tmp_path / "report.html").touch()
    assert lines(tmp_path)[-1] == f"Report: {(tmp_path / 'report.html').resolve().as_uri()}"


def test_a_directory_without_a_finished_run_has_no_summary(tmp_path: Path) -> None:
    assert summarize(tmp_path) is None
    (tmp_path / "metadata.json").write_text("[")
    assert summarize(tmp_path) is None
