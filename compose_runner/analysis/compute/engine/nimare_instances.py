"""What every estimator of ours has from the NiMARE class that it extends.

An instance pickles as an instance of NiMARE's class, so that a saved result opens wherever NiMARE is installed; a copy
stays what it is.
"""

from __future__ import annotations

import copy
import logging
from typing import Any, ClassVar

from nimare.nimads import Studyset

LOGGER = logging.getLogger("compose_runner.analysis.compute.engine")


class NiMAREInstance:
    """Pickling as, and copying apart from, the NiMARE class an estimator extends."""

    nimare_class: ClassVar[type]

    def __reduce_ex__(self, protocol: Any) -> Any:
        # not through copyreg, which refuses to make an instance of another class than the pickled one's
        return object.__new__, (self.nimare_class,), self.__dict__

    def __copy__(self) -> Any:
        made = type(self).__new__(type(self))
        made.__dict__.update(self.__dict__)
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        # NiMARE copies an estimator with its studysets into every result; nothing changes a fitted one's studysets.
        memo.update((id(value), value) for value in self.__dict__.values() if isinstance(value, Studyset))
        made.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return made


def as_nimare(estimator: Any) -> Any:
    """Return an estimator of NiMARE's own class with the same state; one that is NiMARE's own is returned as it is."""
    if not isinstance(estimator, NiMAREInstance):
        return estimator
    nimare_class: Any = estimator.nimare_class
    made = nimare_class.__new__(nimare_class)
    made.__dict__.update(estimator.__dict__)
    return made


def log_path(estimator: Any, step: str, reason: str | None) -> None:
    """Say which path a Monte Carlo step takes.

    Parameters
    ----------
    estimator : Estimator
        Whose step it is.
    step : str
        The step, in words.
    reason : str or None
        Why our kernel does not apply; None when it does.
    """
    name = type(estimator).__name__
    if reason is None:
        LOGGER.info("%s: %s runs on compose-runner's kernel", name, step)
    else:
        LOGGER.info("%s: %s runs on NiMARE's own path: %s", name, step, reason)
