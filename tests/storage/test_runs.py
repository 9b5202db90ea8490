from __future__ import annotations

import threading
from collections.abc import Callable
from uuid import uuid4

import pytest

from fileflux.errors import ConflictError, LocalProtocolError
from fileflux.jobs.models import JobSpec
from fileflux.jobs.status import RunStatus
from fileflux.storage import jobs, runs
from fileflux.storage.jobs import JobRow
from fileflux.storage.pool import Database
from fileflux.storage.runs import RunRow

NewRun = Callable[[], RunRow]


def expire(database: Database, run_id: int) -> None:
    with database.transaction() as tx:
        tx.execute("UPDATE runs SET lease_until = clock_timestamp() - interval '1 second' WHERE id = %s", (run_id,))


def test_a_new_run_keeps_the_job_as_it_was(database: Database, job: JobRow, new_run: NewRun) -> None:
    run = new_run()
    assert (run.job_id, run.status, run.requested_by, run.lease_epoch, run.lease_owner) == (
        job.id,
        "queued",
        "user:1",
        0,
        None,
    )
    assert JobSpec.from_json(run.spec) == JobSpec.from_json(job.spec)
    assert 3590 < run.seconds_to_deadline <= 3600
    assert run.created_at.tzinfo is not None
    with database.transaction() as tx:
        found = runs.get(tx, run.id)
        assert found is not None
        assert found.deadline_at == run.deadline_at
        assert runs.get(tx, run.id + 1) is None


def test_a_lease_belongs_to_one_owner(database: Database, new_run: NewRun) -> None:
    run, first, second = new_run(), uuid4(), uuid4()
    with database.transaction() as tx:
        taken = runs.claim_one(tx, run.id, first)
        assert taken is not None
        assert (taken.lease_owner, taken.lease_epoch) == (first, 1)
        assert runs.claim_one(tx, run.id, second) is None
        assert runs.claim(tx, second, 60) == []
        assert runs.claim(tx, first, 60) == []
        assert [row.lease_epoch for row in runs.claim_own(tx, first)] == [2]


def test_a_lease_that_ran_out_is_taken_and_the_old_owner_is_fenced(database: Database, new_run: NewRun) -> None:
    run, first, second = new_run(), uuid4(), uuid4()
    with database.transaction() as tx:
        old = runs.claim_one(tx, run.id, first)
        assert old is not None
        assert runs.update(tx, run.id, old.lease_epoch, status="planning", reason="listing")
    expire(database, run.id)
    with database.transaction() as tx:
        (new,) = runs.claim(tx, second, 60)
        assert (new.lease_owner, new.lease_epoch, new.status) == (second, 2, "planning")
    with database.transaction() as tx:
        assert not runs.update(tx, run.id, old.lease_epoch, files_done=99)
        assert runs.update(tx, run.id, new.lease_epoch, files_done=1)
        assert runs.renew(tx, first) == []
        assert runs.renew(tx, second) == [(run.id, None)]
        row = runs.get(tx, run.id)
        assert row is not None
        assert row.files_done == 1


def test_a_hub_that_starts_again_takes_what_it_held_and_nothing_else(database: Database, new_run: NewRun) -> None:
    mine, ended, other, second, owner = new_run(), new_run(), new_run(), new_run(), uuid4()
    with database.transaction() as tx:
        for run in (mine, ended, second):
            assert runs.claim_one(tx, run.id, owner) is not None
        assert runs.claim_one(tx, other.id, uuid4()) is not None
        assert runs.update(tx, ended.id, 1, status=RunStatus.SUCCEEDED)
    with database.transaction() as tx:
        assert [(row.id, row.lease_epoch) for row in runs.claim_own(tx, owner, limit=1)] == [(mine.id, 2)]
        assert [row.id for row in runs.claim_own(tx, owner, mine.id)] == [second.id]
        assert runs.claim_one(tx, ended.id, owner) is None
        assert runs.claim(tx, owner) == []
    with database.transaction() as tx:
        assert runs.release(tx, owner) == 2
    with database.transaction() as tx:
        assert [row.id for row in runs.claim(tx, uuid4())] == [mine.id, second.id]


def test_a_run_that_waits_is_claimed_when_all_before_it_have_ended(
    database: Database, job: JobRow, new_run: NewRun
) -> None:
    first, second, owner = new_run(), new_run(), uuid4()
    with database.transaction() as tx:
        third = runs.create(tx, job, "schedule", trigger="schedule", after_run=second.id)
        assert (third.status, third.reason) == ("queued", f"waits for run {second.id} of this job")
    fourth = new_run()
    with database.transaction() as tx:
        assert [row.id for row in runs.claim(tx, owner)] == [first.id, second.id, fourth.id]
        assert runs.update(tx, second.id, 1, status=RunStatus.SUCCEEDED)
        assert runs.claim(tx, owner, behind=second.id) == []
        assert runs.update(tx, first.id, 1, status=RunStatus.FAILED)
        assert [row.id for row in runs.claim(tx, owner, behind=first.id)] == [third.id]


def test_a_run_that_waits_and_is_cancelled_waits_no_longer(database: Database, job: JobRow, new_run: NewRun) -> None:
    first, owner = new_run(), uuid4()
    with database.transaction() as tx:
        second = runs.create(tx, job, "schedule", trigger="schedule", after_run=first.id)
        assert runs.claim_one(tx, second.id, owner) is None
        assert runs.ask(tx, second.id, "cancel", "eve")
        assert runs.claim_one(tx, second.id, owner) is not None


def test_the_job_says_which_run_is_its_last(database: Database, job: JobRow, new_run: NewRun) -> None:
    run = new_run()
    with database.transaction() as tx:
        row = jobs.get(tx, job.id)
        assert row is not None
        assert (row.last_run_id, row.last_run_at) == (run.id, run.created_at)
        assert runs.claim_one(tx, run.id, uuid4()) is not None
        assert runs.update(tx, run.id, 1, status=RunStatus.FAILED)
        retry = runs.create_retry(tx, run.id, "eve")
        row = jobs.get(tx, job.id)
        assert row is not None
        assert (row.last_run_id, retry.trigger) == (retry.id, "retry")


def test_one_run_per_fire_time(database: Database, job: JobRow) -> None:
    fire = job.created_at
    with database.transaction() as tx:
        assert runs.create(tx, job, "schedule", trigger="schedule", fire_time=fire).fire_time == fire
        with pytest.raises(ConflictError, match="already"):
            runs.create(tx, job, "schedule", trigger="schedule", fire_time=fire)


def test_two_hubs_share_out_the_runs(database: Database, new_run: NewRun) -> None:
    wanted = {new_run().id for _ in range(40)}
    start, taken = threading.Barrier(2), dict[int, set[int]]()

    def claim(number: int) -> None:
        owner, mine = uuid4(), set[int]()
        start.wait(10)
        while True:
            with database.transaction() as tx:
                rows = [row.id for row in runs.claim(tx, owner, 60, limit=45) if row.lease_epoch == 1]
            if not rows:
                break
            mine.update(rows)
        taken[number] = mine

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert taken[0] | taken[1] == wanted
    assert not taken[0] & taken[1]


@pytest.mark.parametrize("status", [status for status in RunStatus if status.terminal])
def test_an_ended_run_is_never_revived(database: Database, new_run: NewRun, status: RunStatus) -> None:
    run = new_run()
    with database.transaction() as tx:
        assert runs.claim_one(tx, run.id, uuid4()) is not None
        assert runs.update(tx, run.id, 1, status="transferring")
        assert runs.update(tx, run.id, 1, status=status, reason="over")
        for again in RunStatus:
            assert not runs.update(tx, run.id, 1, status=again, reason="late")
        row = runs.get(tx, run.id)
        assert row is not None
        assert (row.status, row.reason, row.lease_owner) == (status, "over", None)
        assert row.started_at is not None
        assert row.ended_at is not None
        assert row.ended_at >= row.started_at


def test_what_may_be_changed_is_a_list(database: Database, new_run: NewRun) -> None:
    run = new_run()
    with database.transaction() as tx:
        assert runs.update(tx, run.id, 0, plan={"base": "x"}, planned=True, files_total=3, bytes_total=2**50)
        for column in ("lease_epoch", "job_id", "id = 1; --"):
            with pytest.raises(LocalProtocolError):
                runs.update(tx, run.id, 0, **{column: 5})
        with pytest.raises(LocalProtocolError):
            runs.update(tx, run.id, 0)
        with pytest.raises(ValueError, match="revived"):
            runs.update(tx, run.id, 0, status="revived")
        assert runs.update(tx, run.id, 0, reason="a\0b \udcff " + "x" * 10_000)
        row = runs.get(tx, run.id)
        assert row is not None
        assert (row.plan, row.planned, row.files_total, row.bytes_total) == ({"base": "x"}, True, 3, 2**50)
        assert row.reason.startswith("a\\x00b \\udcff xxx")
        assert len(row.reason) < 5000


def test_a_job_name_is_taken_once(database: Database, job: JobRow) -> None:
    with database.transaction() as tx:
        with pytest.raises(ConflictError, match="nightly"):
            jobs.create(tx, JobSpec.from_json(job.spec), "user:2")
        assert jobs.by_name(tx, "nightly") == jobs.get(tx, job.id) == job
