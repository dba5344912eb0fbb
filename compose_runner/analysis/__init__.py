"""Everything that needs NiMARE: bundle, selection, estimators, artifacts, upload."""
