"""Which records a reply of logs holds, with the log in memory."""

from __future__ import annotations

import base64
import itertools
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from compose_runner.service.contract import MAX_EPOCH_MS, LogsReply, LogsRequest
from compose_runner.service.errors import RequestError
from compose_runner.service.logs import MAX_SECONDS, LogsService
from compose_runner.service.ports import LogPage, Window
from tests.support.job_fakes import RecordsInMemory

NOW = 1_780_000_000.0
NOW_MS = int(NOW * 1000)


def line(number: int, artifact_prefix: str = "job") -> str:
    return json.dumps({"artifact_prefix": artifact_prefix, "message": f"record {number}"})


def make_logs(records: list[tuple[int, str]], **limits: Any) -> LogsService:
    return LogsService(RecordsInMemory(records), 3_600_000, now=lambda: NOW, **limits)


def ask(jobs: LogsService, **fields: Any) -> LogsReply:
    return jobs.logs(LogsRequest.model_validate({"artifact_prefix": "job", **fields}))


def numbers(reply: LogsReply) -> list[int]:
    return [int(json.loads(event.message)["message"].split()[1]) for event in reply.events]


def test_all_pages_are_followed_the_empty_ones_too() -> None:
    reply = ask(make_logs([(number, line(number)) for number in range(11)]), start_time=0)

    assert numbers(reply) == list(range(11))
    assert reply.next_token is None


def test_records_of_other_jobs_and_lines_that_are_no_records_are_left_out() -> None:
    reply = ask(
        make_logs(
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
    jobs = make_logs(
        [
            (NOW_MS - 3_600_001, line(1)),
            (NOW_MS - 3_600_000, line(2)),
            (NOW_MS, line(3)),
            (NOW_MS + 1, line(4)),
        ]
    )

    assert numbers(ask(jobs, **fields)) == expected


@given(times=st.lists(st.integers(0, 12), max_size=30), spare=st.integers(1, 6))
def test_following_the_token_gives_every_record_once_and_the_end_comes_first(times: list[int], spare: int) -> None:
    records = [(moment, line(number)) for number, moment in enumerate(sorted(times))]
    # more spare bytes than the records of any one millisecond need
    busiest = max((len(list(group)) for _, group in itertools.groupby(sorted(times))), default=0)
    jobs = make_logs(records, max_bytes=(busiest + spare) * 250)

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
    jobs = make_logs([(number, line(number)) for number in range(9)], max_seconds=35, clock=lambda: next(ticks))

    reply = ask(jobs, start_time=0)
    seen = numbers(reply)
    assert reply.next_token is not None
    while reply.next_token is not None:
        reply = ask(jobs, next_token=reply.next_token)
        seen += numbers(reply)

    assert seen == list(range(9))


def encode_token(document: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode()


BOUND = st.one_of(st.none(), st.integers(0, 12))
WINDOW = st.tuples(BOUND, BOUND, st.sampled_from([None, "aB/3"]))
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(0, 12),
    st.integers(0, NOW_MS),
    st.floats(),
    st.text(),
    st.lists(st.integers(0, 9), max_size=3),
    st.just("\ud800"),
)


@st.composite
def tampered(draw: st.DrawFn) -> str:
    """A token of ours with some of its fields replaced, some added or dropped, or its text cut and changed."""
    document: list[Any] = [list(window) for window in draw(st.lists(WINDOW, max_size=3))]
    for window in document:
        if draw(st.booleans()):
            window[draw(st.integers(0, 2))] = draw(ODD)
        if not draw(st.integers(0, 5)):
            window.append(draw(ODD))
    text = encode_token(document if draw(st.integers(0, 9)) else draw(ODD))
    if draw(st.booleans()):
        return text
    at = draw(st.integers(0, len(text)))
    return draw(st.sampled_from([text, text[:at], text[at:], text[:at] + draw(st.text(max_size=3)) + text[at:]]))


class Asked(RecordsInMemory):
    """A log that notes what it is asked, and has nothing."""

    def page(self, artifact_prefix: str, window: Window) -> LogPage:
        self.asked.append(window)
        return LogPage()


@given(token=st.one_of(tampered(), st.lists(WINDOW, min_size=1, max_size=3).map(encode_token)))
def test_a_tampered_token_is_refused_or_asks_for_a_part_of_the_log_that_can_be(token: str) -> None:
    records = Asked()
    jobs = LogsService(records, 3_600_000, now=lambda: NOW)
    try:
        request = LogsRequest.model_validate({"artifact_prefix": "job", "next_token": token})
    except ValidationError:
        return
    with suppress(RequestError):
        jobs.logs(request)
    for window in records.asked:
        bounds = [bound for bound in (window.start, window.end) if bound is not None]
        assert bounds == sorted(bounds)
        assert all(type(bound) is int and 0 <= bound <= MAX_EPOCH_MS for bound in bounds)
        assert window.token is None or (window.token.isascii() and window.token.isprintable())


@pytest.mark.parametrize(
    "window",
    [[5, 1, None], [-1, 5, None], [True, 5, None], [0, 10**18, None], [0, 5, ""], [0, 5, "a\nb"], [0, 5, "\ud800"]],
)
def test_a_token_that_asks_for_what_cloudwatch_refuses_is_refused_by_name(window: list[Any]) -> None:
    records = Asked()

    with pytest.raises(RequestError, match="next_token"):
        ask(LogsService(records, 3_600_000, now=lambda: NOW), next_token=encode_token([window]))
    assert records.asked == []


def test_what_a_caller_asks_for_ends_in_time_however_many_pages_there_are() -> None:
    class Endless:
        pages = 0

        def page(self, artifact_prefix: str, window: Window) -> LogPage:
            self.pages += 1
            return LogPage([], f"token-{self.pages}")

        def write(self, artifact_prefix: str, text: str) -> None:
            raise AssertionError("logs writes nothing")

    endless, ticks = Endless(), itertools.count(step=3)
    reply = ask(LogsService(endless, 3_600_000, now=lambda: NOW, clock=lambda: float(next(ticks))), start_time=0)

    assert endless.pages == MAX_SECONDS / 3
    assert reply.next_token is not None


@pytest.mark.parametrize("token", ["nonsense", "W10=", "WzFd", "W1sxLDIsM11d", "W1stMSwyLG51bGxdXQ==", "bnVsbA==", "é"])
def test_a_token_that_is_none_of_ours_is_refused_by_name(token: str) -> None:
    with pytest.raises(RequestError, match="next_token"):
        ask(make_logs([]), next_token=token)
