"""Plans: one at a time for a job, entries by class, and how a run differed from its plan."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fileflux.errors import ConflictError, NotFoundError, OverloadedError
from fileflux.jobs.models import JobSpec
from fileflux.storage import jobs, plan_drift, plans, transfers
from fileflux.storage.jobs import JobRow
from fileflux.storage.plan_drift import DRIFTS, SOURCE_CLASSES
from fileflux.storage.plans import Entry, PlanRow
from fileflux.storage.pool import Database
from fileflux.storage.runs import RunRow
from fileflux.storage.transfers import NewTransfer

NewRun = Callable[[], RunRow]


@pytest.fixture
def plan(database: Database, job: JobRow) -> PlanRow:
    with database.transaction() as tx:
        return plans.create(tx, job, "user:1")


def ready(database: Database, plan: PlanRow, *entries: Entry) -> None:
    with database.transaction() as tx:
        plans.add(tx, plan.id, entries)
        assert plans.update(tx, plan.id, status="ready")


def found(path: bytes, size: int = 1, mtime_ns: int = 1) -> NewTransfer:
    return NewTransfer(path, size, mtime_ns, 0o644, 2**20)


def status(database: Database, plan_id: int) -> tuple[str, str]:
    with database.transaction() as tx:
        row = plans.get(tx, plan_id)
    assert row is not None
    return row.status, row.reason


def silent(database: Database, seconds: float) -> None:
    with database.transaction() as tx:
        tx.execute("UPDATE plans SET heard_at = clock_timestamp() - make_interval(secs => %s)", (seconds,))


def test_a_job_has_one_plan_in_the_making_and_a_hub_a_few(database: Database, job: JobRow, plan: PlanRow) -> None:
    with database.transaction() as tx, pytest.raises(ConflictError, match=f"plan {plan.id} of this job"):
        plans.create(tx, job, "user:1")
    with database.transaction() as tx:
        others = [
            jobs.create(
                tx, JobSpec(f"job {n}", job.spec["source_agent_id"], "/a", job.spec["destination_agent_id"], "/b"), "x"
            )
            for n in range(plans.LIVE_MAX)
        ]
        for other in others[1:]:
            plans.create(tx, other, "user:1")
        with pytest.raises(OverloadedError):
            plans.create(tx, others[0], "user:1")


def test_what_becomes_of_a_plan_whose_hub_is_gone(database: Database, job: JobRow, plan: PlanRow) -> None:
    silent(database, plans.SILENT_S - 10)
    with database.transaction() as tx:
        plans.give_up_lost(tx)
    assert status(database, plan.id)[0] == "planning"
    silent(database, plans.SILENT_S + 1)
    with database.transaction() as tx:
        assert plans.create(tx, job, "user:1").id > plan.id, "it does not stand in the way of another"
        assert not plans.update(tx, plan.id, status="ready"), "what its hub says later is too late"
    assert status(database, plan.id)[0] == "failed"


def test_one_that_is_over_is_not_cancelled(database: Database, plan: PlanRow) -> None:
    with database.transaction() as tx:
        assert plans.cancel(tx, plan.id, "me").reason == "cancelled by me"
        assert plans.cancel(tx, plan.id, "you").reason == "cancelled by me"
        plans.remove(tx, plan.id)
        with pytest.raises(NotFoundError):
            plans.cancel(tx, plan.id, "me")


def test_entries_are_found_judged_and_read_by_class(database: Database, plan: PlanRow) -> None:
    first, odd = Entry(b"a", "file", 1, 1, "new"), Entry(b"d/\xff", "file", 2, 2, "new")
    with database.transaction() as tx:
        assert plans.add(tx, plan.id, [first, odd]) == {b"a", b"d/\xff"}
        assert plans.add(tx, plan.id, [first]) == set(), "what is listed twice is there once"
    with database.transaction() as tx:
        known = plans.known(tx, plan.id, [b"d/\xff", b"nothing"])
        assert set(known) == {b"d/\xff"}
        plans.judge(tx, {("changed", "why"): [known[b"d/\xff"].place]})
        assert [(row.path, row.reason) for row in plans.entries(tx, plan.id, "changed", 10, None)] == [
            (b"d/\xff", "why")
        ]
        (only,) = plans.entries(tx, plan.id, "new", 10, None)
        assert only.path == b"a"
        assert plans.entries(tx, plan.id, "new", 10, only.id) == []


def compare(database: Database, plan_id: int, run_id: int, batch: int) -> dict[str, list[bytes]]:
    with database.transaction() as tx:
        assert plan_drift.hold(tx, plan_id, anew=True)
        after: int | None = 0
        while after is not None:
            after = plan_drift.compare_found(tx, plan_id, run_id, after, batch)
        for of_class in SOURCE_CLASSES:
            after = 0
            while after is not None:
                after = plan_drift.compare_planned(tx, plan_id, run_id, of_class, after, batch)
        return {kind: [row.path for row in plan_drift.page(tx, plan_id, kind, 10, None)] for kind in DRIFTS}


@pytest.mark.parametrize("batch", [1, 100])
def test_drift(database: Database, plan: PlanRow, new_run: NewRun, batch: int) -> None:
    names = ("same", "bigger", "later", "gone")
    ready(
        database, plan, *(Entry(name.encode(), "file", 1, 1, "new") for name in names),
        Entry(b"dir", "directory", 0, 1, "new"), Entry(b"there only", "file", 1, 1, "extra"),
        Entry(b"refused", "file", 1, 1, "refused"),
    )  # fmt: skip
    run = new_run()
    with database.transaction() as tx:
        rows = [found(b"same"), found(b"bigger", size=2), found(b"later", mtime_ns=2), found(b"refused")]
        transfers.insert_many(tx, run.id, [*rows, found(b"there only")])
        plans.ran(tx, plan.id, run.id)
        assert plan_drift.take(tx, plan.id)
        assert not plan_drift.take(tx, plan.id), "somebody is at it"
    for _ in range(2):
        drift = compare(database, plan.id, run.id, batch)
        assert drift == {"new": [b"there only"], "changed": [b"bigger", b"later"], "gone": [b"gone"]}
    with database.transaction() as tx:
        plan_drift.finish(tx, plan.id)
        row = plans.get(tx, plan.id)
        assert row is not None
        assert row.drift == {"new": 1, "changed": 2, "gone": 1}
        assert not plan_drift.hold(tx, plan.id, anew=True), "it is done"


def test_a_plan_is_run_once_and_only_as_it_was_planned(
    database: Database, job: JobRow, plan: PlanRow, new_run: NewRun
) -> None:
    def refused() -> str:
        with database.transaction() as tx, pytest.raises(ConflictError) as error:
            plans.take_for_run(tx, plan.id)
        return error.value.code

    assert refused() == "plan_not_ready"
    ready(database, plan)
    with database.transaction() as tx:
        assert plans.take_for_run(tx, plan.id).id == plan.id
        tx.execute("UPDATE jobs SET version = version + 1 WHERE id = %s", (job.id,))
    assert refused() == "plan_outdated"
    with database.transaction() as tx:
        plans.ran(tx, plan.id, new_run().id)
    assert refused() == "plan_used"


def test_the_speed_is_that_of_the_best_of_the_last_runs(database: Database, job: JobRow, new_run: NewRun) -> None:
    def speed(job_id: int) -> plans.Speed | None:
        with database.transaction() as tx:
            return plans.speed(tx, job_id, job.spec["source_agent_id"], job.spec["destination_agent_id"])

    assert speed(job.id) is None
    for size in (1000, 3000):
        with database.transaction() as tx:
            tx.execute(
                "UPDATE runs SET status = 'succeeded', bytes_done = %s, files_done = 20, started_at = now() - interval '10 s', ended_at = now()"
                " WHERE id = %s",
                (size, new_run().id),
            )
    own, others = speed(job.id), speed(job.id + 1)
    assert own is not None
    assert others is not None
    assert (round(own.bytes_per_s), round(own.files_per_s), own.same_job) == (300, 2, True)
    assert (round(others.bytes_per_s), others.same_job) == (300, False)


def test_what_is_removed_goes_little_by_little(database: Database, job: JobRow, plan: PlanRow) -> None:
    ready(database, plan, *(Entry(f"{n}".encode(), "file", 1, 1, "new") for n in range(5)))
    with database.transaction() as tx:
        kept = plans.create(tx, job, "user:1")
        plans.add(tx, kept.id, [Entry(b"0", "file", 1, 1, "new")])
        plans.remove(tx, plan.id)
        assert plans.get(tx, plan.id) is None
        assert [plans.tidy(tx, 2) for _ in range(5)] == [2, 2, 1, 1, 0]
        assert tx.all("SELECT id FROM plans") == [(kept.id,)]
        assert len(plans.entries(tx, kept.id, "new", 10, None)) == 1


def test_a_job_keeps_its_last_plans(database: Database, job: JobRow) -> None:
    made = []
    for _ in range(plans.PER_JOB + 1):
        with database.transaction() as tx:
            made.append(plans.create(tx, job, "user:1").id)
            plans.update(tx, made[-1], status="ready")
    with database.transaction() as tx:
        assert [row.id for row in plans.of_job(tx, job.id, 1000, None)] == made[:0:-1]
        assert [row.id for row in plans.of_job(tx, job.id, 2, made[5])] == [made[4], made[3]]
