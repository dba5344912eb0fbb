"""Call a service: submit jobs, follow them, download what they leave."""

from __future__ import annotations

from compose_runner.client.client import Client

__all__ = ["Client"]
