"""The columns of a job that say when the scheduler looks at it, as they follow from what the job says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog

from fileflux.jobs import cron
from fileflux.jobs.cron import ScheduleError
from fileflux.jobs.models import JobSpec
from fileflux.jobs.schedule import Schedule

log = structlog.get_logger("fileflux.schedules")

_OF_SCHEDULE: Final = ("schedule", "timezone", "jitter_s")
_OF_EXPECTATION: Final = ("expected_by", "timezone")
YEAR: Final = timedelta(days=366)


def changes(job_id: int, before: JobSpec | None, after: JobSpec | None, now: datetime) -> dict[str, datetime | None]:
    """The columns to set when a job changes; None for a job that never fires: disabled, ad hoc or deleted, or not yet made.

    What does not change keeps its times: a tick that is due this very moment must not get lost by a new description.
    """
    changed: dict[str, datetime | None] = {}
    if _given(before, _OF_SCHEDULE) != _given(after, _OF_SCHEDULE):
        changed["next_fire"], changed["due_at"] = first_tick(job_id, after.to_json(), now) if after else (None, None)
    if _given(before, _OF_EXPECTATION) != _given(after, _OF_EXPECTATION):
        changed["expect_at"], changed["expect_since"] = expectation(after.to_json(), now) if after else (None, None)
    return changed


def first_tick(job_id: int, spec: dict[str, Any], now: datetime) -> tuple[datetime | None, datetime | None]:
    """Fire time and due time of the next tick after ``now``."""
    try:
        schedule = Schedule.of(job_id, spec)
    except ScheduleError as error:
        log.warning("a job's schedule cannot be used", job_id=job_id, error=error.message)
        return None, None
    return (None, None) if schedule is None else schedule.first(now)


def expectation(spec: dict[str, Any], now: datetime) -> tuple[datetime | None, datetime | None]:
    """The next time by which a run must have succeeded, and since when one counts: the time before it."""
    if spec.get("expected_by") is None:
        return None, None
    try:
        fields, tz = cron.parse_expected(spec["expected_by"]), cron.zone(spec.get("timezone", "UTC"))
    except ScheduleError as error:
        log.warning("a job's expectation cannot be used", error=error.message)
        return None, None
    following = cron.next_after(fields, tz, now)
    earliest = cron.next_after(fields, tz, now - YEAR)
    if following is None or earliest is None or earliest > now:
        return following, datetime(1970, 1, 1, tzinfo=UTC)
    return following, cron.last_before(fields, tz, earliest, now)


def _given(spec: JobSpec | None, names: tuple[str, ...]) -> tuple[Any, ...] | None:
    """What decides the times; None when there are none."""
    if spec is None or getattr(spec, names[0]) is None:
        return None
    return tuple(getattr(spec, name) for name in names)
