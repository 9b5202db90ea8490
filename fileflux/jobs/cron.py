"""When a job fires: cron expressions in a time zone, as pure functions of an expression and a moment.

The rule for the days on which clocks change, the same on every hub:

* An expression whose minute and hour do not begin with ``*`` names *times of day*. A time that the clock skips fires when the clock has been
  put forward, a time that comes twice fires at the first of the two: exactly once a day.
* Any other expression counts *real time*: ``*/15 * * * *`` fires every 15 minutes, in each of the two hours when the clock goes back.

``cronsim`` walks local time, where a moment can come twice, so what it gives is compared in UTC: what is not later than the moment asked for
is passed over. Zones are read from the ``tzdata`` package and never from the machine, so that hubs of one version agree.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import itertools
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from importlib import metadata, resources
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from fileflux.errors import Fault, FluxError

HORIZON_YEARS: Final = 10
"""Beyond a leap day (8 years around 2100). A search that finds nothing costs 10 ms; for ever would be 50."""
STEPS_MAX: Final = 200
"""Times passed over because they are not later in UTC: two hours of seconds would be more than any expression of times of day has."""
MAX_CHARACTERS: Final = 200

_ALIASES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FIELDS: Final = ("second", "minute", "hour", "day of month", "month", "day of week")
_ALLOWED: Final = (
    "0 to 59",
    "0 to 59",
    "0 to 23",
    "1 to 31, L for the last day, LW for the last working day",
    "1 to 12 or JAN to DEC",
    "0 to 7 or SUN to SAT (0 and 7 are Sunday), 5L for the last Friday, MON#1 for the first Monday",
)
_TIME_OF_DAY: Final = re.compile(r"(\d{1,2}):(\d{2})")


class ScheduleError(FluxError):
    """An expression or a zone that cannot be used; the message says what would be right."""

    code = "bad_schedule"
    fault = Fault.USER


class _Walk(CronSim):
    """The walk of one expression from a moment on. Ends after HORIZON_YEARS without a match."""

    def __init__(self, fields: str, start: datetime, *, times_of_day: bool) -> None:
        super().__init__(fields, start)
        self._last_year = start.year + HORIZON_YEARS
        # cronsim has Debian's rule for five fields only; with seconds a time of day is one no less.
        if times_of_day and self.fixup_tz is None and self.dt.tzinfo not in (None, UTC):
            self.fixup_tz = self.dt.tzinfo
            self.dt = self.dt.replace(tzinfo=None)

    def advance_month(self) -> None:
        if self.dt.year > self._last_year:
            raise StopIteration
        super().advance_month()


def parse(expression: str) -> str:
    """The expression as fields, single blanks between them. Raises ScheduleError, also for one that does not come within ten years."""
    fields = _fields(expression)
    if next_after(fields, UTC, datetime(2026, 1, 1, tzinfo=UTC)) is None:
        raise ScheduleError(
            f"{expression!r} never comes (not within {HORIZON_YEARS} years): check the day and the month"
        )
    return fields


def parse_expected(text: str) -> str:
    """``HH:MM``, which is every day, or a cron expression. Raises ScheduleError."""
    time_of_day = _TIME_OF_DAY.fullmatch(text.strip())
    if time_of_day is None:
        if ":" in text:
            raise ScheduleError(f"{text!r} is no time of day: write HH:MM, as in 06:30, or a cron expression")
        return parse(text)
    hour, minute = int(time_of_day[1]), int(time_of_day[2])
    if hour > 23 or minute > 59:
        raise ScheduleError(f"{text!r} is no time of day: 00:00 to 23:59")
    return f"{minute} {hour} * * *"


def zone(name: str) -> tzinfo:
    """The IANA zone of this name. Raises ScheduleError with the nearest name there is."""
    if name == "UTC":
        return UTC
    if name not in zone_names():
        raise ScheduleError(f"there is no time zone {name!r}{_nearest(name)}")
    return _load_zone(name)


@functools.cache
def zone_names() -> frozenset[str]:
    return frozenset((resources.files("tzdata") / "zones").read_text("ascii").split())


@functools.cache
def zones_version() -> str:
    """Of the rules of all zones: with another one fire times may be others."""
    return metadata.version("tzdata")


def next_after(fields: str, tz: tzinfo, after: datetime) -> datetime | None:
    """The first fire time later than ``after`` (aware), in UTC; None when there is none within ten years. ``fields`` as ``parse`` gave it."""
    walk = _Walk(fields, after.astimezone(tz), times_of_day=is_time_of_day(fields))
    for found in itertools.islice(walk, STEPS_MAX):
        fire = found.astimezone(UTC)
        if fire > after:
            return fire
    return None


def fires(fields: str, tz: tzinfo, after: datetime, count: int) -> Iterator[datetime]:
    """The next ``count`` fire times later than ``after``, in UTC."""
    for _ in range(count):
        found = next_after(fields, tz, after)
        if found is None:
            return
        yield found
        after = found


def last_before(fields: str, tz: tzinfo, first: datetime, now: datetime) -> datetime:
    """The latest fire time from ``first``, which is one, to ``now``. Cheap however many lie between."""
    window = timedelta(seconds=1)
    while now - window > first:
        found = next_after(fields, tz, now - window)
        if found is not None and found <= now:
            first = found
            break
        window *= 2
    # Twice the window that was empty before: as many are left as fit into one half of it.
    while (later := next_after(fields, tz, first)) is not None and later <= now:
        first = later
    return first


def jitter(job_id: int, fire: datetime, following: datetime | None, most_s: float) -> timedelta:
    """How much later than ``fire`` the job starts: the same on every hub, below ``most_s`` and before the fire time that follows."""
    if following is not None:
        most_s = min(most_s, (following - fire).total_seconds())
    if most_s <= 0:
        return timedelta()
    digest = hashlib.sha256(f"{job_id} {int(fire.timestamp())}".encode()).digest()
    return timedelta(seconds=most_s * (int.from_bytes(digest[:6], "big") / 2**48))


def is_time_of_day(fields: str) -> bool:
    """Whether the expression names times of day rather than intervals (see above)."""
    minute, hour = fields.split()[-5:-3]
    return not minute.startswith("*") and not hour.startswith("*")


def words(fields: str) -> str:
    """The expression for people: ``At 02:30 on Monday through Friday``."""
    return str(CronSim(fields, datetime(2026, 1, 1, tzinfo=UTC)).explain())


def dst_rule(fields: str, tz: tzinfo) -> str:
    """What happens when clocks change, in a sentence; empty in a zone where they never do."""
    if tz is UTC or len({datetime(2026, month, 1, tzinfo=tz).utcoffset() for month in range(1, 13)}) == 1:
        return ""
    if is_time_of_day(fields):
        return "A time that the clock skips fires when the clock has been put forward; a time that comes twice fires once, at the first."
    return "Counts real time: in both hours when the clock goes back, in none that the clock skips."


def _fields(expression: str) -> str:
    text = expression.strip()
    if text.startswith("@"):
        known = _ALIASES.get(text.lower())
        if known is None:
            raise ScheduleError(f"{text!r} is none of {', '.join(_ALIASES)}")
        return known
    parts = text.upper().split()
    if len(text) > MAX_CHARACTERS or not text.isascii() or len(parts) not in (5, 6):
        raise ScheduleError(
            f"{text[:MAX_CHARACTERS]!r} is no cron expression: 5 fields (minute hour day month weekday), 6 with seconds in front, or @daily"
        )
    fields = " ".join(parts)
    try:
        CronSim(fields, datetime(2026, 1, 1, tzinfo=UTC))
    except CronSimError:
        raise ScheduleError(_mistake(parts)) from None
    return fields


def _mistake(parts: list[str]) -> str:
    """Which field is wrong: each is tried with every other one set to ``*``."""
    first = 6 - len(parts)
    for number, part in enumerate(parts):
        alone = ["*"] * len(parts)
        alone[number] = part
        try:
            CronSim(" ".join(alone), datetime(2026, 1, 1, tzinfo=UTC))
        except CronSimError:
            return f"the {_FIELDS[first + number]} {part!r} is not right: {_ALLOWED[first + number]}, lists, ranges and steps of these"
    return "no month has such a day: check the day and the month"


@functools.cache
def _load_zone(name: str) -> tzinfo:
    with resources.files("tzdata.zoneinfo").joinpath(*name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def _nearest(name: str) -> str:
    """Its like among the names of the same region only: all 600 would hold the loop."""
    names, wanted = zone_names(), name.strip().casefold()
    same = [one for one in names if wanted and wanted in (one.casefold(), one.casefold().rpartition("/")[2])]
    region, slash, city = name.partition("/")
    near = same or (
        difflib.get_close_matches(name, [one for one in names if one.startswith(f"{region}/")], n=1, cutoff=0.8)
        if slash and len(city) < 40
        else []
    )
    return f": did you mean {near[0]!r}?" if near else ": write one like Europe/Berlin, or UTC"
