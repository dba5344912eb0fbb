"""Give addresses of a job's artifacts."""
