"""Measurements: against the runner in production, against NiMARE, and of the service itself."""
