"""Where the benchmarks find and keep things."""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
# real documents of Compose and NeuroStore
RECORDED = REPOSITORY / "tests" / "data" / "recorded"
CACHE = REPOSITORY / ".make" / "bench"
