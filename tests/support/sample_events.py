"""The events in ``events/``, and the HTTP status that the name of each promises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

EVENTS = Path(__file__).resolve().parents[2] / "events"
STATUS = {
    "submit-accepted": 202,
    "submit-accepted-base64": 202,
    "submit-accepted-by-query": 202,
    "submit-accepted-unknown-meta-analysis": 202,
    "submit-accepted-with-keys": 202,
    "submit-impossible-specification": 202,
    "submit-idempotent": 202,
    "submit-preflight": 204,
    "submit-wrong-method": 405,
    "submit-duplicate": 409,
    "status-unknown": 404,
    "status-cancel": 403,
}
WORDS = {"missing": 400, "malformed": 400, "wrong": 400, "not": 400, "other": 400}
NAMES = sorted(path.stem for path in EVENTS.glob("*.json"))


def event(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return loaded


def expected_status(name: str) -> int:
    return STATUS.get(name, WORDS.get(name.split("-")[1], 200))
