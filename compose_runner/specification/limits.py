"""What one job may ask of a deployment: iterations, known from its specification, and the predicted time of its cores.

Limits belong to the payer of the machines, not to NiMARE: a run on one's own machine has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from compose_runner.errors import LimitExceededError
from compose_runner.specification.estimators import MONTE_CARLO
from compose_runner.specification.signatures import signatures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compose_runner.specification.parsing import Specification

# arguments of estimators and correctors that say how often something is drawn anew
ITERATIONS = ("n_iters", "n_subsamples", "difference_iterations")
_SECONDS_PER_HOUR = 3600.0
_ELSEWHERE = "compose-run on a machine of your own has no such limit."


@dataclass(frozen=True, slots=True)
class JobLimits:
    """What one job may ask for.

    Parameters
    ----------
    iterations : int or None
        Most iterations of a Monte Carlo method; None for no limit.
    core_hours : float or None
        Most core hours that the Monte Carlo runs of a job are predicted to take, all of its tasks together; None for
        no limit.
    """

    iterations: int | None = None
    core_hours: float | None = None

    def check_iterations(self, specification: Specification) -> None:
        """Refuse a specification that asks for more iterations than are allowed.

        Raises
        ------
        LimitExceededError
            With the argument, what it asks for, and what is allowed.
        """
        if self.iterations is None:
            return
        for owner, name, wanted in _list_iterations(specification):
            if wanted > self.iterations:
                raise LimitExceededError(
                    f"{owner} asks for {_count(wanted)} iterations ({name}); this service allows "
                    f"{_count(self.iterations)}. Set {name} to {_count(self.iterations)} or less; {_ELSEWHERE}"
                )

    def check_prediction(self, iterations: int, seconds: float, cores: int) -> None:
        """Refuse a job whose Monte Carlo runs are predicted to take more core hours than are allowed.

        Parameters
        ----------
        iterations : int
            Of all Monte Carlo runs together.
        seconds : float
            Predicted time of them on one task; 0 where nothing is predicted, which is never refused.
        cores : int
            Cores of one task. A part of the work occupies them all and uses one, so that more cores cost more hours.

        Raises
        ------
        LimitExceededError
            With what is predicted, what is allowed, and how many iterations would fit.
        """
        if self.core_hours is None:
            return
        hours = seconds * cores / _SECONDS_PER_HOUR
        # rounding must not refuse what fits exactly
        if hours <= self.core_hours * (1 + 1e-9):
            return
        fitting = int(iterations * self.core_hours / hours)
        raise LimitExceededError(
            f"The {_count(iterations)} permutations of this job are predicted to take {hours:,.1f} core hours; "
            f"this service allows {self.core_hours:,g} for a job. Some {_count(fitting)} iterations (n_iters) in all, "
            f"or fewer studies, would fit; {_ELSEWHERE}"
        )


NO_LIMITS = JobLimits()


def _list_iterations(specification: Specification) -> Iterator[tuple[str, str, int]]:
    """Class, argument and number of every count of iterations that is used."""
    estimator, corrector = specification.estimator, specification.corrector
    null_method = signatures().estimators[estimator.name].parameters.get("null_method")
    default = None if null_method is None else null_method.default
    # Compose's form stores n_iters beside the approximate null, which draws nothing
    drawn = estimator.args.get("null_method", default) != "approximate"
    parts = [(estimator.name, estimator.args)] if drawn else []
    if corrector is not None and corrector.method == MONTE_CARLO:
        parts.append((corrector.name, corrector.args))
    for owner, args in parts:
        for name in ITERATIONS:
            wanted = args.get(name)
            if isinstance(wanted, int):
                yield owner, name, wanted


def _count(number: int) -> str:
    """Write a count so that one sees how large it is; what is absurdly long is not written out."""
    return f"{number:,}" if number < 10**15 else f"{number:.1e}" if number < 10**300 else "more than 1e300"
