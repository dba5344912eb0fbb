from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from compose_runner.progress import Progress, ProgressRecord, Stage, merged

if TYPE_CHECKING:
    from collections.abc import Callable


def _clock(step: float = 1.0) -> Callable[[], float]:
    ticks = count()
    return lambda: next(ticks) * step


def test_every_stage_is_told_when_it_begins() -> None:
    records: list[ProgressRecord] = []
    progress = Progress(records.append, clock=_clock())
    progress.start(Stage.FETCH)
    progress.start(Stage.FIT)
    assert [record.stage for record in records] == [Stage.FETCH, Stage.FIT]


def test_percent_and_seconds_left_follow_from_the_steps() -> None:
    records: list[ProgressRecord] = []
    time = iter([0.0, 0.0, 0.0, 10.0]).__next__
    progress = Progress(records.append, clock=lambda: time())
    progress.start(Stage.CORRECT, total=200)
    time = iter([10.0]).__next__
    progress.advance(50, 200)
    assert records[-1].percent == 25.0
    assert records[-1].seconds_left == 30.0


def test_more_steps_than_announced_are_not_more_than_all() -> None:
    records: list[ProgressRecord] = []
    progress = Progress(records.append, clock=_clock())
    progress.start(Stage.CORRECT, total=10)
    progress.advance(12, 10)
    assert records[-1].percent == 100.0
    assert records[-1].seconds_left == 0.0


def test_durations_are_kept_per_stage_and_added_up() -> None:
    progress = Progress(clock=_clock(2.0))
    progress.start(Stage.FIT)
    progress.start(Stage.CORRECT)
    progress.start(Stage.FIT)
    progress.finish()
    progress.finish()
    assert progress.seconds == {"fit": 4.0, "correct": 2.0}


def test_without_a_listener_nothing_is_told() -> None:
    progress = Progress()
    progress.start(Stage.FIT, total=3)
    progress.advance(3, 3)


def test_a_prediction_is_told_until_the_steps_tell_something() -> None:
    records: list[ProgressRecord] = []
    time = iter([0.0, 0.0, 0.0, 10.0, 10.0, 10.0, 20.0]).__next__
    progress = Progress(records.append, clock=lambda: time())
    progress.expect(Stage.CORRECT, 100.0)
    progress.start(Stage.FIT)
    assert records[-1].seconds_left == 100.0
    progress.start(Stage.CORRECT)
    assert records[-1].seconds_left == 100.0
    progress.advance(25, 100)
    assert records[-1].seconds_left == 30.0


@pytest.mark.parametrize(("completed", "seconds", "left"), [(1, 10.0, 90.0), (5, 10.0, 190.0), (1, 110.0, 110.0 * 99)])
def test_the_first_steps_do_not_outweigh_a_prediction_unless_it_is_over(
    completed: int, seconds: float, left: float
) -> None:
    records: list[ProgressRecord] = []
    now = [0.0]
    progress = Progress(records.append, clock=lambda: now[0])
    progress.expect(Stage.CORRECT, 100.0)
    progress.start(Stage.CORRECT)
    now[0] = seconds
    progress.advance(completed, 100)
    assert records[-1].seconds_left == pytest.approx(left)


def test_a_prediction_that_was_too_short_says_no_time_left_rather_than_less() -> None:
    records: list[ProgressRecord] = []
    time = iter([0.0, 0.0, 0.0, 10.0]).__next__
    progress = Progress(records.append, clock=lambda: time())
    progress.expect(Stage.CORRECT, 5.0)
    progress.start(Stage.CORRECT)
    progress.advance(0, 100)
    assert records[-1].seconds_left == 0.0


def _record(completed: int, total: int | None, seconds_left: float | None, **fields: Any) -> ProgressRecord:
    return ProgressRecord(
        **{"stage": Stage.CORRECT, "completed": completed, "total": total, "seconds_left": seconds_left, **fields}
    )


def test_progress_of_shards_is_added_up_and_the_slowest_says_how_long() -> None:
    sharded = _record(0, 100, 60.0, shards=2)
    whole = merged(sharded, [_record(10, 50, 40.0), _record(25, 50, 25.0)])
    assert (whole.completed, whole.total, whole.percent, whole.seconds_left) == (35, 100, 35.0, 40.0)
    assert whole.updated >= sharded.updated


def test_shards_that_have_not_begun_count_with_what_was_predicted() -> None:
    sharded = _record(0, 100, 60.0, shards=4)
    preparing = _record(0, None, None, stage=Stage.FETCH)
    whole = merged(sharded, [_record(10, 25, 30.0), preparing])
    assert (whole.completed, whole.seconds_left) == (10, 60.0)
    assert merged(sharded, [preparing]) == sharded
