from __future__ import annotations

from collections.abc import Callable
from uuid import UUID, uuid4

import pytest

from fileflux.storage import presence, run_hubs, runs
from fileflux.storage.jobs import JobRow
from fileflux.storage.pool import Database, Transaction
from fileflux.storage.runs import RunRow

NewRun = Callable[[], RunRow]
HERE, THERE = uuid4(), uuid4()


def placed(tx: Transaction, job: JobRow, source: UUID | None, destination: UUID | None) -> None:
    for hub, agent_id in (
        (source, int(job.spec["source_agent_id"])),
        (destination, int(job.spec["destination_agent_id"])),
    ):
        if hub is not None:
            presence.came(tx, hub, [agent_id])


@pytest.mark.parametrize(
    ("source", "destination", "free"),
    [
        (None, None, True),
        (HERE, HERE, True),
        (HERE, THERE, True),
        (THERE, HERE, True),
        (HERE, None, True),
        (THERE, None, False),
        (None, THERE, False),
        (THERE, THERE, False),
    ],
)
def test_a_run_is_left_to_the_hub_of_its_agents(
    database: Database, job: JobRow, new_run: NewRun, source: UUID | None, destination: UUID | None, free: bool
) -> None:
    run = new_run()
    with database.transaction() as tx:
        placed(tx, job, source, destination)
        assert [row.id for row in runs.claim(tx, HERE, 60)] == [run.id] * free


def test_nobody_waits_for_a_hub_that_does_not_come(database: Database, job: JobRow, new_run: NewRun) -> None:
    old, cancelled = new_run(), new_run()
    with database.transaction() as tx:
        placed(tx, job, THERE, THERE)
        tx.execute("UPDATE runs SET wanted = 'cancel' WHERE id = %s", (cancelled.id,))
        assert [row.id for row in runs.claim(tx, HERE, 60)] == [cancelled.id], "nothing is left to relay"
        tx.execute("UPDATE runs SET created_at = now() - interval '61 s' WHERE id = %s", (old.id,))
        assert [row.id for row in runs.claim(tx, HERE, 60)] == [old.id]


@pytest.mark.parametrize(
    ("status", "source", "destination", "goes"),
    [
        ("waiting_agent", THERE, THERE, True),
        ("waiting_agent", THERE, None, True),
        ("waiting_agent", HERE, THERE, False),
        ("waiting_agent", None, None, False),
        ("transferring", THERE, THERE, False),
        ("paused", THERE, THERE, False),
    ],
)
def test_a_run_that_waits_goes_to_the_hub_of_its_agents(
    database: Database,
    job: JobRow,
    new_run: NewRun,
    status: str,
    source: UUID | None,
    destination: UUID | None,
    goes: bool,
) -> None:
    run = new_run()
    with database.transaction() as tx:
        assert runs.claim_one(tx, run.id, HERE) is not None
        tx.execute("UPDATE runs SET status = %s WHERE id = %s", (status, run.id))
        placed(tx, job, source, destination)
        assert run_hubs.hand_over(tx, HERE) == goes
        assert [row[0] for row in runs.renew(tx, HERE)] == [run.id] * (not goes)
        assert runs.claim(tx, HERE, 60) == []
        taken = runs.claim(tx, THERE, 60)
        assert [(row.id, row.lease_epoch) for row in taken] == [(run.id, 2)] * goes


def test_which_agents_are_elsewhere(database: Database, job: JobRow, new_run: NewRun) -> None:
    run = new_run()
    with database.transaction() as tx:
        placed(tx, job, HERE, THERE)
        assert runs.claim_one(tx, run.id, HERE) is not None
        assert run_hubs.elsewhere(tx, HERE) == frozenset(), "nobody waits"
        tx.execute("UPDATE runs SET status = 'waiting_agent' WHERE id = %s", (run.id,))
        assert run_hubs.elsewhere(tx, HERE) == {int(job.spec["destination_agent_id"])}
        assert run_hubs.elsewhere(tx, THERE) == frozenset()
