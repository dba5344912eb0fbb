"""The ports of :mod:`compose_runner.jobs.ports` on AWS."""
