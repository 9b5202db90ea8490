"""The cron cases, the days on which clocks change, and the zones. No clock runs: every moment is given."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fileflux.jobs import cron
from fileflux.jobs.cron import ScheduleError

PARIS = "Europe/Paris"


def at(text: str) -> datetime:
    """A moment in UTC, written without its zone."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def local(expression: str, zone: str, after: str, count: int) -> list[str]:
    """The next fire times as the clock of ``zone`` shows them, with their offset in hours."""
    tz = cron.zone(zone)
    found = cron.fires(cron.parse(expression), tz, at(after), count)
    return [fire.astimezone(tz).strftime("%d %H:%M:%S %z") for fire in found]


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("*/5 * * * *", "2026-11-01T00:00", ["2026-11-01T00:05", "2026-11-01T00:10"]),
        ("0 0 * * 0", "2026-11-02T00:00", ["2026-11-08T00:00", "2026-11-15T00:00"]),
        ("0 0 * * 7", "2026-11-02T00:00", ["2026-11-08T00:00", "2026-11-15T00:00"]),
        ("0 9 * * 1-5", "2026-11-06T09:00", ["2026-11-09T09:00", "2026-11-10T09:00"]),
        ("0 9 * * MON-FRI", "2026-11-06T09:00", ["2026-11-09T09:00", "2026-11-10T09:00"]),
        # Day of month OR day of week, unless one of them begins with a star.
        ("0 0 13 * FRI", "2026-11-12T12:00", ["2026-11-13T00:00", "2026-11-20T00:00", "2026-11-27T00:00"]),
        ("0 0 13 * *", "2026-11-14T00:00", ["2026-12-13T00:00"]),
        ("0 0 29 2 *", "2026-01-01T00:00", ["2028-02-29T00:00", "2032-02-29T00:00"]),
        ("0 0 29 2 *", "2096-03-01T00:00", ["2104-02-29T00:00"]),
        ("0 0 31 * *", "2026-11-01T00:00", ["2026-12-31T00:00", "2027-01-31T00:00", "2027-03-31T00:00"]),
        ("0 0 L * *", "2027-01-31T00:00", ["2027-02-28T00:00", "2027-03-31T00:00"]),
        ("59 23 31 12 *", "2026-12-31T23:58", ["2026-12-31T23:59", "2027-12-31T23:59"]),
        ("30 15,45 23-23 * JAN,jun *", "2026-01-01T00:00", ["2026-01-01T23:15:30", "2026-01-01T23:45:30"]),
        ("*/20 * * * * *", "2026-06-30T23:59:50", ["2026-07-01T00:00:00", "2026-07-01T00:00:20"]),
        ("@hourly", "2026-11-01T00:00", ["2026-11-01T01:00"]),
        ("@daily", "2026-11-01T00:00", ["2026-11-02T00:00"]),
        ("@Midnight", "2026-11-01T00:00", ["2026-11-02T00:00"]),
        ("@weekly", "2026-11-01T00:00", ["2026-11-08T00:00"]),
        ("@monthly", "2026-12-01T00:00", ["2027-01-01T00:00"]),
        ("@yearly", "2026-01-01T00:00", ["2027-01-01T00:00"]),
        ("@annually", "2026-01-01T00:00", ["2027-01-01T00:00"]),
        ("0 9 * * MON#1", "2026-11-02T10:00", ["2026-12-07T09:00"]),
    ],
)
def test_fire_times(expression: str, after: str, expected: list[str]) -> None:
    found = cron.fires(cron.parse(expression), cron.zone("UTC"), at(after), len(expected))
    assert list(found) == [at(text) for text in expected]


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("", "no cron expression"),
        ("* * * *", "no cron expression"),
        ("* * * * * * *", "no cron expression"),
        ("٣ * * * *", "no cron expression"),
        ("* " * 150, "no cron expression"),
        ("60 * * * *", "the minute '60' is not right: 0 to 59"),
        ("* 24 * * *", "the hour '24'"),
        ("* * 0 * *", "the day of month '0'"),
        ("* * * 13 *", "the month '13'"),
        ("* * * * 8", "the day of week '8'"),
        ("60 * * * * *", "the second '60'"),
        ("*/0 * * * *", "the minute '*/0'"),
        ("5-1 * * * *", "the minute '5-1'"),
        ("* * * * TUS", "the day of week 'TUS'"),
        ("0 0 ? * MON", "the day of month '?'"),
        ("0 0 31 2 *", "no month has such a day"),
        ("0 0 30 FEB *", "no month has such a day"),
        ("0 0 */31 * MON#5", "never comes"),
        ("@reboot", "none of @hourly"),
        ("@every 5m", "none of @hourly"),
    ],
)
def test_what_is_no_schedule_is_refused(expression: str, said: str) -> None:
    with pytest.raises(ScheduleError, match=r"^[^\n]+$") as refused:
        cron.parse(expression)
    assert said in refused.value.message


def test_a_time_that_the_clock_skips_fires_once_when_it_is_put_forward() -> None:
    assert local("30 2 * * *", PARIS, "2027-03-26T12:00", 3) == [
        "27 02:30:00 +0100",
        "28 03:00:00 +0200",
        "29 02:30:00 +0200",
    ]
    assert local("15 30 2 * * *", PARIS, "2027-03-27T12:00", 2) == ["28 03:00:15 +0200", "29 02:30:15 +0200"]
    # Midnight itself is skipped there.
    assert local("@daily", "Africa/Cairo", "2027-04-29T12:00", 2) == ["30 01:00:00 +0300", "01 00:00:00 +0300"]


def test_a_time_that_comes_twice_fires_once() -> None:
    for expression in ("30 2 * * *", "0 30 2 * * *"):
        assert local(expression, PARIS, "2026-10-24T12:00", 2) == ["25 02:30:00 +0200", "26 02:30:00 +0100"]
        # Also for a hub that asks between the two.
        assert local(expression, PARIS, "2026-10-25T01:10", 1) == ["26 02:30:00 +0100"]


def test_intervals_keep_real_time_over_both_changes() -> None:
    for after in ("2026-10-24T22:00", "2027-03-27T22:00"):
        found = list(cron.fires("*/15 * * * *", cron.zone(PARIS), at(after), 24))
        assert found == [at(after) + timedelta(minutes=15 * number) for number in range(1, 25)]
    assert local("0 * * * *", "Australia/Lord_Howe", "2026-10-03T14:00", 2) == [
        "04 01:00:00 +1030",
        "04 03:00:00 +1100",
    ]


def test_no_leap_second_shifts_a_fire_time() -> None:
    """Zones with leap seconds in them (``right/…``) are none of the names; the days around 2016's are as long as any."""
    assert not [name for name in cron.zone_names() if name.startswith(("right/", "posix"))]
    found = list(cron.fires("0 0 * * *", cron.zone(PARIS), at("2016-12-31T12:00"), 3))
    assert {later - sooner for sooner, later in itertools.pairwise(found)} == {timedelta(days=1)}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Europe/Nowhere", "write one like"),
        ("Europe/Berln", "did you mean 'Europe/Berlin'"),
        ("berlin", "did you mean 'Europe/Berlin'"),
        ("utc", "did you mean"),
        ("../../etc/passwd", "there is no time zone"),
        ("/etc/localtime", "there is no time zone"),
        ("UTC+25", "there is no time zone"),
        ("", "there is no time zone"),
        ("Europe/Berlin\0", "there is no time zone"),
        ("Europe/" + "x" * 5000, "there is no time zone"),
        ("right/Europe/Berlin", "there is no time zone"),
        ("localtime", "there is no time zone"),
    ],
)
def test_what_is_no_zone_is_refused(name: str, said: str) -> None:
    with pytest.raises(ScheduleError) as refused:
        cron.zone(name)
    assert said in refused.value.message


def test_every_zone_can_be_used() -> None:
    for name in cron.zone_names():
        assert cron.next_after("30 2 * * *", cron.zone(name), at("2026-11-01T00:00")) is not None


EXPRESSIONS = st.sampled_from(
    [
        "30 2 * * *",
        "*/15 * * * *",
        "15,45 1-3 * * *",
        "0 0 * * *",
        "*/20 2 * * *",
        "*/30 0 2 * * *",
        "7 */5 * * * *",
        "0 0 L * *",
    ]
)
ZONES = st.sampled_from(
    [PARIS, "UTC", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "America/Havana", "Asia/Kathmandu"]
)
MOMENTS = st.sampled_from(
    ["2026-10-24T20:00", "2027-03-27T20:00", "2026-10-03T12:00", "2026-10-31T20:00", "2027-04-29T18:00"]
)


@settings(max_examples=60, deadline=None)
@given(EXPRESSIONS, ZONES, MOMENTS, st.integers(0, 12 * 3600))
def test_who_asks_later_gets_the_same_times(expression: str, zone: str, start: str, shift: int) -> None:
    """Fire times are facts of expression and zone: hubs that ask at different moments agree."""
    tz, fields = cron.zone(zone), cron.parse(expression)
    known = list(cron.fires(fields, tz, at(start), 60))
    assert known == sorted(set(known))
    asked = at(start) + timedelta(seconds=shift)
    later = [fire for fire in known if fire > asked]
    assert list(cron.fires(fields, tz, asked, len(later))) == later
    if known[0] <= asked <= known[-1]:
        assert cron.last_before(fields, tz, known[0], asked) == max(fire for fire in known if fire <= asked)


def test_the_latest_of_a_million_times_is_found_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = cron.next_after
    monkeypatch.setattr(cron, "next_after", lambda *given: asked.append(given) or real(*given))
    assert cron.last_before("* * * * * *", UTC, at("2026-01-01T00:00"), at("2026-01-15T00:00")) == at(
        "2026-01-15T00:00"
    )
    assert cron.last_before("0 0 1 1 *", UTC, at("2020-01-01T00:00"), at("2026-07-15T00:00")) == at("2026-01-01T00:00")
    assert len(asked) < 60


@settings(max_examples=100, deadline=None)
@given(st.text("0123456789*/,-#LW SUNMOJAN@? ", max_size=30))
def test_no_text_gets_anything_but_an_answer_or_a_refusal(text: str) -> None:
    try:
        fields = cron.parse(text)
    except ScheduleError:
        return
    assert cron.parse(fields) == fields
    assert cron.words(fields)


def test_jitter_is_the_same_for_everybody_and_stays_before_the_next_time() -> None:
    fire, following = at("2026-11-01T00:00"), at("2026-11-01T00:01")
    spread = {cron.jitter(job, fire, following, 3600) for job in range(100)}
    assert len(spread) == 100
    assert timedelta() <= min(spread) < timedelta(seconds=10)
    assert timedelta(seconds=50) < max(spread) < timedelta(seconds=60)
    assert cron.jitter(7, fire, following, 30) == cron.jitter(7, fire, following, 30) < timedelta(seconds=30)
    assert cron.jitter(7, fire, following, 30) != cron.jitter(7, following, None, 30)
    assert cron.jitter(7, fire, following, 0) == timedelta()


@pytest.mark.parametrize(
    ("text", "fields"),
    [("06:30", "30 6 * * *"), ("6:05", "5 6 * * *"), (" 23:59 ", "59 23 * * *"), ("@weekly", "0 0 * * 0")],
)
def test_expected_by(text: str, fields: str) -> None:
    assert cron.parse_expected(text) == fields


@pytest.mark.parametrize("text", ["24:00", "06:60", "6:5", "06:30:00", "noon", ""])
def test_what_is_no_expectation_is_refused(text: str) -> None:
    with pytest.raises(ScheduleError):
        cron.parse_expected(text)


def test_words_and_the_rule() -> None:
    assert cron.words("30 2 * * 1-5") == "At 02:30 on Monday through Friday"
    assert "fires once" in cron.dst_rule("30 2 * * *", cron.zone(PARIS))
    assert "real time" in cron.dst_rule("*/5 * * * *", cron.zone(PARIS))
    assert cron.dst_rule("30 2 * * *", cron.zone("UTC")) == cron.dst_rule("30 2 * * *", cron.zone("Asia/Tokyo")) == ""
