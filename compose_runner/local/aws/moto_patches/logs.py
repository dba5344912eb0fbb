"""Log records of CloudWatch Logs: filtered by a field, kept by the host."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

from moto.logs.models import LogGroup
from moto.logs.responses import LogsResponse
from moto.logs.utils import EventMessageFilter

from compose_runner.local.aws.moto_patches.host import host
from compose_runner.local.aws.moto_patches.patch import Kind, Patch

# of FilterLogEvents, on one page
MAX_EVENTS = 10_000
_original_filter_events = LogGroup.filter_log_events
_original_filter_matches = EventMessageFilter.matches
_JSON_EQUALITY = re.compile(r'^\{\s*\$\.(\w+)\s*=\s*"([^"]*)"\s*\}$')
_original_put_log_events = LogsResponse.put_log_events


def _put_log_events(self: Any) -> Any:
    answer = _original_put_log_events(self)
    for event in self._get_param("logEvents"):
        host().store.keep_line(self._get_param("logGroupName"), int(event["timestamp"]), event["message"])
    return answer


@lru_cache(maxsize=256)
def _json_equality(pattern: str) -> tuple[str, str] | None:
    found = _JSON_EQUALITY.match(pattern.strip())
    return (found[1], found[2]) if found else None


def _filter_events(
    self: Any,
    log_group_name: str,
    log_stream_names: Any,
    start_time: int | None,
    end_time: int | None,
    limit: int | None,
    next_token: str | None,
    filter_pattern: str,
    interleaved: bool,
) -> Any:
    equality = _json_equality(filter_pattern or "")
    records = host().store.records(log_group_name, *equality) if equality is not None else None
    if records is None:
        return _original_filter_events(
            self,
            log_group_name,
            log_stream_names,
            start_time,
            end_time,
            limit,
            next_token,
            filter_pattern,
            interleaved,
        )
    # a token is the number of records that are behind the reader: they only ever grow at their end
    begin = int(next_token) if next_token and next_token.isdecimal() else 0 if not next_token else len(records)
    page: list[dict[str, Any]] = []
    for number, record in enumerate(records[begin:], begin):
        if len(page) == (limit or MAX_EVENTS):
            return page, str(number), []
        if (start_time or 0) <= record.timestamp <= (end_time or record.timestamp):
            page.append(
                {
                    "eventId": str(number),
                    "ingestionTime": record.timestamp,
                    "logStreamName": "kept",
                    "message": record.message,
                    "timestamp": record.timestamp,
                }
            )
    return page, None, []


def _filter_matches(self: Any, message: str) -> bool:
    equality = _json_equality(self.filter_type.term)
    if equality is None:
        matches: bool = _original_filter_matches(self, message)
        return matches
    name, value = equality
    if value not in message:
        return False
    try:
        record = json.loads(message)
    except ValueError:
        return False
    return isinstance(record, dict) and record.get(name) == value


PATCHES = (
    Patch(
        "log records as lines",
        Kind.OURS,
        "moto/logs/responses.py",
        "Log records live in memory and are gone when the process ends; the host keeps those that come over HTTP as it "
        "keeps its own tasks'.",
        LogsResponse,
        {"put_log_events": _put_log_events},
    ),
    Patch(
        "records as files",
        Kind.OURS,
        "moto/logs/models.py",
        "Every log record is in memory for ever, and a look at one goes through all of them.",
        LogGroup,
        {"filter_log_events": _filter_events},
    ),
    Patch(
        "JSON filter patterns",
        Kind.BUG,
        "getmoto/moto#2419",
        "A filter pattern that compares a field matches every record, so that every poll of one job would carry the "
        "records of all jobs.",
        EventMessageFilter,
        {"matches": _filter_matches},
    ),
)
