"""What made a result: versions, seed, inputs, counts, timings; the body of ``metadata.json``."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from compose_runner import __version__

if TYPE_CHECKING:
    from nimare.nimads import Studyset

# the packages whose versions shape the numbers
_PACKAGES = ("nimare", "numpy", "scipy", "pandas", "numba", "nilearn", "nibabel", "scikit-learn", "pymare")


def versions() -> dict[str, str]:
    """Versions of this package, of Python and of everything that shapes the numbers."""
    found = {"compose-runner": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """What kind of machine computed."""
    return {"system": sys.platform, "architecture": platform.machine()}


def count_studies(studyset: Studyset) -> dict[str, int]:
    """Studies, analyses and foci of one group, as the estimator gets them."""
    coordinates = studyset.coordinates
    return {
        "studies": len(set(studyset.study_ids)),
        "analyses": len(studyset.ids),
        "foci": 0 if coordinates is None else len(coordinates),
    }
