"""Run a meta-analysis made on Neurosynth Compose with NiMARE.

The package knows neither HTTP servers nor Lambda events. Its light part (everything but :mod:`compose_runner.analysis`
and :mod:`compose_runner.local`) imports neither NiMARE nor NumPy, so that the deployed functions stay small.
"""

from __future__ import annotations

__version__ = "1.0.0"
