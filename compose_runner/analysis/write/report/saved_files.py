"""The files that a reader can save from the page."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from compose_runner.analysis.write.result_record import run_may_write

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_WHAT: Mapping[str, str] = {
    "clusters.tsv": "Clusters and peaks of all maps, with anatomical labels",
    "contributions.tsv": "Which study contributes to which cluster",
    "studies.tsv": "All studies: used or not, and why",
    "ibma_coverage.tsv": "Which images were used, and why others were not",
    "boilerplate.txt": "Methods text, LaTeX",
    "references.bib": "References, BibTeX",
    "references.ris": "References, RIS",
    "bundle.json.gz": "Studyset, annotation and specification: the inputs",
}
_IN_DIRECTORY: Mapping[str, str] = {
    "metadata.json": "The record of the run: versions, seed, inputs, counts, checksums",
    "meta_results.pkl": "The result for Python and NiMARE",
}
# a larger table would make the page slow
_MOST_BYTES = 1_000_000


@dataclass(frozen=True)
class SavedFile:
    """A file of the result directory.

    Parameters
    ----------
    name, description : str
        Plain text.
    source : str
        Which part of the page holds its content: the value of ``data-file``; empty where it is in the result directory
        only.
    content : str
        In base64, for the page to hold; empty for what the page holds anyhow.
    size : int
        Bytes.
    """

    name: str
    description: str
    source: str = ""
    content: str = ""
    size: int = 0

    @property
    def readable_size(self) -> str:
        """``12 kB``."""
        if self.size < 1000:
            return f"{self.size} B" if self.size else ""
        return f"{self.size / 1000:,.0f} kB" if self.size < 999_500 else f"{self.size / 1e6:,.1f} MB"


def tables_and_texts(files: Path, texts: Mapping[str, str]) -> list[SavedFile]:
    """Collect tables and texts.

    Parameters
    ----------
    files : pathlib.Path
        The result directory.
    texts : mapping of str to str
        Files that are not in there, by name.
    """
    found = []
    # a directory may hold tables of somebody else, which nobody is to read
    paths = [path for path in sorted(files.glob("*.tsv")) if run_may_write(path.name) and path.is_file()]
    contents = {path.name: path.read_bytes() for path in paths}
    contents |= {name: text.encode() for name, text in texts.items() if text.strip()}
    for place, (name, content) in enumerate(contents.items()):
        about = _WHAT.get(name) or _table(name)
        if len(content) > _MOST_BYTES:
            found.append(SavedFile(name, about, size=len(content)))
        else:
            found.append(SavedFile(name, about, f"text-{place}", base64.b64encode(content).decode(), len(content)))
    return found


def in_directory() -> list[SavedFile]:
    """What is in the result directory only."""
    return [SavedFile(name, about) for name, about in _IN_DIRECTORY.items()]


def _table(name: str) -> str:
    if name.endswith("_tab-clust.tsv"):
        return "Clusters of one map, as NiMARE writes them"
    return "Contributions of experiments to clusters, as NiMARE writes them" if "_tab-counts" in name else "Table"
