"""The keeper of the runs, with a real persistence and database; no agent is there, so runs wait."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest

from fileflux.actors import messages as a
from fileflux.actors.kernel.supervisor import ChildSpec, Supervisor
from fileflux.actors.persistence import Persistence
from fileflux.actors.run import Run, RunDeps
from fileflux.actors.runs import Runs
from fileflux.bus.bus import Bus
from fileflux.clock import SystemClock
from fileflux.jobs.models import JobSpec
from fileflux.protocol.limits import Limits
from fileflux.storage import agents, jobs, runs
from fileflux.storage.pool import Database
from tests.actors.test_run_asked import Connections, Silent


def until(condition: Callable[[], Any]) -> Any:
    with gevent.Timeout(10, AssertionError("did not happen")):
        while not (value := condition()):
            gevent.sleep(0.005)
        return value


class Stage:
    """One hub; ``live`` are the runs that it drives."""

    def __init__(self, database: Database, lease_s: float = 0.3, owner: uuid.UUID | None = None) -> None:
        self.database = database
        self.owner = owner or uuid.uuid4()
        self.root = Supervisor("root", "one_for_one")
        self.root.start()
        limits = Limits(run_lease=lease_s)
        persistence = self.root.start_child(ChildSpec("persistence", lambda: Persistence(database, Bus(), limits)))
        connections: Any = self.root.start_child(ChildSpec("connections", lambda: Connections({})))
        relay = self.root.start_child(ChildSpec("relay", Silent))
        self.live: dict[int, Run] = {}
        deps = RunDeps(connections, relay, persistence, None, self.live, itertools.count(1), limits, SystemClock())
        self.supervisor = Supervisor("runs-live", "one_for_one")
        self.root.start_service("runs-live", self.supervisor)
        self.ref = self.root.start_child(ChildSpec("runs", lambda: Runs(self.supervisor, self.owner, deps)))

    def waiting(self, run_id: int) -> bool:
        """It is driven here and has seen that no agent is there."""
        with self.database.transaction() as tx:
            row = runs.get(tx, run_id)
        return row is not None and row.status == "waiting_agent" and row.lease_owner == self.owner

    def take_lease(self, run_id: int) -> None:
        """As another hub would that believes this one to be gone."""
        with self.database.transaction() as tx:
            tx.execute("UPDATE runs SET lease_until = now() - interval '1 second' WHERE id = %s", (run_id,))
            assert runs.claim_one(tx, run_id, uuid.uuid4()) is not None


@pytest.fixture
def start(database: Database) -> Iterator[Callable[..., Stage]]:
    stages: list[Stage] = []

    def make(**given: Any) -> Stage:
        stages.append(Stage(database, **given))
        return stages[-1]

    yield make
    for stage in stages:
        stage.root.stop(5)


@pytest.fixture
def new_run(database: Database) -> Callable[..., int]:
    with database.transaction() as tx:
        source, destination = agents.create(tx, "source"), agents.create(tx, "destination")
        job = jobs.create(tx, JobSpec("job", source.id, "/in", destination.id, "/out"), "eve")

    def make(**given: Any) -> int:
        with database.transaction() as tx:
            return runs.create(tx, job, "eve", **given).id

    return make


def test_many_runs_at_once_and_one_that_was_left_behind(
    start: Callable[..., Stage], new_run: Callable[..., int]
) -> None:
    """What nobody told of is found by looking."""
    stage = start()
    ids = [new_run() for _ in range(30)]
    stage.ref.tell(a.StartRuns(tuple(ids[:-1])))
    until(lambda: all(stage.waiting(run_id) for run_id in ids))
    assert sorted(stage.live) == ids


def test_a_run_that_waits_begins_when_the_other_has_ended(
    start: Callable[..., Stage], new_run: Callable[..., int], database: Database
) -> None:
    stage = start(lease_s=60.0)
    first = new_run()
    second = new_run(after_run=first)
    stage.ref.tell(a.StartRuns((first, second)))
    until(lambda: stage.waiting(first))
    # Whoever asks for it need not wait for that.
    with gevent.Timeout(5):
        assert stage.ref.ask(lambda reply: a.AwaitRun(second, reply), 5) is None
    assert list(stage.live) == [first]
    with database.transaction() as tx:
        runs.ask(tx, first, "cancel", "eve")
    stage.live[first].ref.tell_control(a.LookAgain())
    until(lambda: stage.waiting(second))
    assert list(stage.live) == [second]


def test_a_lost_lease_ends_the_run_here(start: Callable[..., Stage], new_run: Callable[..., int]) -> None:
    stage = start()
    lost, kept = new_run(), new_run()
    stage.ref.tell(a.StartRuns((lost, kept)))
    until(lambda: stage.waiting(lost) and stage.waiting(kept))
    stage.take_lease(lost)
    until(lambda: list(stage.live) == [kept])


def test_a_hub_that_comes_again_takes_its_runs_at_once_and_another_one_later(
    start: Callable[..., Stage], new_run: Callable[..., int], database: Database
) -> None:
    first = start(lease_s=60.0)
    run_id = new_run()
    first.ref.tell(a.StartRun(run_id))
    until(lambda: first.waiting(run_id))
    other = start(lease_s=60.0)
    again = start(lease_s=60.0, owner=first.owner)
    until(lambda: run_id in again.live)
    assert not other.live
    with database.transaction() as tx:
        row = runs.get(tx, run_id)
    assert row is not None
    assert row.lease_epoch == 2


def test_a_hub_that_stops_in_order_leaves_its_runs_to_others(
    start: Callable[..., Stage], new_run: Callable[..., int], database: Database
) -> None:
    stage = start(lease_s=60.0)
    run_id = new_run()
    stage.ref.tell(a.StartRun(run_id))
    until(lambda: stage.waiting(run_id))
    stage.root.stop_child("runs")
    with database.transaction() as tx:
        until(lambda: runs.claim_one(tx, run_id, uuid.uuid4()))


def test_what_another_hub_noted_of_a_run_is_heard(
    start: Callable[..., Stage], new_run: Callable[..., int], database: Database
) -> None:
    stage = start()
    run_id = new_run()
    stage.ref.tell(a.StartRun(run_id))
    until(lambda: stage.waiting(run_id))
    with database.transaction() as tx:
        runs.ask(tx, run_id, "cancel", "eve")
    until(lambda: not stage.live)
