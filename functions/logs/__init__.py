"""Give one job's records."""
