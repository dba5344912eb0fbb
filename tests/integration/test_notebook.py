"""``run()`` in a notebook leaves the kernel as it found it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support import synthetic

if TYPE_CHECKING:
    from pathlib import Path

INLINE = "module://matplotlib_inline.backend_inline"

# what an interpreter's user may notice; scikit-learn's settings of OpenMP in the environment have to stay with it
STATE = """
import asyncio, gc, logging, os, signal, sys, threading, types, warnings

def state():
    matplotlib = sys.modules.get("matplotlib")
    docscrape = sys.modules.get("scipy._lib._docscrape")
    return {
        "finders of ours": [f for f in sys.meta_path if type(f).__module__.startswith("compose_runner")],
        "frozen": gc.get_freeze_count(),
        "collector": (gc.isenabled(), gc.get_threshold()),
        "asyncio": type(sys.modules["asyncio"]) is types.ModuleType,
        "waiting modules": [n for n, m in sys.modules.items() if type(m).__module__.startswith("compose_runner")],
        "docstrings": docscrape is None or docscrape.FunctionDoc.__module__ == "scipy._lib._docscrape",
        "root logger": (logging.getLogger().level, list(logging.getLogger().handlers), logging.root.disabled),
        "logging": logging.root.manager.disable,
        "warnings": (list(warnings.filters), warnings.showwarning),
        "backend": matplotlib and dict.__getitem__(matplotlib.rcParams, "backend"),
        "signals": [signal.getsignal(number) for number in signal.valid_signals()],
        "hooks": (sys.excepthook, sys.displayhook, sys.unraisablehook, threading.excepthook),
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "directory": os.getcwd(),
    }

def changes(before):
    return {name: (before[name], value) for name, value in state().items() if value != before[name]}
"""

RUN = """
from compose_runner.run import run
url, result = run("a-label", bundle={bundle!r}, result_dir={result_dir!r}, n_cores=2, report={report})
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    studyset = synthetic.random_studyset(6, foci_per_analysis=4)
    corrector: dict[str, Any] = {"corrector": "FDRCorrector", "corrector_args": {"method": "indep"}}
    documents = {
        "studyset": studyset,
        "annotation": synthetic.annotated(studyset),
        "specification": synthetic.specification(estimator="MKDADensity", **corrector),
    }
    path = tmp_path_factory.mktemp("bundle") / "bundle.json"
    path.write_text(json.dumps(documents), encoding="utf-8")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("backend", [None, INLINE], ids=["no backend chosen", "inline backend"])
def test_two_runs_leave_the_interpreter_as_it_was(bundle: Path, tmp_path: Path, backend: str | None) -> None:
    runs = [RUN.format(bundle=str(bundle), result_dir=str(tmp_path / "results"), report=on) for on in (False, True)]
    report = "print(changes(before))"
    code = "\n".join(["import matplotlib", STATE, "before = state()", runs[0], report, runs[1], report])
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    environment |= {"MPLBACKEND": backend} if backend else {}
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=600, env=environment
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == ["{}", "{}"]
    assert (tmp_path / "results" / "report.html").exists()


@pytest.mark.slow
def test_a_real_kernel_shows_progress_and_a_card_and_is_otherwise_as_before(bundle: Path, tmp_path: Path) -> None:
    plot = "import matplotlib.pyplot as plt\nplt.plot([1, 2]);"
    run = RUN.format(bundle=str(bundle), result_dir=str(tmp_path / "results"), report=True)
    run = run.replace("url, result = run(", "outcome = run(") + "outcome"
    keep = "%config InlineBackend.close_figures = False\nmine = plt.figure()"
    unpack = (
        "url, result = outcome\nprint(url, type(result).__name__, mine.number in plt.get_fignums())\nprint(outcome)"
    )
    cells = [plot, f"{STATE}\nbefore = state()", run, "print(changes(before))", plot, keep, run, unpack]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    assert [output.text for output in notebook.cells[3].outputs] == ["{}\n"]
    for cell in (notebook.cells[0], notebook.cells[4]):
        assert any("image/png" in output.get("data", {}) for output in cell.outputs)

    outputs = notebook.cells[2].outputs
    assert [output.output_type for output in outputs if output.output_type != "stream"] == [
        "display_data",
        "execute_result",
    ]
    # what the audit says of the inputs, and no record or warning of a library
    said = "".join(output.text for output in outputs if output.output_type == "stream")
    assert "nimare" not in said.lower()
    assert ".py" not in said
    assert "INFO" not in said
    assert outputs[0].data["text/html"] == ""  # the bar is gone
    shown = outputs[-1].data
    card = shown["text/html"]
    assert "<h3>a-label</h3>" in card
    assert 'src="data:image/png;base64,' in card
    assert 'href="results/report.html"' in card
    assert "nimare.workflows" in (tmp_path / "results" / "run.log").read_text()
    assert len(shown["text/plain"]) < 3000
    assert notebook.cells[7].outputs[0].text.startswith("None MetaResult True\na-label\n")
