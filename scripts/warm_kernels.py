"""Compile the Monte Carlo kernels ahead, in two processes that share numba's cache."""

from __future__ import annotations

import contextlib
import io
import logging
import multiprocessing
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any

from numba.core.caching import IndexDataCacheFile

from compose_runner.analysis.compute.engine.warm import warm

if TYPE_CHECKING:
    from multiprocessing.synchronize import Lock

# numba compiles about as long for each, and they share few kernels
FAMILIES = (("ALE", "SCALE", "ALESubtraction"), ("MKDADensity", "KDA", "MKDAChi2"))
# a fork does not import NiMARE again; elsewhere than on Linux it is not safe
METHOD = "fork" if sys.platform == "linux" else "spawn"


def main() -> int:
    """Run a process for each family; give 1 when one of them failed."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    context: Any = multiprocessing.get_context(METHOD)  # the classes of its two kinds have no process in common
    lock = context.Lock()
    processes = [context.Process(target=compile_family, args=(family, lock)) for family in FAMILIES]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return int(any(process.exitcode for process in processes))


def compile_family(family: tuple[str, ...], lock: Lock) -> None:
    """Compile the kernels of some estimators and say how long it took."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    save = IndexDataCacheFile.save

    def save_alone(self: IndexDataCacheFile, key: object, data: object) -> None:
        # numba reads the index of a function, adds an entry and writes it: two processes that do so at once would lose
        # entries, or give one file to two of them
        with lock:
            save(self, key, data)

    IndexDataCacheFile.save = save_alone
    started = time.perf_counter()
    # without the progress bars of the small analyses
    with contextlib.redirect_stderr(io.StringIO()):
        warm(family)
    print(f"    {', '.join(family)}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
