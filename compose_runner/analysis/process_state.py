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

# the logger that Python itself uses for warnings
_WARNINGS = "py.warnings"
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
            for kept in (_root_logger(), _warnings(), _matplotlib_backend()):
                _restore.enter_context(kept)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _restore.close()


class _AsBefore(logging.Filter):
    """Lets the user's handlers have the records that they would have without a run, and Python's warnings as such.

    Parameters
    ----------
    level : int
        Of the root logger, before.
    """

    def __init__(self, level: int) -> None:
        super().__init__()
        self._level = level

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the user's handlers take a record."""
        return record.levelno >= self._level and record.name != _WARNINGS


@contextlib.contextmanager
def _root_logger() -> Iterator[None]:
    """Let a run's own handler see everything, a user's see what it saw, and show our warnings where there is none."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    as_before = _AsBefore(level)
    for handler in handlers:
        handler.addFilter(as_before)
    if not handlers:
        # with a handler there, NiMARE adds none
        shown = logging.StreamHandler(sys.stderr)
        shown.setLevel(logging.WARNING)
        shown.addFilter(logging.Filter("compose_runner"))
        root.addHandler(shown)
    root.setLevel(min(level, logging.INFO) or logging.INFO)
    try:
        yield
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers
        for handler in handlers:
            handler.removeFilter(as_before)


@contextlib.contextmanager
def _warnings() -> Iterator[None]:
    """Make records of Python's warnings, which a run keeps in its log."""
    with warnings.catch_warnings():
        warnings.showwarning = _log_warning
        yield


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,  # noqa: ARG001 - Python's own signature
    line: str | None = None,
) -> None:
    """Take the place of :func:`warnings.showwarning`."""
    logging.getLogger(_WARNINGS).warning("%s", warnings.formatwarning(message, category, filename, lineno, line))


@contextlib.contextmanager
def _matplotlib_backend() -> Iterator[None]:
    # NiMARE imports it anyhow; imported before NiMARE, its settings are those of the user
    matplotlib: Any = importlib.import_module("matplotlib")
    # not get_backend(), which would choose one
    backend = dict.__getitem__(matplotlib.rcParams, "backend")
    try:
        yield
    finally:
        pyplot: Any = sys.modules.get("matplotlib.pyplot")
        # first the name: the notebook's backend looks at it while it is imported
        dict.__setitem__(matplotlib.rcParams, "backend", backend)
        if pyplot is not None and isinstance(backend, str):
            pyplot.switch_backend(backend)
        elif pyplot is not None:
            # none was chosen yet: pyplot chooses one with its first figure
            pyplot._backend_mod = None
