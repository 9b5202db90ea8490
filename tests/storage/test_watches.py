"""What arrived waits in the database, becomes a run once, and is known afterwards."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fileflux.jobs import arrivals as rules
from fileflux.jobs.models import JobSpec, WatchRule
from fileflux.protocol import messages as m
from fileflux.storage import jobs, runs, transfers, watches
from fileflux.storage.jobs import JobRow
from fileflux.storage.pool import Database
from fileflux.storage.transfers import NewTransfer

BASE = b"/data/in"


def make_transfer(file: rules.Arrival, spec: JobSpec, system: str) -> NewTransfer:
    del system
    return NewTransfer(file.path, file.size, file.mtime_ns, file.mode, spec.chunk_size, file.kind)


class Watch:
    """The watch of one job, as the hub keeps it."""

    def __init__(self, database: Database, job: JobRow) -> None:
        self.database = database
        self.job = job.id
        self.edit(watch=WatchRule(1.0))

    def edit(self, *, enabled: bool = True, **changes: Any) -> None:
        with self.database.transaction() as tx:
            held = jobs.hold(tx, self.job)
            self.spec = replace(JobSpec.from_json(held.spec), **changes)
            jobs.change(tx, held, "user:1", spec=self.spec, enabled=enabled, ad_hoc=False)

    def begin(self) -> None:
        with self.database.transaction() as tx:
            watches.begin(tx, self.job, rules.origin_of(self.spec), "asked")

    def offer(self, *files: tuple[str, int]) -> int:
        entries = [m.Entry(path, "file", 10, mtime) for path, mtime in files]
        found = rules.arrivals(self.spec.source_agent_id, BASE, "directory", entries)
        with self.database.transaction() as tx:
            return watches.arrived(tx, self.job, rules.origin_of(self.spec), BASE, "directory", found)

    def due(self, gather: float = 0.0) -> list[int]:
        with self.database.transaction() as tx:
            return watches.due(tx, gather)[0]

    def fire(self) -> runs.RunRow | None:
        with self.database.transaction() as tx:
            return watches.fire(tx, self.job, make_transfer, lambda: None)

    def names(self, run: runs.RunRow | None) -> list[bytes]:
        assert run is not None
        with self.database.transaction() as tx:
            return sorted(row.path for row in transfers.pending_after(tx, run.id, 0, 100))

    def end(self, run: runs.RunRow | None) -> None:
        assert run is not None
        with self.database.transaction() as tx:
            runs.update(tx, run.id, 0, status="succeeded")

    @property
    def row(self) -> watches.WatchRow:
        with self.database.transaction() as tx:
            row = watches.get(tx, self.job)
        assert row is not None
        return row


@pytest.fixture
def watch(database: Database, job: JobRow) -> Watch:
    made = Watch(database, job)
    made.begin()
    return made


def test_an_offer_becomes_one_run_of_exactly_its_files(watch: Watch) -> None:
    assert watch.offer(("a", 1), ("b/c", 1)) == 2
    assert (watch.due(60.0), watch.due()) == ([], [watch.job])
    run = watch.fire()
    assert watch.names(run) == [b"a", b"b/c"]
    with watch.database.transaction() as tx:
        stored = runs.get(tx, run.id) if run else None
    assert stored is not None
    assert (stored.trigger, stored.planned, stored.plan and stored.plan["path_type"]) == ("watch", True, "directory")
    assert (watch.row.seen, watch.row.waiting, watch.row.last_run_id) == (2, 0, stored.id)
    assert (watch.due(), watch.fire()) == ([], None)


def test_a_version_that_was_seen_is_passed_over_and_another_one_is_not(watch: Watch) -> None:
    watch.offer(("a", 1))
    watch.end(watch.fire())
    assert watch.offer(("a", 1)) == 0
    assert watch.fire() is None
    assert watch.offer(("a", 2), ("a", 2)) == 1
    assert watch.names(watch.fire()) == [b"a"]
    assert watch.row.seen == 1


def test_what_arrives_during_a_run_waits_for_the_next(watch: Watch) -> None:
    watch.offer(("a", 1))
    first = watch.fire()
    watch.offer(("b", 1))
    watch.offer(("b", 2), ("c", 1))
    assert (watch.due(), watch.fire(), watch.row.waiting) == ([], None, 2)
    watch.end(first)
    assert watch.due() == [watch.job]
    assert watch.names(watch.fire()) == [b"b", b"c"]


def test_a_run_that_could_not_be_made_leaves_everything_as_it_was(watch: Watch) -> None:
    watch.offer(("a", 1))

    def broken(*_: Any) -> NewTransfer:
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError), watch.database.transaction() as tx:
        watches.fire(tx, watch.job, broken, lambda: None)
    assert watch.row.waiting == 1
    assert watch.names(watch.fire()) == [b"a"]


def test_what_waits_is_forgotten_when_the_job_looks_for_something_else(watch: Watch) -> None:
    watch.offer(("a", 1))
    watch.edit(exclude=("a",))
    watch.begin()
    assert (watch.row.waiting, watch.row.seen) == (0, 0)
    watch.edit(exclude=())
    watch.begin()
    assert watch.offer(("a", 1)) == 1
    watch.edit(enabled=False)
    assert watch.fire() is None
    assert (watch.row.waiting, watch.row.seen) == (0, 0)


def test_runs_are_bounded_and_the_rest_follows(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "RUN_MAX", 2)
    monkeypatch.setattr(watches, "BATCH", 2)
    watch.offer(*((name, 1) for name in "abc"))
    first = watch.fire()
    assert (watch.names(first), watch.row.waiting) == ([b"a", b"b"], 1)
    watch.end(first)
    assert watch.names(watch.fire()) == [b"c"]


def test_old_and_too_many_memories_go(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    watch.offer(*((name, 1) for name in "abcd"))
    watch.fire()
    with watch.database.transaction() as tx:
        tx.execute("UPDATE watch_seen SET seen_at = now() - interval '31 days' WHERE key = %s", (_key(watch, b"a"),))
        tx.execute("UPDATE watch_seen SET seen_at = now() - interval '2 days' WHERE key = %s", (_key(watch, b"b"),))
    monkeypatch.setattr(watches, "SEEN_MAX", 2)
    # An offer is what keeps a memory young.
    assert watch.offer(("b", 1)) == 0
    with watch.database.transaction() as tx:
        assert watches.prune(tx, 0) == watch.job
        assert watches.prune(tx, watch.job) is None
    assert watch.row.seen == 2
    assert watch.offer(("a", 1), ("b", 1)) == 1


def test_only_enabled_jobs_with_a_watch_are_watched(watch: Watch) -> None:
    def found() -> list[int]:
        with watch.database.transaction() as tx:
            rows = watches.some(tx, [watch.job])
            assert watches.versions(tx) == {row.job_id: row.version for row in rows}
        return [row.job_id for row in rows]

    assert found() == [watch.job]
    watch.edit(enabled=False)
    assert found() == []
    watch.edit(watch=None)
    assert found() == []


def _key(watch: Watch, path: bytes) -> bytes:
    return rules.key_of(watch.spec.source_agent_id, BASE, path)
