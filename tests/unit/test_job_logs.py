"""Which records a reply of logs holds, with the log in memory."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compose_runner.contract import LogsReply, LogsRequest
from compose_runner.jobs.errors import RequestError
from compose_runner.jobs.logs import JobLogs
from tests.job_fakes import RecordsInMemory

NOW = 1_780_000_000.0
NOW_MS = int(NOW * 1000)


def line(number: int, artifact_prefix: str = "job") -> str:
    return json.dumps({"artifact_prefix": artifact_prefix, "message": f"record {number}"})


def logs_of(records: list[tuple[int, str]], **limits: Any) -> JobLogs:
    return JobLogs(RecordsInMemory(records), 3_600_000, now=lambda: NOW, **limits)


def ask(jobs: JobLogs, **fields: Any) -> LogsReply:
    return jobs.logs(LogsRequest.model_validate({"artifact_prefix": "job", **fields}))


def numbers(reply: LogsReply) -> list[int]:
    return [int(json.loads(event.message)["message"].split()[1]) for event in reply.events]


def test_all_pages_are_followed_the_empty_ones_too() -> None:
    reply = ask(logs_of([(number, line(number)) for number in range(11)]), start_time=0)

    assert numbers(reply) == list(range(11))
    assert reply.next_token is None


def test_records_of_other_jobs_and_lines_that_are_no_records_are_left_out() -> None:
    reply = ask(
        logs_of(
            [
                (1, line(1)),
                (2, line(2, "job-2")),
                (3, line(3, "jo")),
                (4, 'Traceback of "job"'),
                (5, "[]"),
                (6, line(6)),
            ]
        ),
        start_time=0,
    )

    assert numbers(reply) == [1, 6]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, [2, 3]),
        ({"start_time": 0}, [1, 2, 3, 4]),
        ({"start_time": NOW_MS, "end_time": NOW_MS}, [3]),
        ({"end_time": NOW_MS - 3_600_000}, [1, 2]),
        ({"start_time": float(NOW_MS) + 0.5}, [3, 4]),
        ({"start_time": str(NOW_MS)}, [3, 4]),
    ],
)
def test_the_last_hour_is_the_default_and_bounds_are_kept(fields: dict[str, Any], expected: list[int]) -> None:
    jobs = logs_of(
        [
            (NOW_MS - 3_600_001, line(1)),
            (NOW_MS - 3_600_000, line(2)),
            (NOW_MS, line(3)),
            (NOW_MS + 1, line(4)),
        ]
    )

    assert numbers(ask(jobs, **fields)) == expected


@given(times=st.lists(st.integers(0, 12), max_size=30), room=st.integers(1, 6))
def test_following_the_token_gives_every_record_once_and_the_end_comes_first(times: list[int], room: int) -> None:
    records = [(moment, line(number)) for number, moment in enumerate(sorted(times))]
    # more room than the records of any one millisecond need
    busiest = max((len(list(group)) for _, group in itertools.groupby(sorted(times))), default=0)
    jobs = logs_of(records, max_bytes=(busiest + room) * 250)

    reply = ask(jobs, start_time=0)
    seen = numbers(reply)
    if records:
        assert seen[-1] == len(records) - 1
    for _ in range(len(records) + 1):
        if reply.next_token is None:
            break
        reply = ask(jobs, next_token=reply.next_token)
        seen += numbers(reply)

    assert reply.next_token is None
    assert sorted(seen) == list(range(len(records)))


def test_when_the_time_is_up_the_token_leads_on() -> None:
    ticks = itertools.count(step=10)
    jobs = logs_of([(number, line(number)) for number in range(9)], max_seconds=35, clock=lambda: next(ticks))

    reply = ask(jobs, start_time=0)
    seen = numbers(reply)
    assert reply.next_token is not None
    while reply.next_token is not None:
        reply = ask(jobs, next_token=reply.next_token)
        seen += numbers(reply)

    assert seen == list(range(9))


@pytest.mark.parametrize("token", ["nonsense", "W10=", "WzFd", "W1sxLDIsM11d", "W1stMSwyLG51bGxdXQ==", "bnVsbA==", "é"])
def test_a_token_that_is_none_of_ours_is_refused_by_name(token: str) -> None:
    with pytest.raises(RequestError, match="next_token"):
        ask(logs_of([]), next_token=token)
