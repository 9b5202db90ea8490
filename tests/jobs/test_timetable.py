"""Limits by the hour of the week, on ordinary days and on those on which clocks are set."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from fileflux.jobs.cron import ScheduleError
from fileflux.jobs.timetable import DAYS, ENTRIES_MAX, Timetable, minutes

pytestmark = pytest.mark.unit

WORK = {"days": ["mon", "tue", "wed", "thu", "fri"], "from": "08:00", "to": "18:00", "limit": 1000}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def held(entries: list[dict[str, Any]], moment: str) -> tuple[int | None, str | None]:
    now = Timetable(entries).at(at(moment))
    return now.limit, None if now.until is None else f"{now.until:%a %d %H:%M}"


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        # 2 March 2026 is a Monday.
        ("2026-03-02 07:59", (None, "Mon 02 08:00")),
        ("2026-03-02 08:00", (1000, "Mon 02 18:00")),
        ("2026-03-02 18:00", (None, "Tue 03 08:00")),
        ("2026-03-06 18:00", (None, "Mon 09 08:00")),
    ],
)
def test_an_entry_holds_from_its_beginning_up_to_its_end(moment: str, expected: tuple[int | None, str | None]) -> None:
    assert held([WORK], moment) == expected


def test_past_midnight_it_belongs_to_the_day_on_which_it_begins() -> None:
    night = [{"days": ["fri"], "from": "22:00", "to": "06:00", "limit": 5}]
    assert held(night, "2026-03-06 23:00") == (5, "Sat 07 06:00")
    assert held(night, "2026-03-07 05:59") == (5, "Sat 07 06:00")
    assert held(night, "2026-03-06 05:00") == (None, "Fri 06 22:00")


def test_a_whole_week_never_changes_and_entries_that_meet_are_one() -> None:
    assert held([{"days": list(DAYS), "from": "00:00", "to": "24:00", "limit": 7}], "2026-03-02 12:00") == (7, None)
    assert held([{"days": list(DAYS), "from": "09:00", "to": "09:00", "limit": 7}], "2026-03-02 12:00") == (7, None)


def test_of_several_the_lowest_holds_and_a_pause_is_the_lowest() -> None:
    noon = {"days": ["mon"], "from": "12:00", "to": "13:00", "limit": 0}
    assert held([WORK, noon], "2026-03-02 11:00") == (1000, "Mon 02 12:00")
    assert held([WORK, noon], "2026-03-02 12:30") == (0, "Mon 02 13:00")
    higher = {**noon, "limit": 5000}
    assert held([WORK, higher], "2026-03-02 11:00") == (1000, "Mon 02 18:00")


def test_each_entry_has_its_own_zone() -> None:
    here = {**WORK, "timezone": "America/New_York"}
    assert held([here], "2026-03-02 12:59") == (None, "Mon 02 13:00")
    # From 8 March on New York is four hours behind, not five.
    assert held([here], "2026-03-09 12:00") == (1000, "Mon 09 22:00")


@pytest.mark.parametrize(
    ("begins", "ends", "day", "first", "last"),
    [
        # 29 March: Berlin jumps from 02:00 to 03:00, which is 01:00 UTC.
        ("02:30", "05:00", "2026-03-29", "00:30", "03:00"),
        ("01:00", "02:30", "2026-03-29", "00:00", "01:30"),
        # 25 October: Berlin has the hour from 02:00 twice, 00:00 to 02:00 UTC.
        ("02:30", "05:00", "2026-10-25", "00:30", "04:00"),
        ("01:00", "02:30", "2026-10-25", "23:00", "01:30"),
    ],
)
def test_when_clocks_are_set_it_holds_for_the_longer_reading(
    begins: str, ends: str, day: str, first: str, last: str
) -> None:
    entries = [{"days": ["sun"], "from": begins, "to": ends, "limit": 9, "timezone": "Europe/Berlin"}]
    eve = at(f"{day} 00:00").replace(hour=0)
    start = Timetable(entries).at(eve.replace(day=eve.day - 1))
    assert start.until is not None
    assert f"{start.until:%H:%M}" == first
    end = Timetable(entries).at(start.until)
    assert end.limit == 9
    assert end.until is not None
    assert f"{end.until:%H:%M}" == last


def test_no_entries_hold_nothing() -> None:
    assert held([], "2026-03-02 12:00") == (None, None)


@pytest.mark.parametrize("text", ["8:00", "24:00", "08:60", "0800", "", "08:00 ", "-1:00", "\u0660\u0668:\u0660\u0660"])
def test_what_is_no_time_of_day(text: str) -> None:
    with pytest.raises(ScheduleError, match="HH:MM"):
        minutes(text)


def test_a_zone_that_is_none_is_said() -> None:
    with pytest.raises(ScheduleError, match="zone"):
        Timetable([{**WORK, "timezone": "Europe/Nowhere"}])


def test_edges_follow_each_other_in_any_timetable() -> None:
    entries = [
        {"days": [DAYS[n % 7]], "from": f"{n % 24:02}:00", "to": f"{(n * 7) % 24:02}:30", "limit": n % 5, "timezone": z}
        for n in range(ENTRIES_MAX)
        for z in ["Europe/Berlin" if n % 2 else "Asia/Kolkata"]
    ]
    table = Timetable(entries)
    now, seen = at("2026-10-23 00:00"), 0
    while now < at("2026-10-27 00:00"):
        step = table.at(now)
        assert step.until is not None
        assert step.until > now
        assert table.at(step.until).limit != step.limit
        now, seen = step.until, seen + 1
    assert seen > 10
