"""One meta-analysis of pain, and a Compose that serves it."""
