"""What a job's inputs hold, counted once, and what in them may mislead or cannot be computed with."""
