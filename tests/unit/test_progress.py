from __future__ import annotations

from itertools import count

from compose_runner.progress import Progress, ProgressRecord, Stage


def _clock(step: float = 1.0):
    ticks = count()
    return lambda: next(ticks) * step


def test_every_stage_is_told_when_it_begins() -> None:
    told: list[ProgressRecord] = []
    progress = Progress(told.append, clock=_clock())
    progress.start(Stage.FETCH)
    progress.start(Stage.FIT)
    assert [record.stage for record in told] == [Stage.FETCH, Stage.FIT]


def test_percent_and_seconds_left_follow_from_the_steps() -> None:
    told: list[ProgressRecord] = []
    time = iter([0.0, 0.0, 0.0, 10.0]).__next__
    progress = Progress(told.append, clock=lambda: time())
    progress.start(Stage.CORRECT, total=200)
    time = iter([10.0]).__next__
    progress.advance(50, 200)
    assert told[-1].percent == 25.0
    assert told[-1].seconds_left == 30.0


def test_more_steps_than_announced_are_not_more_than_all() -> None:
    told: list[ProgressRecord] = []
    progress = Progress(told.append, clock=_clock())
    progress.start(Stage.CORRECT, total=10)
    progress.advance(12, 10)
    assert told[-1].percent == 100.0
    assert told[-1].seconds_left == 0.0


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
