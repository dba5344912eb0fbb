"""Everything that needs NiMARE: bundle, selection, estimators, artifacts, upload. NiMARE is not imported right here."""

from __future__ import annotations

DEFAULT_SEED = 42
