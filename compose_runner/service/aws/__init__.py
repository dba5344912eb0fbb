"""The ports of :mod:`compose_runner.service.ports` on AWS."""
