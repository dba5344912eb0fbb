"""Let the references of the methods text cost themselves: without these lines a result would not be made."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from compose_runner.analysis.compute.patches.replacing import replaced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compose_runner.analysis.problems import Problems


@contextlib.contextmanager
def references_at_own_cost(problems: Problems) -> Iterator[None]:
    """Let a result be made without references where NiMARE cannot find them.

    Parameters
    ----------
    problems : Problems
        Told of it.
    """

    def found(description: str) -> str:
        from nimare import utils

        with problems.costing("list of references"):
            return str(utils.get_description_references(description))
        return ""

    with replaced([("nimare.results", "get_description_references", found)]):
        yield
