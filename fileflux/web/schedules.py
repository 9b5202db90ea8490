"""When jobs fire: of an expression before it is saved, and of all jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final, TypeVar

import marshmallow as ma
from marshmallow import fields

from fileflux.actors.kernel import runtime
from fileflux.errors import FluxError
from fileflux.jobs import cron
from fileflux.jobs.cron import ScheduleError
from fileflux.jobs.schedule import Schedule, merged
from fileflux.storage import schedules as rows
from fileflux.web.context import deps
from fileflux.web.fields import Text
from fileflux.web.paging import Limit, TimeFilter
from fileflux.web.problems import InvalidFieldsError
from fileflux.web.resource import Resource

schedules = Resource("schedules", "When jobs run.")

T = TypeVar("T")
AHEAD: Final = timedelta(days=7)
"""How far `upcoming` looks unless it is told."""
AT_ONCE: Final = 50
"""Fire times that are computed before others get their turn: 3 ms."""


class PreviewQuery(ma.Schema):
    cron = Text(low=1, high=cron.MAX_CHARACTERS, required=True, metadata={"description": "as a job's schedule"})
    tz = Text(high=64, load_default="UTC", metadata={"description": "the job's time zone"})
    count = Limit(5)
    viewer_tz = Text(high=64, load_default="UTC", metadata={"description": "a second zone to show the times in"})


class FireTime(ma.Schema):
    utc = fields.AwareDateTime()
    job_time = fields.String(metadata={"description": "on the clock of the job's zone, with its offset"})
    viewer_time = fields.String()


class Preview(ma.Schema):
    cron = fields.String(metadata={"description": "as five or six fields"})
    timezone = fields.String()
    words = fields.String()
    dst_rule = fields.String(metadata={"description": "what happens when clocks change; empty where they never do"})
    items = fields.List(fields.Nested(FireTime))


class UpcomingQuery(ma.Schema):
    until = TimeFilter(metadata={"description": "seven days from now unless given"})
    limit = Limit()


class UpcomingRun(ma.Schema):
    job_id = fields.Integer()
    job = fields.String()
    utc = fields.AwareDateTime()
    job_time = fields.String()
    timezone = fields.String()
    starts_at = fields.AwareDateTime(metadata={"description": "with the job's jitter"})


class UpcomingPage(ma.Schema):
    items = fields.List(fields.Nested(UpcomingRun))


@schedules.route("GET", "/api/schedules/preview", query=PreviewQuery, returns=Preview)
def preview_schedule(query: dict[str, Any]) -> dict[str, Any]:
    """The next times of a cron expression, in the job's time zone and the viewer's."""
    known = _checked("cron", cron.parse, query["cron"])
    tz = _checked("tz", cron.zone, query["tz"])
    viewer = _checked("viewer_tz", cron.zone, query["viewer_tz"])
    times = cron.fires(known, tz, deps().clock.utc_now(), query["count"])
    return {
        "cron": known,
        "timezone": query["tz"],
        "words": cron.words(known),
        "dst_rule": cron.dst_rule(known, tz),
        "items": [
            {"utc": fire, "job_time": _shown(fire, tz), "viewer_time": _shown(fire, viewer)}
            for fire in _giving_way(times)
        ],
    }


@schedules.route("GET", "/api/schedules/upcoming", query=UpcomingQuery, returns=UpcomingPage)
def upcoming_runs(query: dict[str, Any]) -> dict[str, Any]:
    """What starts by schedule next, over all jobs that are enabled."""
    until = query.get("until") or deps().clock.utc_now() + AHEAD
    with deps().database.transaction() as tx:
        found = rows.upcoming(tx, query["limit"], until)
    names, first = {row.id: row.name for row in found}, []
    for row in _giving_way(iter(found)):
        try:
            schedule = Schedule.of(row.id, row.spec)
        except ScheduleError:
            # It was saved when there was such a zone; the scheduler drops it when it is due.
            continue
        if schedule is not None:
            first.append((row.next_fire, schedule))
    return {
        "items": [
            {
                "job_id": schedule.job_id,
                "job": names[schedule.job_id],
                "utc": fire.astimezone(UTC),
                "job_time": _shown(fire, cron.zone(schedule.timezone)),
                "timezone": schedule.timezone,
                "starts_at": schedule.due(fire),
            }
            for fire, schedule in _giving_way(merged(first, until, query["limit"]))
        ]
    }


def _checked(name: str, check: Callable[[str], T], text: str) -> T:
    try:
        return check(text)
    except FluxError as error:
        raise InvalidFieldsError({name: [f"{error.message}."]}) from None


def _shown(fire: datetime, tz: tzinfo) -> str:
    return fire.astimezone(tz).isoformat()


def _giving_way(items: Iterator[T]) -> Iterator[T]:
    for number, item in enumerate(items, 1):
        yield item
        if number % AT_ONCE == 0:
            runtime.yield_loop()
