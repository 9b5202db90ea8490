"""Catching up and overlapping, on moments that are given."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fileflux.jobs import cron
from fileflux.jobs.schedule import MISSED_COUNTED, LiveRun, Schedule, Tick, Verdict, overlap, tick

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def hourly(**given: object) -> Schedule:
    return Schedule(7, "0 * * * *", "UTC", **given)  # type: ignore[arg-type]  # the tests' own words


def test_a_tick_on_time_fires_and_the_next_one_follows() -> None:
    for late in (0, 1, 60):
        now = NOON + timedelta(seconds=late)
        assert tick(hourly(), NOON, NOON, now) == Tick(NOON, NOON + HOUR, NOON + HOUR)


def test_after_downtime_once_runs_the_latest_and_skip_none() -> None:
    now = NOON + timedelta(hours=3, minutes=20)
    latest, following = NOON + 3 * HOUR, NOON + 4 * HOUR
    assert tick(hourly(), NOON, NOON, now) == Tick(latest, following, following, missed=3)
    assert tick(hourly(catch_up="skip"), NOON, NOON, now) == Tick(None, following, following, missed=4)


def test_the_latest_is_not_late_when_it_is_from_this_minute() -> None:
    now = NOON + 3 * HOUR + timedelta(seconds=5)
    found = tick(hourly(catch_up="skip"), NOON, NOON, now)
    assert (found.fire, found.missed) == (NOON + 3 * HOUR, 3)


def test_downtime_ends_before_the_jitter_of_the_latest() -> None:
    schedule = hourly(jitter_s=3000.0)
    latest = NOON + 3 * HOUR
    assert schedule.due(latest) > latest + timedelta(minutes=2), "else this test shows nothing"
    found = tick(schedule, NOON, schedule.due(NOON), latest + timedelta(minutes=1))
    assert found == Tick(None, latest, schedule.due(latest), missed=3)


def test_two_weeks_of_seconds_are_not_counted_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = cron.next_after
    monkeypatch.setattr(cron, "next_after", lambda *given: asked.append(given) or real(*given))
    seconds = Schedule(7, "* * * * * *", "UTC", catch_up="skip")
    found = tick(seconds, NOON, NOON, NOON + timedelta(days=14))
    assert (found.fire, found.missed) == (NOON + timedelta(days=14), MISSED_COUNTED)
    assert len(asked) < 100


def test_a_schedule_of_a_job() -> None:
    assert Schedule.of(7, {"schedule": None}) is None
    made = Schedule.of(7, {"schedule": "@daily", "timezone": "Europe/Paris"})
    assert made is not None
    assert made.first(NOON) == (datetime(2026, 11, 2, 23, tzinfo=UTC), datetime(2026, 11, 2, 23, tzinfo=UTC))
    with pytest.raises(cron.ScheduleError):
        Schedule.of(7, {"schedule": "@daily", "timezone": "Mars/Base"})


BEGUN, WAITING = LiveRun(5, "schedule", waiting=False), LiveRun(6, "schedule", waiting=True)
BY_HAND, RETRY = LiveRun(8, "user", waiting=False), LiveRun(9, "retry", waiting=False)
ENDED = "run 5 of this job has not ended"
WAITS = "run 6 of this job waits already"


@pytest.mark.parametrize(
    ("rule", "live", "expected"),
    [
        ("skip", [], Verdict(made=True)),
        ("queue", [], Verdict(made=True)),
        ("cancel", [], Verdict(made=True)),
        ("skip", [BEGUN], Verdict(made=False, reason=ENDED)),
        ("queue", [BEGUN], Verdict(made=True, after_run=5)),
        ("cancel", [BEGUN], Verdict(made=True, after_run=5, cancel=(5,))),
        ("skip", [BEGUN, WAITING], Verdict(made=False, reason="run 6 of this job has not ended")),
        ("queue", [BEGUN, WAITING], Verdict(made=False, reason=WAITS)),
        ("cancel", [BEGUN, WAITING], Verdict(made=False, cancel=(5,), reason=WAITS)),
        # A run by hand swallows no tick and is never cancelled.
        ("skip", [BY_HAND], Verdict(made=True, after_run=8)),
        ("queue", [BY_HAND, RETRY], Verdict(made=True, after_run=9)),
        ("cancel", [BEGUN, BY_HAND], Verdict(made=True, after_run=8, cancel=(5,))),
        ("skip", [WAITING, BY_HAND], Verdict(made=False, reason="run 6 of this job has not ended")),
        ("skip", [LiveRun(5, "watch", waiting=False)], Verdict(made=False, reason=ENDED)),
    ],
)
def test_overlap(rule: str, live: list[LiveRun], expected: Verdict) -> None:
    assert overlap(rule, live) == expected  # type: ignore[arg-type]  # the rules are listed above
