"""Sphinx configuration: ``make docs`` builds the site into ``docs/_build/html`` without the network."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent
# functions and task are found beside the package, as tests find them
sys.path.insert(0, str(ROOT))
# a figure needs no display
os.environ.setdefault("MPLBACKEND", "agg")

from compose_runner import __version__  # noqa: E402

project = "compose-runner"
author = "the compose-runner developers"
copyright = author
release = __version__
version = release
REPOSITORY = "https://github.com/neurostuff/compose-runner"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_click",
    "sphinx_gallery.gen_gallery",
    "sphinxcontrib.mermaid",
]
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]

# `make man`: the commands alone, without running the examples
man_pages: list[tuple[str, str, str, list[str], int]] = [
    ("commands", "compose-runner", "run meta-analyses of Neurosynth Compose", [], 1),
    ("commands", "compose-run", "run one meta-analysis of Neurosynth Compose", [], 1),
]

html_theme = "furo"
html_title = f"compose-runner {release}"
html_show_sourcelink = False

# options keep their two dashes
smartquotes = False
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
myst_fence_as_directive = ["mermaid"]

# an error or a record may have one name in two modules, and docstrings name it alone
suppress_warnings = ["ref.python"]
autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_preprocess_types = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "examples",
    "filename_pattern": r"/plot_",
    "abort_on_example_error": True,
    "plot_gallery": "True",
    "download_all_examples": False,
    "show_memory": False,
    "write_computation_times": False,
}

_LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)\s]+)\)")


def link_to_repository(text: str, folder: Path) -> str:
    """Point links at pages of the site, and those at other files of the repository to where it is published.

    Parameters
    ----------
    text : str
        Markdown.
    folder : Path
        The folder that the links are relative to.

    Returns
    -------
    str
        The Markdown with other links.
    """

    def page_or_file(link: re.Match[str]) -> str:
        name, _, anchor = link[1].partition("#")
        path = (folder / name).resolve()
        anchor = f"#{anchor}" if anchor else ""
        if path in PAGES:
            return f"]({PAGES[path]}{anchor})"
        if path.is_relative_to(ROOT / "docs"):
            return f"]({path.relative_to(ROOT / 'docs').as_posix()}{anchor})"
        kind = "tree" if path.is_dir() else "blob"
        return f"]({REPOSITORY}/{kind}/main/{path.relative_to(ROOT).as_posix()}{anchor})"

    return _LINK.sub(page_or_file, text)


# pages that include a file of the repository's root
PAGES = {
    (ROOT / included[1]).resolve(): page.name
    for page in sorted((ROOT / "docs").glob("*.md"))
    if (included := re.search(r"^```\{include\} \.\./(\S+)", page.read_text(encoding="utf-8"), re.MULTILINE))
}


def _read(_app: Sphinx, _name: str, source: list[str]) -> None:
    source[0] = link_to_repository(source[0], ROOT / "docs")


def _read_included(_app: Sphinx, path: Path, _name: str, source: list[str]) -> None:
    if path.suffix == ".md":
        source[0] = link_to_repository(source[0], (ROOT / "docs" / path).resolve().parent)


def setup(app: Sphinx) -> None:
    """Connect what changes links."""
    app.connect("source-read", _read)
    app.connect("include-read", _read_included)
