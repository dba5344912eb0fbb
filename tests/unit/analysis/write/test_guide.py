"""README.txt names what to open first, and every file of a result has a description."""

from __future__ import annotations

import pytest

from compose_runner.analysis.write.guide import describe_file, first_files, readme

MAP = "z_desc-mass_level-cluster_corr-FWE_method-montecarlo"
NAMES = [
    "boilerplate.txt",
    "figures/figure-1.png",
    "report.html",
    "z.nii.gz",
    f"{MAP}.nii.gz",
    f"{MAP}_diag-Jackknife_tab-counts_tail-positive.tsv",
    f"{MAP}_tab-clust.tsv",
]
METADATA = {"name": "Pain \x1b[31m", "diagnostics": [{"target_image": MAP}], "compose_runner_version": "1.0.0"}


def test_the_first_three_files_are_report_clusters_and_the_map_that_they_are_in() -> None:
    assert first_files(METADATA, NAMES) == ["report.html", f"{MAP}_tab-clust.tsv", f"{MAP}.nii.gz"]
    assert first_files(METADATA, [*NAMES, "clusters.tsv"])[1] == "clusters.tsv"
    assert first_files({}, ["z.nii.gz"]) == ["z.nii.gz"]


def test_the_readme_names_every_file_in_80_columns_and_no_control_characters() -> None:
    text = readme(METADATA, NAMES)
    assert all(len(line) <= 80 or "z_desc" in line for line in text.splitlines())
    assert "\x1b" not in text
    assert text.index("1. report.html") < text.index("2. z_desc") < text.index("3. z_desc") < text.index("All files")
    assert all(name in text for name in NAMES if not name.startswith("figures/"))
    assert "  figures/\n" in text


@pytest.mark.parametrize(
    ("name", "part"),
    [
        (f"{MAP}.nii.gz", "Cluster-mass corrected (FWE, permutations). z map"),
        ("stat.nii.gz", "ALE value"),
        ("unheard-of.nii.gz", "Map in MNI space"),
        (f"{MAP}_diag-Jackknife_tab-counts_tail-positive.tsv", "Share of each cluster"),
        (f"{MAP}_tab-clust.tsv", "Clusters, their peaks"),
        ("figures/figure-1.png", "figure"),
        ("meta_results.pkl", "pickle"),
        ("other.tsv", "table"),
    ],
)
def test_each_kind_of_file_has_a_description_of_its_own(name: str, part: str) -> None:
    assert part in describe_file(name, "ALE")
