"""Replace functions of libraries by our own while a job runs, whichever threads run jobs."""

from __future__ import annotations

import contextlib
import importlib
import logging
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

log = logging.getLogger(__name__)

_lock = threading.Lock()
# (module, name) -> the library's own attribute, and what stands for it, in the order in which it was asked for
_replaced: dict[tuple[str, str], tuple[Any, list[Any]]] = {}


@contextlib.contextmanager
def replaced(steps: Iterable[tuple[str, str, Any]]) -> Iterator[None]:
    """Let modules use other functions while this is in force.

    It can be in force several times, in one thread or in many: the attribute is the library's own again when the last
    one has ended, in whatever order they end.

    Parameters
    ----------
    steps : iterable of (module, name, function)
        What stands for the module's attribute of that name. Where there is no such module or attribute, as in another
        version of a library, the library's own code runs and the log says so.
    """
    with contextlib.ExitStack() as restore:
        for module, name, step in steps:
            if _put(module, name, step):
                restore.callback(_take, module, name, step)
        yield


def _put(module_name: str, name: str, step: Any) -> bool:
    try:
        module: Any = importlib.import_module(module_name)
    except ImportError:
        module = None
    with _lock:
        if not hasattr(module, name):
            log.warning(
                "There is no %s.%s to replace: the library's own code runs, which may be slower", module_name, name
            )
            return False
        _, active = _replaced.setdefault((module_name, name), (getattr(module, name), []))
        active.append(step)
        setattr(module, name, step)
        return True


def _take(module_name: str, name: str, step: Any) -> None:
    module: Any = importlib.import_module(module_name)
    with _lock:
        original, active = _replaced[module_name, name]
        active.remove(step)
        setattr(module, name, active[-1] if active else original)
        if not active:
            del _replaced[module_name, name]
