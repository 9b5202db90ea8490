"""Limits by the hour of the week. Pure: the time is an argument.

An entry holds on its days from one time of its zone to another, past midnight if that is earlier. Entries may overlap: the lowest limit holds.
On the two nights on which clocks are set, a time that does not exist or comes twice has two readings: an entry begins at the earlier and
ends at the later one, so it never holds for less than was asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, Final, Literal

from fileflux.jobs.cron import ScheduleError, zone

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: Final[tuple[Day, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ENTRIES_MAX: Final = 100
_AHEAD_DAYS: Final = 8
"""What does not change within a week never does."""


@dataclass(frozen=True, slots=True)
class Entry:
    """``begins`` and ``ends`` in minutes of the day, ``ends`` up to 1440; not later than ``begins``: on the next day."""

    days: frozenset[int]
    begins: int
    ends: int
    limit: int
    zone: tzinfo

    def on(self, day: date) -> tuple[datetime, datetime]:
        """From when to when it holds if it begins on this day; in UTC."""
        later = 1 if self.ends <= self.begins else 0
        return min(_readings(day, self.begins, self.zone)), max(_readings(day, self.ends + later * 1440, self.zone))


@dataclass(frozen=True, slots=True)
class Now:
    """``limit`` None: no entry holds. ``until``: when that changes, None for never."""

    limit: int | None
    until: datetime | None


class Timetable:
    """Of entries as the API has them: ``days``, ``from``, ``to``, ``limit``, ``timezone``. Raises ScheduleError for one that is none."""

    def __init__(self, entries: Sequence[Mapping[str, Any]]) -> None:
        self._entries = [entry(one) for one in entries[:ENTRIES_MAX]]

    def at(self, now: datetime) -> Now:
        """What holds at this moment. A hundred entries take some milliseconds: ask again at ``until``."""
        holds: Counter[int] = Counter()
        edges: list[tuple[datetime, int, int]] = []
        for one in self._entries:
            today = now.astimezone(one.zone).date()
            for offset in range(-1, _AHEAD_DAYS + 1):
                day = today + timedelta(days=offset)
                if day.weekday() not in one.days:
                    continue
                begin, end = one.on(day)
                if begin <= now < end:
                    holds[one.limit] += 1
                elif begin > now:
                    edges.append((begin, 1, one.limit))
                if end > now:
                    edges.append((end, -1, one.limit))
        current = min(+holds, default=None)
        # Of what happens at one moment the beginnings come first: between two entries that meet nothing changes.
        edges.sort(key=lambda edge: (edge[0], -edge[1]))
        for number, (moment, change, limit) in enumerate(edges):
            holds[limit] += change
            if number + 1 < len(edges) and edges[number + 1][0] == moment:
                continue
            if min(+holds, default=None) != current:
                return Now(current, moment if moment < now + timedelta(days=_AHEAD_DAYS - 1) else None)
        return Now(current, None)


def entry(given: Mapping[str, Any]) -> Entry:
    """Raises ScheduleError."""
    days = frozenset(DAYS.index(day) for day in given["days"])
    return Entry(
        days,
        minutes(given["from"]),
        minutes(given["to"], last=1440),
        given["limit"],
        zone(given.get("timezone", "UTC")),
    )


def minutes(text: str, last: int = 1439) -> int:
    """Of the day, from ``HH:MM``. Raises ScheduleError."""
    hour, colon, minute = text.partition(":")
    digits = len(hour) == 2 and len(minute) == 2 and (hour + minute).isascii() and (hour + minute).isdecimal()
    if not colon or not digits or int(minute) > 59 or int(hour) * 60 + int(minute) > last:
        raise ScheduleError("not a time of day: write HH:MM, as in 08:30")
    return int(hour) * 60 + int(minute)


def _readings(day: date, minute: int, where: tzinfo) -> tuple[datetime, datetime]:
    """Both moments that a time of the day can mean; they differ on the nights on which clocks are set."""
    local = datetime.combine(day, time(), where) + timedelta(minutes=minute)
    first = local.replace(fold=0).astimezone(UTC)
    if local.replace(fold=1).utcoffset() == local.replace(fold=0).utcoffset():
        return first, first
    return first, local.replace(fold=1).astimezone(UTC)
