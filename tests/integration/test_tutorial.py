"""The tutorial's notebook is the page of the documentation, and runs as it is."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_notebook_is_made_from_the_page(tmp_path: Path) -> None:
    page = shutil.copy(EXAMPLES / "plot_pain.py", tmp_path)
    convert = Path(sys.executable).with_name("sphinx_gallery_py2jupyter")
    subprocess.run([convert, page], check=True, capture_output=True)
    made, kept = (nbformat.read(folder / "plot_pain.ipynb", 4) for folder in (tmp_path, EXAMPLES))
    assert [cell.source for cell in made.cells] == [cell.source for cell in kept.cells], "make generate"


@pytest.mark.slow
def test_the_notebook_runs_and_shows_bar_card_and_map(tmp_path: Path) -> None:
    notebook = nbformat.read(EXAMPLES / "plot_pain.ipynb", 4)
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    said = [output.text for output in outputs if output.get("name") == "stderr"]
    assert said
    assert all("foci" in text and ".py" not in text for text in said)
    (card,) = [output.data["text/html"] for output in outputs if output.output_type == "execute_result"]
    assert "11 clusters, 21 studies" in card
    assert any("image/png" in output.get("data", {}) for output in outputs)
