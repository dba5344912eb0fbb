"""What each file of a result is: descriptions for ``metadata.json``, and ``README.txt``, which says where to begin."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Any

from compose_runner.analysis.write.headings import map_heading
from compose_runner.analysis.write.run_log import RUN_LOG
from compose_runner.escaping import visible
from compose_runner.service.storage import METADATA_FILENAME

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

README = "README.txt"
_MAP = ".nii.gz"
_WIDTH = 80

_DESCRIPTIONS: Mapping[str, str] = {
    "report.html": "The report: one file for a browser, which needs no network.",
    README: "Which files to open first, and what each file is.",
    RUN_LOG: "Every record and warning of the run and of the libraries that it uses, with times in UTC.",
    "boilerplate.txt": "Text for the methods section; its citations are keys of references.bib.",
    "references.bib": "BibTeX entries of what the methods text cites.",
    "meta_results.pkl": "NiMARE's MetaResult as a Python pickle. Load it only if you made it yourself.",
    "bundle.json.gz": "Studyset, annotation and specification that were computed from; --bundle reads it.",
    "ibma_coverage.tsv": "Which statistical maps of which study were found and used.",
    "studies.tsv": "Every study by name: used or not and why, with its ids, contrasts, foci and sample size.",
    "contributions.tsv": "Which study contributes to which cluster, by name and with ids.",
    "clusters.tsv": "All clusters of all maps: peaks in mm (MNI), values, sizes, number of contributing studies.",
    METADATA_FILENAME: "What made the result: versions, seed, inputs, counts, checksums.",
}
_CONTRIBUTIONS: Mapping[str, str] = {
    "FocusCounter": "How many foci of each experiment (row) lie in each cluster (column)",
    "Jackknife": "Share of each cluster's (column) statistic that each experiment (row) contributes",
}
_TABLE = re.compile(r"(?P<map>.+?)(?:_diag-(?P<diagnostic>[A-Za-z]+))?_tab-(?P<kind>clust|counts)(?:_[^/]*)?\.tsv")


def describe_file(name: str, estimator: str = "") -> str:
    """Say in one sentence what a file of a result is.

    Parameters
    ----------
    name : str
        Below the result directory.
    estimator : str
        NiMARE's class, which decides what a ``stat`` map holds.
    """
    if name in _DESCRIPTIONS:
        return _DESCRIPTIONS[name]
    if name.startswith("figures/"):
        return "A figure of the report."
    if name.endswith(_MAP):
        heading = map_heading(name.removesuffix(_MAP), estimator=estimator)
        kind = "z map" if heading.quantity == "z" else "Map"
        return f"{heading}. {kind} in MNI space." if heading.known else "Map in MNI space."
    if table := _TABLE.fullmatch(name):
        of = f"{map_heading(table['map'], estimator=estimator)}."
        if table["kind"] == "clust":
            return f"Clusters, their peaks in mm (MNI) and their sizes; Peak Stat is the map's value. Of: {of}"
        what = _CONTRIBUTIONS.get(table["diagnostic"] or "", "What experiments (rows) contribute to clusters (columns)")
        return f"{what}. Of: {of}"
    return "A table of the result." if name.endswith(".tsv") else "A file of the result."


def readme(metadata: Mapping[str, Any], names: Sequence[str]) -> str:
    """Write ``README.txt``.

    Parameters
    ----------
    metadata : mapping
        Body of ``metadata.json``.
    names : sequence of str
        Files of the result.
    """
    estimator = str(metadata.get("estimator") or "")
    title = str(metadata.get("name") or metadata.get("meta_analysis_id") or "A meta-analysis")
    identity = metadata.get("meta_analysis_id")
    origin = f"the meta-analysis {visible(identity)}" if identity else "a bundle without an id"
    lines = [visible(title), "=" * min(len(title), _WIDTH), "", "Open these first:", ""]
    for number, name in enumerate(first_files(metadata, names), start=1):
        lines += [f"  {number}. {name}", *_paragraph(describe_file(name, estimator), "     ")]
    lines += ["", "All files:", ""]
    figures = [name for name in names if name.startswith("figures/")]
    for name in [name for name in names if name not in figures]:
        lines += [f"  {name}", *_paragraph(describe_file(name, estimator), "     ")]
    if figures:
        lines += ["  figures/", *_paragraph("The report's figures as files.", "     ")]
    lines += [
        "",
        *_paragraph(
            "Coordinates are in millimetres of MNI space, maps in the space of NiMARE's template (2 mm). To cite the "
            "methods, use boilerplate.txt and references.bib. metadata.json describes every file and has its checksum."
        ),
        "",
        *_paragraph(f"Made by compose-runner {metadata.get('compose_runner_version', '')} from {origin}."),
    ]
    return "".join(f"{line}\n" for line in lines)


def first_files(metadata: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Name the three files to open first: the report, the table of clusters, and the map that they are in.

    Parameters
    ----------
    metadata : mapping
        Body of ``metadata.json``; its ``diagnostics`` name the map that the clusters are in.
    names : sequence of str
        Files of the result.
    """
    described = [
        str(one["target_image"])
        for one in metadata.get("diagnostics") or ()
        if isinstance(one, dict) and one.get("target_image")
    ]
    maps = [f"{name}{_MAP}" for name in (*described, "z", "est", "stat")]
    tables = ["clusters.tsv", *(f"{name}_tab-clust.tsv" for name in described), *sorted(names)]
    table = [name for name in tables if name == "clusters.tsv" or name.endswith("_tab-clust.tsv")]
    wanted = (["report.html"], table, maps)
    return [found for choices in wanted if (found := next((name for name in choices if name in names), None))]


def _paragraph(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent)
