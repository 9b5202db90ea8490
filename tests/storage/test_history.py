from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fileflux.actors import retention
from fileflux.actors.retention import Retention
from fileflux.audit import log as audit
from fileflux.clock import FakeClock
from fileflux.storage import directories, history, jobs, runs, settings, transfers
from fileflux.storage.directories import NewDirectory
from fileflux.storage.history import Term
from fileflux.storage.jobs import JobRow
from fileflux.storage.pages import Ask
from fileflux.storage.pool import Database
from fileflux.storage.runs import RunRow
from fileflux.storage.transfers import NewTransfer

YEAR = Term(365, 365)


@pytest.fixture
def ended(database: Database, new_run: Callable[[], RunRow]) -> Callable[..., int]:
    """A run that ended so many days ago, with three files, a directory and a deletion."""

    def make(days: int, status: str = "succeeded") -> int:
        run = new_run()
        with database.transaction() as tx:
            names = [f"{status}-{n}".encode() for n in range(3)]
            transfers.insert_many(tx, run.id, [NewTransfer(name, 1, 0, 0o644, 8_388_608) for name in names])
            directories.insert_many(tx, run.id, [NewDirectory(b"a", 0o755, 0)])
            tx.execute(
                "INSERT INTO run_deletions (run_id, path, directory, size, mtime_ns) VALUES (%s, 'x', false, 0, 0)",
                (run.id,),
            )
            tx.execute(
                "UPDATE runs SET status = %s, plan = '{}', planned = true, ended_at = now() - make_interval(days => %s) WHERE id = %s",
                (status, days, run.id),
            )
        return run.id

    return make


def left(database: Database) -> set[int]:
    with database.transaction() as tx:
        return {row[0] for row in tx.all("SELECT id FROM runs")}


def old(database: Database, term: Term) -> list[int]:
    with database.transaction() as tx:
        return history.old_runs(tx, term, None)[0]


def test_what_is_old(database: Database, ended: Callable[..., int]) -> None:
    oldest, failed, partial, fresh = ended(400), ended(300, "failed"), ended(200, "partial"), ended(10)
    newest = ended(500)
    assert old(database, Term(365, 365)) == [oldest]
    assert old(database, Term(0, 250)) == [failed]
    assert old(database, Term(365, 100)) == [oldest, failed, partial]
    assert old(database, Term(0, 0)) == []
    assert old(database, Term(5, 5)) == [oldest, failed, partial, fresh]
    assert newest in left(database)


def test_what_is_kept_beyond_its_time(database: Database, job: JobRow, ended: Callable[..., int]) -> None:
    retried, followed, parts, chained, plain = (ended(days) for days in (400, 401, 10, 403, 404))
    ended(1)
    with database.transaction() as tx:
        tx.execute("UPDATE runs SET parts_left = true WHERE id = %s", (parts,))
        for column, run_id, status in (("retry_of", retried, "failed"), ("after_run", followed, "queued"), ("after_run", chained, "failed")):  # fmt: skip
            tx.execute(
                f"INSERT INTO runs (job_id, spec, requested_by, status, {column}, deadline_at)"  # noqa: S608  # names of this test
                " SELECT job_id, spec, 'me', %s, id, now() FROM runs WHERE id = %s",
                (status, run_id),
            )
    assert old(database, Term(5, 5)) == [plain, chained]
    with database.transaction() as tx:
        assert history.remove_some(tx, retried, YEAR) is None
        removed = history.remove_some(tx, chained, YEAR)
    assert removed is not None
    assert removed.gone
    # A deleted job has no newest run to keep.
    with database.transaction() as tx:
        tx.execute("UPDATE jobs SET deleted_at = now() WHERE id = %s", (job.id,))
    assert len(old(database, Term(0, 0))) == 0
    assert plain in old(database, YEAR)


def test_a_large_run_goes_in_parts(database: Database, ended: Callable[..., int]) -> None:
    run_id = ended(400)
    ended(0)
    steps = []
    for _ in range(9):
        with database.transaction() as tx:
            removed = history.remove_some(tx, run_id, YEAR, 2)
        assert removed is not None
        steps.append((removed.files, removed.gone))
        if removed.gone:
            break
        with database.transaction() as tx:
            row = runs.get(tx, run_id)
        # A retry in between would list anew.
        assert row is not None
        assert (row.plan, row.planned) == (None, False)
    assert steps == [(2, False), (1, False), (0, True)]
    assert run_id not in left(database)


def test_a_run_in_other_hands_is_left_alone(database: Database, ended: Callable[..., int]) -> None:
    run_id = ended(400)
    ended(0)
    with database.transaction() as holder:
        holder.execute("SELECT FROM runs WHERE id = %s FOR KEY SHARE", (run_id,))
        with database.transaction() as tx:
            assert history.remove_some(tx, run_id, YEAR) is None


def test_a_job_for_one_run_goes_with_it(database: Database, job: JobRow, ended: Callable[..., int]) -> None:
    run_id = ended(400)
    with database.transaction() as tx:
        tx.execute("UPDATE jobs SET ad_hoc = true WHERE id = %s", (job.id,))
        removed = history.remove_some(tx, run_id, YEAR)
        assert removed is not None
        assert removed.gone
        assert jobs.get(tx, job.id) is None


def test_turns_and_the_line_of_the_day(
    database: Database, ended: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "LOOK", 2)
    gone = {ended(days) for days in (400, 410, 420, 430)}
    kept = {ended(300, "failed"), ended(0)}
    worker = Retention(database, FakeClock())
    assert worker.turn() == retention.LOOK_EVERY_S
    assert left(database) == kept
    assert gone.isdisjoint(kept)
    assert worker.turn() == retention.LOOK_EVERY_S
    assert entries(database) == []
    with database.transaction() as tx:
        tx.execute(
            "UPDATE settings SET value = value || jsonb_build_object('since', now() - interval '25 hours') WHERE key = 'history.removed'"
        )
    worker.turn()
    worker.turn()
    (entry,) = entries(database)
    assert (entry["runs"], entry["files"]) == (4, 12)
    with database.transaction() as tx:
        settings.change_hub(tx, {"history_failed_days": 200})
    worker.turn()
    assert len(left(database)) == 1


def test_it_stops_when_its_time_is_over(database: Database, ended: Callable[..., int]) -> None:
    for days in (400, 410, 420):
        ended(days)
    ended(0)

    class Slow(FakeClock):
        def monotonic(self) -> float:
            self.advance(0.45)
            return super().monotonic()

    worker = Retention(database, Slow())
    assert worker.turn() == retention.PAUSE_S
    assert len(left(database)) > 1
    while worker.turn() == retention.PAUSE_S:
        pass
    assert len(left(database)) == 1


def test_no_list_of_runs_is_read_whole(database: Database, ended: Callable[..., int]) -> None:
    run_id = ended(400)
    ended(0)
    seen: list[str] = []
    with database.transaction() as tx:
        tx.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off")
        execute = tx.execute

        def explained(sql: str, params: Any = ()) -> int:
            if sql.lstrip().upper().startswith(("SELECT", "DELETE")):
                execute(f"EXPLAIN {sql}", params)
                seen.extend(row[0] for row in tx._cursor.fetchall())
            return execute(sql, params)

        tx.execute = explained  # type: ignore[method-assign]  # what it would do, shown first
        history.old_runs(tx, YEAR, None)
        assert history.remove_some(tx, run_id, Term(1, 1)) is not None
    # Disabled is not forbidden: without an index it would be there all the same.
    assert not any("Seq Scan on runs" in line or "Seq Scan on transfers" in line for line in seen), seen
    assert any("runs_by_end" in line for line in seen)
    # Not just any index, nor the table itself while a run has a tenth of it.
    assert any("transfers_path" in line for line in seen), seen
    assert any("runs_by_retry" in line for line in seen)


def entries(database: Database) -> list[dict[str, Any]]:
    with database.transaction() as tx:
        found = audit.LIST.page(tx, Ask(50, descending=True, filters={"action": "history.removed"})).rows
    return [row.detail for row in found]
