"""Tell how jobs are."""
