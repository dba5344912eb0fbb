"""What outlives a start of the service: jobs, log records, artifacts in a directory."""
