"""Leave a process as it was: a notebook's kernel belongs to its user.

``import nimare`` gives the root logger a handler and a level, and its reports switch matplotlib to the Agg backend; a
job's threads may leave filters of warnings behind. In a process of our own nobody minds.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import sys
import threading
import warnings
from typing import TYPE_CHECKING, Any

from compose_runner.analysis.interpreter import is_own_process

if TYPE_CHECKING:
    from collections.abc import Iterator

_lock = threading.Lock()
_inside = 0
_restore = contextlib.ExitStack()


@contextlib.contextmanager
def preserved_process_state() -> Iterator[None]:
    """Give logging, warnings and matplotlib their state back at the end, unless the process is our own.

    When several threads are inside at once, the first one's state comes back when the last one leaves.
    """
    global _inside
    if is_own_process():
        yield
        return
    with _lock:
        if _inside == 0:
            for kept in (_root_logger(), warnings.catch_warnings(), _matplotlib_backend()):
                _restore.enter_context(kept)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _restore.close()


@contextlib.contextmanager
def _root_logger() -> Iterator[None]:
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    try:
        yield
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers


@contextlib.contextmanager
def _matplotlib_backend() -> Iterator[None]:
    # NiMARE imports it anyhow; imported before NiMARE, its settings are those of the user
    matplotlib: Any = importlib.import_module("matplotlib")
    # not get_backend(), which would choose one
    backend = dict.__getitem__(matplotlib.rcParams, "backend")
    try:
        yield
    finally:
        if isinstance(backend, str):
            matplotlib.use(backend, force=False)
        else:
            # none was chosen yet: pyplot chooses one with its first figure
            dict.__setitem__(matplotlib.rcParams, "backend", backend)
            pyplot: Any = sys.modules.get("matplotlib.pyplot")
            if pyplot is not None:
                pyplot._backend_mod = None
