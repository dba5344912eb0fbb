"""How a job is run, apart from what it computes."""

from __future__ import annotations

from dataclasses import dataclass

from compose_runner.analysis import DEFAULT_SEED


@dataclass(frozen=True, slots=True)
class JobOptions:
    """How to run, which never changes a number but for the seed.

    Parameters
    ----------
    n_cores : int
        Cores to use.
    seed : int
        Seed of every random draw.
    report : bool
        Draw the figures.
    engine : {"auto", "nimare"}
        Whose Monte Carlo code computes.
    """

    n_cores: int
    seed: int = DEFAULT_SEED
    report: bool = True
    engine: str = "auto"
