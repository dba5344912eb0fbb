"""Neurosynth Compose and NeuroStore as they are called: environments, HTTP, documents."""
