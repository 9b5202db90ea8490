"""The scheduler on a real database, with ears in the places of those that it tells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import gevent
import pytest

from fileflux.actors import messages as a
from fileflux.actors import scheduler as module
from fileflux.actors.kernel.actor import Actor
from fileflux.actors.kernel.supervisor import ChildSpec, Supervisor
from fileflux.actors.scheduler import Scheduler
from fileflux.actors.scheduler_clock import StoredTimes, WakeUp
from fileflux.bus.bus import Bus
from fileflux.bus.events import AlertRaised, RunChanged
from fileflux.clock import SystemClock
from fileflux.errors import UnavailableError
from fileflux.jobs.models import JobSpec
from fileflux.storage import agents, jobs, runs
from fileflux.storage.pool import Database


class Ear(Actor[Any]):
    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Any] = []

    def receive(self, message: Any) -> None:
        self.heard.append(message)


def until(condition: Callable[[], Any]) -> Any:
    with gevent.Timeout(10, AssertionError("did not happen")):
        while not (value := condition()):
            gevent.sleep(0.005)
        return value


class Stage:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.bus = Bus()
        self.events = self.bus.subscribe([AlertRaised, RunChanged], 100)
        self.root = Supervisor("root", "one_for_one")
        self.root.start()
        self.runs = Ear()
        self.runs_ref = self.root.start_child(ChildSpec("runs", lambda: self.runs))
        self.live: dict[int, Any] = {}
        with database.transaction() as tx:
            self.ends = [agents.create(tx, name).id for name in ("source", "destination")]

    def job(self, **given: Any) -> int:
        spec = JobSpec(f"job-{given}", self.ends[0], "/in", self.ends[1], "/out", **given)
        with self.database.transaction() as tx:
            return jobs.create(tx, spec, "eve").id

    def start(self, database: Any = None) -> None:
        made = lambda: Scheduler(database or self.database, self.runs_ref, self.live, self.bus, SystemClock())  # noqa: E731  # a factory of one line
        self.root.start_child(ChildSpec("scheduler", made))

    def started(self) -> list[int]:
        return [run_id for message in self.runs.heard for run_id in message.run_ids]


@pytest.fixture
def stage(database: Database) -> Iterator[Stage]:
    stage = Stage(database)
    yield stage
    stage.root.stop(5)


def set_due(database: Database, column: str, job_id: int, when: str = "now()") -> None:
    with database.transaction() as tx:
        tx.execute(f"UPDATE jobs SET {column} = {when} WHERE id = %s", (job_id,))  # noqa: S608  # this test's own words


def test_what_is_due_is_made_and_the_runs_keeper_told(stage: Stage, database: Database) -> None:
    due = [stage.job(schedule="0 0 1 1 *", jitter_s=float(number)) for number in range(3)]
    for job_id in due:
        set_due(database, "next_fire = date_trunc('second', now()), due_at", job_id)
    stage.start()
    until(lambda: len(stage.started()) == 3)
    with database.transaction() as tx:
        assert sorted(row.job_id for row in runs.get_many(tx, stage.started())) == due
        (count,) = tx.one("SELECT count(*) FROM audit WHERE action = 'run.requested' AND actor = 'schedule'") or ()
    assert count == 3


def test_it_is_awake_at_the_very_moment(stage: Stage, database: Database) -> None:
    """Well before it would look by itself."""
    job_id = stage.job(schedule="0 0 1 1 *")
    set_due(database, "due_at", job_id, "clock_timestamp() + interval '400 milliseconds'")
    stage.start()
    until(stage.started)
    with database.transaction() as tx:
        row = tx.one("SELECT extract(epoch FROM created_at - (SELECT created_at FROM jobs)) FROM runs")
    assert row is not None
    assert 0.35 < float(row[0]) < module.LOOK_S


def test_a_job_of_another_hub_is_found_by_looking(
    stage: Stage, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.05)
    stage.start()
    gevent.sleep(0.02)
    set_due(database, "due_at", stage.job(schedule="0 0 1 1 *"))
    until(stage.started)


def test_the_run_that_is_cancelled_hears_of_it(stage: Stage, database: Database) -> None:
    job_id = stage.job(schedule="0 0 1 1 *", overlap="cancel")
    with database.transaction() as tx:
        live = runs.create(tx, jobs.to_run(tx, job_id), "schedule", trigger="schedule")
    run = Ear()
    stage.root.start_child(ChildSpec("run", lambda: run))
    stage.live[live.id] = run
    set_due(database, "due_at", job_id)
    stage.start()
    (new,) = until(stage.started)
    until(lambda: run.heard == [a.LookAgain()])
    assert stage.events.take_all() == [RunChanged(new, "queued")]


def test_an_expectation_that_is_not_met_raises_an_alert(stage: Stage, database: Database) -> None:
    set_due(database, "expect_at", stage.job(expected_by="06:30"))
    stage.start()
    (event,) = until(stage.events.take_all)
    assert isinstance(event, AlertRaised)
    assert event.kind == "expectation_failed"


def test_it_waits_for_a_database_that_is_away(
    stage: Stage, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.02)
    set_due(database, "due_at", stage.job(schedule="0 0 1 1 *"))
    failures = iter([True, True])

    class Away:
        def transaction(self) -> Any:
            if next(failures, False):
                raise UnavailableError("away")
            return database.transaction()

    stage.start(Away())
    until(stage.started)
    assert next(failures, None) is None


NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


def test_the_trigger_knows_one_time_and_forgets_it() -> None:
    trigger = StoredTimes()
    assert trigger.get_next_fire_time(None, NOON) == NOON + timedelta(days=1)
    trigger.seconds, trigger.armed = 2.5, True
    assert trigger.get_next_fire_time(None, NOON) == NOON + timedelta(seconds=2.5)
    assert trigger.get_next_fire_time(NOON, NOON) == NOON + timedelta(days=1)


@pytest.mark.parametrize("year", [1970, 2036])
def test_a_clock_that_is_set_keeps_it_from_nothing(monkeypatch: pytest.MonkeyPatch, year: int) -> None:
    shift = timedelta()

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + shift

    monkeypatch.setattr("apscheduler.schedulers.base.datetime", Clock)
    woken: list[int] = []
    wake_up = WakeUp(lambda: woken.append(1))
    wake_up.start()
    try:
        wake_up.after(0.01)
        until(lambda: len(woken) == 1)
        wake_up.after(3600)
        shift = datetime(year, 1, 1, tzinfo=UTC) - datetime.now(UTC)
        # The scheduler looks again soon and gives it the time anew.
        wake_up.after(0.01)
        until(lambda: len(woken) >= 2)
    finally:
        wake_up.stop()
