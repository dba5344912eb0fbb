"""Put a step of a library in the place of its own, for a while."""

from __future__ import annotations

import contextlib
import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@contextlib.contextmanager
def replaced(steps: Iterable[tuple[str, str, Any]]) -> Iterator[None]:
    """Let modules use other functions while this is in force.

    Parameters
    ----------
    steps : iterable of (module, name, function)
        What stands for the module's attribute of that name. A module without such an attribute, as another version of
        a library may be, keeps its own step.
    """
    with contextlib.ExitStack() as restore:
        for module_name, name, step in steps:
            module: Any = importlib.import_module(module_name)
            if hasattr(module, name):
                restore.callback(setattr, module, name, getattr(module, name))
                setattr(module, name, step)
        yield
