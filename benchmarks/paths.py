"""Where the benchmarks find and keep things."""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
# Real documents of Compose and NeuroStore, beside a checkout that has them; synthetic ones serve elsewhere.
RECORDED = REPOSITORY.parent / "shared" / "recorded"
CACHE = REPOSITORY / ".make" / "bench"
