"""Load maps without a collection of garbage at each: nilearn asks for one, to save memory that reference counts free.

In a notebook's kernel, which holds the user's objects, each of these collections may take a quarter of a second.
"""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from compose_runner.analysis.compute.patches.replacing import replaced

if TYPE_CHECKING:
    from collections.abc import Iterator

# What stands for the module ``gc`` in nilearn's module while a job computes; the interpreter's own is untouched.
REPLACED: tuple[tuple[str, str, Any], ...] = (("nilearn._utils.niimg", "gc", SimpleNamespace(collect=lambda: 0)),)


@contextlib.contextmanager
def loads_without_collection() -> Iterator[None]:
    """Let nilearn load maps without a collection at each."""
    with replaced(REPLACED):
        yield
