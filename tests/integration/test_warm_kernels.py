"""`make setup` compiles kernels in two processes; together they leave the cache that one process would leave."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
# every configuration again, in a process that may only load: it prints what it had to compile
AFTERWARDS = """
import logging, sys, warnings
from numba.core.dispatcher import Dispatcher
from compose_runner.analysis.compute.engine.warm import warm

logging.disable(logging.WARNING)
warnings.simplefilter("ignore")
warm()
kernels = {
    function
    for name, module in list(sys.modules.items())
    if name.startswith(("compose_runner.", "nimare."))
    for function in vars(module).values()
    if isinstance(function, Dispatcher) and function.stats.cache_hits | function.stats.cache_misses
}
print(len(kernels), sorted(function.py_func.__name__ for function in kernels if function.stats.cache_misses))
"""


@pytest.mark.slow
def test_nothing_is_compiled_again_after_two_processes_shared_a_cache(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    warmed = subprocess.run(
        [sys.executable, "scripts/warm_kernels.py"],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert warmed.returncode == 0, warmed.stderr
    afterwards = subprocess.run(
        [sys.executable, "-c", AFTERWARDS], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True
    )
    count, _, compiled = afterwards.stdout.strip().rpartition("\n")[2].partition(" ")
    assert int(count) > 10
    assert compiled == "[]"
