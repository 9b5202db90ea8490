"""Many jobs at once become what each of them would have become by itself."""

from __future__ import annotations

import pytest

from fileflux.errors import ConflictError
from fileflux.jobs.models import JobSpec
from fileflux.storage import agents, job_bulk, jobs
from fileflux.storage.job_bulk import Wanted
from fileflux.storage.pool import Database


def spec(name: str, source: int, **fields: object) -> JobSpec:
    return JobSpec(name, source, "/a", source, "/b", **fields)  # type: ignore[arg-type]  # fields by name


def breathe() -> None:
    """Nobody else is there."""


@pytest.fixture
def agent_id(database: Database) -> int:
    with database.transaction() as tx:
        return agents.create(tx, "web-1", "", ()).id


def as_stored(row: jobs.JobRow) -> tuple[object, ...]:
    return row.spec | {"name": ""}, row.enabled, row.version, row.created_by, row.ad_hoc, row.next_fire


def test_made_and_changed_as_one_by_one(database: Database, agent_id: int) -> None:
    first = [Wanted(spec(f"many {n}", agent_id, schedule="0 3 1 1 *", expected_by="06:00"), n != 1) for n in range(3)]
    then = [Wanted(spec(f"many {n}", agent_id, schedule=None if n == 0 else "0 4 1 1 *"), True) for n in range(3)]
    with database.transaction() as tx:
        ids = job_bulk.create_many(tx, first, "ann", breathe)
        single = [
            jobs.create(
                tx, spec(f"one {n}", agent_id, schedule="0 3 1 1 *", expected_by="06:00"), "ann", enabled=n != 1
            )
            for n in range(3)
        ]
        for number in range(3):
            made = jobs.get(tx, ids[f"many {number}"])
            assert made is not None
            assert as_stored(made) == as_stored(single[number])
        held = job_bulk.hold_named(tx, [*ids, "nobody"])
        assert set(held) == set(ids)
        assert [job_bulk.differs(held[job.spec.name], job) for job in (*first, *then)] == [False] * 3 + [True] * 3
        job_bulk.change_many(tx, [(held[job.spec.name], job) for job in then], "bob", breathe)
        for number, job in enumerate(then):
            mine = spec(f"one {number}", agent_id, schedule=job.spec.schedule)
            alone = jobs.change(tx, jobs.hold(tx, single[number].id), "bob", spec=mine, enabled=True, ad_hoc=False)
            changed = jobs.get(tx, ids[job.spec.name])
            assert changed is not None
            assert as_stored(changed) == as_stored(alone)
            assert [(v.id, v.changed_by) for v in jobs.versions(tx, changed.id, 9)] == [(2, "bob"), (1, "ann")]
        times = "SELECT name LIKE 'many%%', due_at, expect_at, expect_since IS NULL FROM jobs ORDER BY name"
        rows = tx.all(times, ())
        assert [row[1:] for row in rows if row[0]] == [row[1:] for row in rows if not row[0]]


def test_a_name_that_somebody_took_meanwhile(database: Database, agent_id: int) -> None:
    with database.transaction() as tx:
        jobs.create(tx, spec("a", agent_id), "ann")
    with pytest.raises(ConflictError, match="import the file again"), database.transaction() as tx:
        job_bulk.create_many(tx, [Wanted(spec(name, agent_id), True) for name in "ab"], "ann", breathe)
    with database.transaction() as tx:
        assert [row.name for row in job_bulk.page(tx, 0, 9, None)] == ["a"]
