"""Accept jobs."""
