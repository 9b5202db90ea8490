"""Ticks in the database. Its clock is the real one: what is due is put into the past."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest

from fileflux.jobs import cron
from fileflux.jobs.models import JobSpec
from fileflux.jobs.status import RunStatus
from fileflux.storage import agents, expectations, jobs, outbox, runs, schedules
from fileflux.storage.jobs import JobRow
from fileflux.storage.pool import Database
from fileflux.storage.runs import RunRow

NewJob = Callable[..., JobRow]


def rest() -> None:
    """In the place of giving way."""


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """What the world outside is told of schedules: (event, detail)."""
    events: list[tuple[str, Any]] = []

    def add(_tx: Any, event: str, **given: Any) -> None:
        if event in ("job.missed", "job.expectation_failed"):
            events.append((event, given["detail"]))

    monkeypatch.setattr(outbox, "add", add)
    return events


@pytest.fixture
def new_job(database: Database) -> NewJob:
    with database.transaction() as tx:
        source, destination = agents.create(tx, "source"), agents.create(tx, "destination")
    numbers = iter(range(10_000))

    def make(schedule: str | None = "0 * * * *", *, enabled: bool = True, ad_hoc: bool = False, **given: Any) -> JobRow:
        spec = JobSpec(f"job-{next(numbers)}", source.id, "/in", destination.id, "/out", schedule=schedule, **given)
        with database.transaction() as tx:
            return jobs.create(tx, spec, "eve", enabled=enabled, ad_hoc=ad_hoc)

    return make


def put_back(database: Database, job: JobRow, **by: float) -> datetime:
    """Its next tick was so long ago."""
    with database.transaction() as tx:
        row = tx.one(
            "UPDATE jobs SET next_fire = date_trunc('second', clock_timestamp()) - %(by)s, due_at = date_trunc('second', clock_timestamp()) - %(by)s"
            " WHERE id = %(id)s RETURNING next_fire",
            {"by": timedelta(**by), "id": job.id},
        )
    assert row is not None
    fire: datetime = row[0]
    return fire


def fire(database: Database, limit: int = schedules.BATCH) -> schedules.Fired:
    with database.transaction() as tx:
        return schedules.fire_due(tx, rest, limit)


def again(database: Database, job: JobRow) -> JobRow:
    with database.transaction() as tx:
        row = jobs.get(tx, job.id)
    assert row is not None
    return row


def made(database: Database, run_id: int) -> RunRow:
    with database.transaction() as tx:
        row = runs.get(tx, run_id)
    assert row is not None
    return row


def change(database: Database, job: JobRow, *, enabled: bool = True, **changes: Any) -> JobRow:
    with database.transaction() as tx:
        held = jobs.hold(tx, job.id)
        spec = JobSpec.from_json({**held.spec, **changes})
        return jobs.change(tx, held, "eve", spec=spec, enabled=enabled, ad_hoc=False)


def test_the_next_time_follows_the_job(database: Database, new_job: NewJob) -> None:
    job = new_job()
    assert job.next_fire is not None
    assert timedelta() < job.next_fire - job.created_at <= timedelta(hours=1)
    assert (job.next_fire.minute, job.next_fire.second) == (0, 0)
    assert new_job(None).next_fire is new_job(enabled=False).next_fire is new_job(ad_hoc=True).next_fire is None
    assert change(database, job, enabled=False).next_fire is None
    assert change(database, job).next_fire == job.next_fire
    daily = change(database, job, schedule="0 0 * * *", timezone="Asia/Kathmandu")
    assert daily.next_fire is not None
    assert daily.next_fire.astimezone(UTC).minute == 15
    assert change(database, job, schedule=None).next_fire is None
    assert change(database, job, schedule="@yearly").next_fire is not None
    with database.transaction() as tx:
        jobs.delete(tx, jobs.hold(tx, job.id))
        assert tx.one("SELECT next_fire, due_at FROM jobs WHERE id = %s", (job.id,)) == (None, None)


def test_a_change_of_something_else_loses_no_tick_that_is_due(database: Database, new_job: NewJob) -> None:
    job = new_job()
    due = put_back(database, job, seconds=1)
    assert change(database, job, description="new").next_fire == due
    assert len(fire(database).made) == 1


def test_what_is_due_runs_once_with_its_fire_time(database: Database, new_job: NewJob) -> None:
    job, later = new_job(), new_job()
    due = put_back(database, job, seconds=2)
    fired = fire(database)
    (run_id,) = fired.made
    run = made(database, run_id)
    assert (run.job_id, run.trigger, run.requested_by, run.fire_time) == (job.id, "schedule", "schedule", due)
    assert (run.status, run.after_run, run.reason) == ("queued", None, "")
    assert JobSpec.from_json(run.spec) == JobSpec.from_json(job.spec)
    assert run.seconds_to_deadline == pytest.approx(7 * 86_400, abs=60)
    row = again(database, job)
    assert row.next_fire == later.next_fire
    assert (row.last_run_id, row.last_run_at) == (run_id, run.created_at)
    assert [(e.action, e.object, e.outcome) for e in fired.entries] == [("run.requested", f"run:{run_id}", "ok")]
    assert fire(database) == schedules.Fired()


def test_a_clock_that_goes_back_starts_nothing_twice(database: Database, new_job: NewJob) -> None:
    job = new_job()
    due = put_back(database, job, seconds=2)
    (run_id,) = fire(database).made
    with database.transaction() as tx:
        assert runs.claim_one(tx, run_id, uuid4())
        assert runs.update(tx, run_id, 1, status=RunStatus.SUCCEEDED)
        tx.execute("UPDATE jobs SET next_fire = %s, due_at = %s WHERE id = %s", (due, due, job.id))
    fired = fire(database)
    assert (fired.jobs, fired.made, fired.entries) == (1, [], [])
    row = again(database, job)
    assert row.next_fire is not None
    assert row.next_fire > due


def test_jitter_moves_the_start_and_not_the_fire_time(database: Database, new_job: NewJob) -> None:
    job = new_job(jitter_s=1800.0)
    with database.transaction() as tx:
        row = tx.one("SELECT due_at - next_fire FROM jobs WHERE id = %s", (job.id,))
    assert row is not None
    assert timedelta() < row[0] < timedelta(minutes=30)


def test_after_downtime(database: Database, new_job: NewJob, told: list[tuple[str, Any]]) -> None:
    once, skip = new_job("0 0 1 1 *"), new_job("0 0 1 1 *", catch_up="skip")
    for job in (once, skip):
        put_back(database, job, days=900)
    fired = fire(database)
    (run_id,) = fired.made
    run = made(database, run_id)
    assert run.job_id == once.id
    assert run.fire_time is not None
    assert (run.fire_time.month, run.fire_time.day) == (1, 1)
    assert run.created_at - run.fire_time < timedelta(days=366)
    assert [(event, detail["job"], detail["count"] >= 2) for event, detail in told] == [("job.missed", skip.name, True)]
    assert {again(database, job).next_fire for job in (once, skip)} == {
        datetime(run.created_at.year + 1, 1, 1, tzinfo=UTC)
    }


def test_skip_queue_and_cancel(database: Database, new_job: NewJob, told: list[tuple[str, Any]]) -> None:
    rules = {rule: new_job(overlap=rule) for rule in ("skip", "queue", "cancel")}
    live = {}
    for rule, job in rules.items():
        with database.transaction() as tx:
            run = runs.create(tx, job, "schedule", trigger="schedule")
            assert runs.claim_one(tx, run.id, uuid4())
        live[rule] = run.id
        put_back(database, job, seconds=2)
    fired = fire(database)
    assert len(fired.made) == 2
    assert fired.waiting == fired.made
    assert fired.cancelled == [live["cancel"]]
    assert made(database, live["cancel"]).wanted == "cancel"
    assert {made(database, run_id).after_run for run_id in fired.made} == {live["queue"], live["cancel"]}
    assert (
        made(database, fired.made[0]).reason == f"waits for run {made(database, fired.made[0]).after_run} of this job"
    )
    ((event, detail),) = told
    assert (event, detail["reason"]) == ("job.missed", f"run {live['skip']} of this job has not ended")
    # One waits: the next tick is left out and says so.
    for job in rules.values():
        put_back(database, job, seconds=1)
    fired = fire(database)
    assert (fired.jobs, fired.made) == (3, [])
    assert sorted(detail["reason"].partition(" of ")[2] for _, detail in told[1:]) == [
        "this job has not ended",
        "this job waits already",
        "this job waits already",
    ]


def test_a_run_by_hand_swallows_no_tick(database: Database, new_job: NewJob) -> None:
    job = new_job(overlap="skip")
    with database.transaction() as tx:
        by_hand = runs.create(tx, jobs.to_run(tx, job.id), "eve")
        assert runs.claim_one(tx, by_hand.id, uuid4())
    put_back(database, job, seconds=2)
    fired = fire(database)
    assert made(database, fired.made[0]).after_run == by_hand.id
    assert made(database, by_hand.id).wanted is None
    with database.transaction() as tx:
        assert runs.claim(tx, uuid4()) == []
        assert runs.update(tx, by_hand.id, 1, status=RunStatus.SUCCEEDED)
        assert [row.id for row in runs.claim(tx, uuid4(), behind=by_hand.id)] == fired.made


def test_two_hubs_at_once_and_one_that_hangs(database: Database, new_job: NewJob) -> None:
    due = [new_job().id for _ in range(30)]
    with database.transaction() as tx:
        tx.execute("UPDATE jobs SET next_fire = now() - interval '3 seconds', due_at = now() - interval '3 seconds'")
    found: list[list[int]] = []
    with database.transaction() as hanging:
        held = schedules.fire_due(hanging, rest, 10)
        assert hanging.one("SHOW idle_in_transaction_session_timeout") == (f"{schedules.HELD_MAX_S}s",)
        threads = [threading.Thread(target=lambda: found.append(fire(database, 15).made)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        # Nobody waited for what the first one holds.
        assert sum(map(len, found)) == 20
    everything = [run_id for one in (*found, held.made) for run_id in one]
    assert sorted(made(database, run_id).job_id for run_id in everything) == due


def test_a_hub_that_lost_its_session_fires_nothing(database: Database, new_job: NewJob) -> None:
    job = new_job()
    put_back(database, job, seconds=2)
    with pytest.raises(Exception, match=r"lost|terminat|cannot do this now"), database.transaction() as tx:  # noqa: PT012  # it fails at the commit
        assert len(schedules.fire_due(tx, rest).made) == 1
        pid = tx.one("SELECT pg_backend_pid()")
        with database.transaction() as other:
            other.execute("SELECT pg_terminate_backend(%s)", pid or ())
        tx.execute("SELECT 1")
    assert len(fire(database).made) == 1


def test_a_schedule_that_cannot_be_used_any_more_stops_alone(database: Database, new_job: NewJob) -> None:
    broken, good = new_job(), new_job()
    for job in (broken, good):
        put_back(database, job, seconds=2)
    with database.transaction() as tx:
        tx.execute("""UPDATE jobs SET spec = spec || '{"timezone": "Mars/Base"}' WHERE id = %s""", (broken.id,))
    assert [made(database, run_id).job_id for run_id in fire(database).made] == [good.id]
    assert again(database, broken).next_fire is None


def test_ten_thousand_at_the_same_second_are_taken_in_batches(database: Database, new_job: NewJob) -> None:
    new_job("* * * * * *")
    with database.transaction() as tx:
        tx.execute(
            "INSERT INTO jobs (name, spec, created_by, next_fire, due_at) SELECT 'copy-' || n, spec, 'eve',"
            " date_trunc('second', now()), now() FROM jobs, generate_series(1, 250) AS n"
        )
    taken = [fire(database) for _ in range(3)]
    assert [one.jobs for one in taken[:2]] == [schedules.BATCH, schedules.BATCH]
    assert len({run_id for one in taken for run_id in one.made}) >= 250


def test_new_rules_of_zones_move_what_is_not_due(
    database: Database, new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    paris, due = (new_job("0 12 * * *", timezone="Europe/Paris", expected_by="13:00") for _ in range(2))
    utc = new_job("0 12 * * *")
    before = [again(database, job).next_fire for job in (paris, utc)]
    put_back(database, due, seconds=1)
    with database.transaction() as tx:
        assert schedules.zones_changed(tx)
        schedules.zones_known(tx)
        assert not schedules.zones_changed(tx)
        assert schedules.recompute(tx, 0, rest) is None
    assert [again(database, job).next_fire for job in (paris, utc)] == before
    # A country gives up its summer time, or the like.
    real = cron.zone
    monkeypatch.setattr(
        cron, "zone", lambda name: timezone(timedelta(hours=7)) if name == "Europe/Paris" else real(name)
    )
    monkeypatch.setattr(cron, "zones_version", lambda: "2099z")
    with database.transaction() as tx:
        assert schedules.zones_changed(tx)
        assert schedules.recompute(tx, 0, rest, 1) == paris.id
        assert schedules.recompute(tx, paris.id, rest, 1) is None
    moved, same = (again(database, job).next_fire for job in (paris, utc))
    assert same == before[1]
    assert moved is not None
    assert moved.astimezone(UTC).hour == 5
    with database.transaction() as tx:
        row = tx.one("SELECT extract(hour FROM expect_at AT TIME ZONE 'UTC')::int FROM jobs WHERE id = %s", (paris.id,))
    assert row == (6,)
    assert len(fire(database).made) == 1


def test_seconds_to_the_next(database: Database, new_job: NewJob) -> None:
    def seconds() -> float | None:
        with database.transaction() as tx:
            return schedules.seconds_to_next(tx)

    assert seconds() is None
    job = new_job()
    first = seconds()
    assert first is not None
    assert 0 < first <= 3600
    put_back(database, job, seconds=5)
    late = seconds()
    assert late is not None
    assert -7 < late <= -5


def expect(database: Database, job: JobRow, at: str = "2 seconds", since: str = "1 day") -> None:
    with database.transaction() as tx:
        tx.execute(
            "UPDATE jobs SET expect_at = clock_timestamp() - %s::interval, expect_since = clock_timestamp() - %s::interval WHERE id = %s",
            (at, since, job.id),
        )


def check(database: Database) -> expectations.Checked:
    with database.transaction() as tx:
        return expectations.check_due(tx, rest)


def test_an_expectation_that_is_not_met_is_said_once(
    database: Database, new_job: NewJob, told: list[tuple[str, Any]]
) -> None:
    job = new_job(None, expected_by="00:00")
    expect(database, job)
    checked = check(database)
    assert [(alert.kind, alert.object, alert.count) for alert in checked.alerts] == [
        ("expectation_failed", f"job:{job.id}", 1)
    ]
    assert [(entry.action, entry.object, entry.outcome) for entry in checked.entries] == [
        ("job.expectation_failed", f"job:{job.id}", "failed")
    ]
    assert [event for event, _ in told] == ["job.expectation_failed"]
    assert check(database) == expectations.Checked(0)
    with database.transaction() as tx:
        row = tx.one(
            "SELECT expect_at - clock_timestamp(), expect_at - expect_since FROM jobs WHERE id = %s", (job.id,)
        )
    assert row is not None
    assert timedelta() < row[0] <= timedelta(days=1) == row[1]


@pytest.mark.parametrize(
    ("status", "ended", "met"),
    [
        (RunStatus.SUCCEEDED, "1 hour", True),
        (RunStatus.SUCCEEDED, "2 days", False),
        (RunStatus.SUCCEEDED, "0 seconds", False),
        (RunStatus.PARTIAL, "1 hour", False),
        (RunStatus.FAILED, "1 hour", False),
    ],
)
def test_what_meets_an_expectation(
    database: Database, new_job: NewJob, status: RunStatus, ended: str, met: bool
) -> None:
    job = new_job(None, expected_by="00:00")
    with database.transaction() as tx:
        run = runs.create(tx, job, "eve")
        assert runs.claim_one(tx, run.id, uuid4())
        assert runs.update(tx, run.id, 1, status=status)
        tx.execute("UPDATE runs SET ended_at = clock_timestamp() - %s::interval WHERE id = %s", (ended, run.id))
    expect(database, job)
    assert (check(database).alerts == ()) == met


def test_expectations_follow_the_job(database: Database, new_job: NewJob) -> None:
    def times(job: JobRow) -> tuple[Any, ...]:
        with database.transaction() as tx:
            row = tx.one("SELECT expect_at, expect_since FROM jobs WHERE id = %s", (job.id,))
        assert row is not None
        return row

    job = new_job(None, expected_by="06:30", timezone="Europe/Paris")
    at, since = times(job)
    assert timedelta(hours=23) <= at - since <= timedelta(hours=25)
    assert times(change(database, job, expected_by="0 0 1 1 *")) != (at, since)
    assert times(change(database, job, expected_by=None)) == (None, None)
    assert times(change(database, job, expected_by="06:30")) == (at, since)
    assert times(change(database, job, enabled=False)) == (None, None)


def test_upcoming(database: Database, new_job: NewJob) -> None:
    soon, later, _never = new_job("0 * * * *"), new_job("0 0 1 1 *"), new_job(None)
    with database.transaction() as tx:
        everything = schedules.upcoming(tx, 10, datetime(9000, 1, 1, tzinfo=UTC))
        assert [one.name for one in everything] == [soon.name, later.name]
        assert [one.name for one in schedules.upcoming(tx, 1, datetime(9000, 1, 1, tzinfo=UTC))] == [soon.name]
        assert schedules.upcoming(tx, 10, soon.created_at) == []
