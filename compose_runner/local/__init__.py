"""The whole service on one machine, without an account and without Docker."""
