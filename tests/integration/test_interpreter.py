"""Modules that wait for their first use are the real modules once they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

PREPARED = """
from compose_runner.analysis.interpreter import importing, own_process
own = own_process()
own.__enter__()
with importing():
    import nimare.meta.cbma, nimare.workflows, nimare.nimads
"""


def in_a_fresh_interpreter(code: str, prepared: str = PREPARED) -> list[str]:
    """Run code in a Python of its own, after NiMARE was imported for a job; return the lines it printed."""
    finished = subprocess.run(
        [sys.executable, "-c", prepared + code], capture_output=True, text=True, check=False, timeout=300
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.splitlines()


def test_nothing_waits_that_a_fit_needs_and_what_waits_is_there_when_it_is_used() -> None:
    code = """
import gc, sys
assert gc.isenabled() and gc.get_freeze_count() > 100_000
waiting = ["sympy.core", "matplotlib", "plotly", "nimare.annotate.gclda"]
waiting += ["scipy.stats.distributions", "sklearn.linear_model", "scipy.signal.windows"]
waiting += ["narwhals.dataframe", "requests.sessions"]
print([name for name in waiting if name in sys.modules])
print(nimare.annotate.gclda.GCLDAModel.__name__)
from nimare.reports.base import run_reports
print(run_reports.__name__)
from sklearn.utils.estimator_checks import check_estimator
print(check_estimator.__name__)
try:
    import nimare.nothing
except ModuleNotFoundError as error:
    print(error.name)
"""
    assert in_a_fresh_interpreter(code) == ["[]", "GCLDAModel", "run_reports", "check_estimator", "nimare.nothing"]


@pytest.mark.parametrize(
    ("code", "printed"),
    [
        ("import sympy; x = sympy.Symbol('x'); print(sympy.solve(x - 2, x))", "[2]"),
        ("from sympy import Symbol; print(isinstance(Symbol('x'), Symbol))", "True"),
        ("import sympy.polys; print(sympy.polys.Poly.__name__)", "Poly"),
        (
            "import numpy as np; from pymare.effectsize import Expression, OneSampleEffectSizeConverter as C\n"
            "print(isinstance(1, Expression), C(m=np.array([1.0]), sd=np.array([2.0]), n=np.array([25])).get_d())",
            "False [0.5]",
        ),
        (
            "import scipy.stats; print(round(scipy.stats.norm.isf(0.5)) == 0, scipy.stats.qmc.__name__)",
            "True scipy.stats.qmc",
        ),
        ("import scipy; print(scipy.signal.windows.boxcar(1), scipy.signal.lfilter.__name__)", "[1.] lfilter"),
        ("from nimare.meta.cbma.mkda import chi2; print(f'{chi2.isf(0.001, 1):.4f}')", "10.8276"),
        ("from nimare.utils import get_template; print(get_template('mni152_1mm').shape)", "(182, 218, 182)"),
        (
            "import nimare, nilearn.datasets, requests; from nilearn.datasets import load_mni152_template as load\n"
            "print(load(resolution=2).ndim, requests.Session().trust_env, type(nilearn.datasets).__name__)",
            "3 True module",
        ),
        ("import narwhals as nw, pandas as pd; print(nw.from_native(pd.DataFrame({'a': [1]})).columns)", "['a']"),
        (
            "import nilearn.surface.surface, sklearn.cluster; print(sklearn.cluster.KMeans(2).n_clusters)",
            "2",
        ),
    ],
    ids=[
        "attribute",
        "name",
        "submodule",
        "effect size",
        "distribution",
        "filter",
        "quantile",
        "template",
        "data sets",
        "data frame",
        "clustering",
    ],
)
def test_a_module_that_waited_is_the_real_one_when_it_is_used(code: str, printed: str) -> None:
    assert in_a_fresh_interpreter(code) == [printed]


def test_after_the_imports_no_name_waits_any_more_and_scipy_reads_docstrings_itself() -> None:
    code = """
import sys, asyncio, nimare.generate
asyncio.run(asyncio.sleep(0))
from types import ModuleType
from scipy._lib import _docscrape
print(type(asyncio) is ModuleType, _docscrape.FunctionDoc.__module__)
for name in ("nimare.generate", "sklearn.cluster", "scipy.stats"):
    sys.modules.pop(name, None)
    __import__(name)
    print(type(sys.modules[name]) is ModuleType)
from sympy import Symbol
from scipy.stats import norm
print(type(Symbol).__name__, type(norm).__module__)
"""
    assert in_a_fresh_interpreter(code) == [
        "True scipy._lib._docscrape",
        *(["True"] * 3),
        "type scipy.stats._continuous_distns",
    ]


def test_nothing_is_changed_in_a_process_that_is_not_our_own() -> None:
    code = """
import gc, sys
def state():
    finders = [type(finder).__module__ for finder in sys.meta_path]
    ours = [name for name in finders if name.startswith("compose_runner")]
    return ours, gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()
before = state()
with importing():
    print(state() == before)
    import nimare.reports
print(state() == before == ([], True, gc.get_threshold(), 0))
print([name for name, module in sys.modules.items() if type(module).__name__ == "_LazyModule"])
"""
    prepared = "from compose_runner.analysis.interpreter import importing\n"
    assert in_a_fresh_interpreter(code, prepared) == ["True", "True", "[]"]


def test_functions_keep_the_docstrings_that_scipy_wrote() -> None:
    code = """
import scipy.linalg, scipy.ndimage, scipy.stats
documented = [scipy.ndimage.label, scipy.linalg.solve, scipy.stats.ttest_ind, scipy.stats.norm.pdf]
print([function.__doc__.lstrip().split("\\n")[0] for function in documented[:3]])
print(all("Parameters" in function.__doc__ for function in documented))
"""
    assert in_a_fresh_interpreter(code) == [
        "['Label features in an array.', 'Solve the equation ``a @ x = b`` for  ``x``,', "
        "'Calculate the T-test for the means of *two independent* samples of scores.']",
        "True",
    ]


def test_threads_that_need_a_waiting_module_at_once_all_get_the_whole_one() -> None:
    code = """
import threading
import nimare.transforms
from nimare.transforms import stats
together, found = threading.Barrier(6), []
def use() -> None:
    together.wait()
    found.append(round(float(stats.t.sf(0.0, 5)), 3))
threads = [threading.Thread(target=use) for _ in range(6)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(found, type(stats).__name__, "_compose_runner_waiting" in vars(stats), hasattr(stats, "nothing"))
"""
    assert in_a_fresh_interpreter(code) == [f"{[0.5] * 6} module False False"]
