from __future__ import annotations

import threading
import time
from collections.abc import Callable
from uuid import uuid4

import pytest

from fileflux.errors import NotFoundError
from fileflux.jobs.status import TransferStatus
from fileflux.storage import directories, runs, transfers
from fileflux.storage.directories import NewDirectory
from fileflux.storage.pool import Database
from fileflux.storage.runs import RunRow
from fileflux.storage.transfers import NewTransfer, TransferRow, TransferUpdate

NewRun = Callable[[], RunRow]
CHUNK = 8 * 1024 * 1024


def new(path: bytes, size: int = 10, status: str = "pending", reason: str = "") -> NewTransfer:
    return NewTransfer(path, size, 1_700_000_000_123_456_789, 0o644, CHUNK, status=status, reason=reason)


def only(database: Database, row_id: int) -> TransferRow:
    with database.transaction() as tx:
        row = transfers.get(tx, row_id)
    assert row is not None
    return row


def test_rows_of_a_listing(database: Database, run: RunRow) -> None:
    with database.transaction() as tx:
        empty, odd, large, link = transfers.insert_many(
            tx,
            run.id,
            [
                new(b"empty", 0),
                new(b"dir/\xff\xfe name", CHUNK),
                new(b"large", CHUNK + 1),
                new(b"link", 3, "skipped", "symbolic link"),
            ],
        )
    assert (empty.total_chunks, odd.total_chunks, large.total_chunks) == (1, 1, 2)
    assert (odd.path, odd.filename) == (b"dir/\xff\xfe name", "dir/\\xff\\xfe name")
    assert (odd.run_id, odd.job_id, odd.status, odd.mtime_ns) == (
        run.id,
        run.job_id,
        "pending",
        1_700_000_000_123_456_789,
    )
    assert odd.ended_at is None
    assert (link.status, link.reason) == ("skipped", "symbolic link")
    assert link.ended_at is not None
    assert len({row.part for row in (empty, odd, large, link)}) == 4
    assert all(len(row.part) == 32 and int(row.part, 16) for row in (empty, odd, large, link))


def test_a_listing_stored_again_changes_nothing(database: Database, run: RunRow) -> None:
    long = b"d/" * 2000 + b"x"
    with database.transaction() as tx:
        first = transfers.insert_many(tx, run.id, [new(b"a"), new(long)])
        again = transfers.insert_many(tx, run.id, [new(b"a", 99), new(long), new(b"b")])
        assert [row.path for row in first] == [b"a", long]
        assert [row.path for row in again] == [b"b"]
        assert [row.size for row in transfers.pending_after(tx, run.id, 0, 10)] == [10, 10, 10]
        assert transfers.insert_many(tx, run.id, []) == []
        with pytest.raises(NotFoundError):
            transfers.insert_many(tx, run.id + 1000, [new(b"a")])


def test_an_update_changes_what_it_names(database: Database, run: RunRow) -> None:
    digest = bytes(range(32))
    with database.transaction() as tx:
        one, two = transfers.insert_many(tx, run.id, [new(b"one"), new(b"two")])
        assert transfers.update_many(
            tx,
            run.id,
            run.lease_epoch,
            [
                TransferUpdate(
                    one.id, "transferring", final_path=b"/out/one\xff", attempt=1, started=True, reason="r\0"
                ),
                TransferUpdate(two.id, "completed", bytes_done=10, bytes_wire=7, compression="zstd", file_hash=digest),
            ],
        )
    one, two = only(database, one.id), only(database, two.id)
    assert (one.status, one.final_path, one.attempt, one.reason, one.size) == (
        "transferring",
        b"/out/one\xff",
        1,
        "r\\x00",
        10,
    )
    assert one.started_at is not None
    assert one.ended_at is None
    assert (two.status, two.bytes_done, two.bytes_wire, two.compression, two.file_hash) == (
        "completed",
        10,
        7,
        "zstd",
        digest,
    )
    assert two.ended_at is not None
    with database.transaction() as tx:
        assert transfers.update_many(tx, run.id, run.lease_epoch, [TransferUpdate(one.id, "waiting", started=True)])
    later = only(database, one.id)
    assert (later.status, later.final_path, later.reason, later.started_at) == (
        "waiting",
        b"/out/one\xff",
        "r\\x00",
        one.started_at,
    )


@pytest.mark.parametrize("status", [status for status in TransferStatus if status.terminal])
def test_an_ended_transfer_is_never_revived(database: Database, run: RunRow, status: TransferStatus) -> None:
    with database.transaction() as tx:
        (row,) = transfers.insert_many(tx, run.id, [new(b"a")])
        assert transfers.update_many(tx, run.id, run.lease_epoch, [TransferUpdate(row.id, status, reason="over")])
    ended = only(database, row.id)
    for late in TransferStatus:
        with database.transaction() as tx:
            assert transfers.update_many(
                tx, run.id, run.lease_epoch, [TransferUpdate(row.id, late, reason="late", bytes_done=5)]
            )
    assert only(database, row.id) == ended


def test_an_old_epoch_writes_nothing(database: Database, run: RunRow, new_run: NewRun) -> None:
    other = new_run()
    with database.transaction() as tx:
        (row,) = transfers.insert_many(tx, run.id, [new(b"a")])
        assert run.lease_owner is not None
        assert [row.id for row in runs.claim_own(tx, run.lease_owner)] == [run.id]
        assert runs.claim_one(tx, other.id, uuid4()) is not None
    with database.transaction() as tx:
        assert not transfers.update_many(tx, run.id, run.lease_epoch, [TransferUpdate(row.id, "completed")])
        assert not transfers.update_many(tx, run.id + 1000, 0, [TransferUpdate(row.id, "completed")])
        # The right epoch of another run gives no right to this one's rows.
        assert transfers.update_many(tx, other.id, 1, [TransferUpdate(row.id, "completed")])
    assert only(database, row.id).status == "pending"


def test_taking_the_lease_waits_for_a_write_under_the_old_one(database: Database, run: RunRow) -> None:
    with database.transaction() as tx:
        (row,) = transfers.insert_many(tx, run.id, [new(b"a")])
    taken = threading.Event()

    def take() -> None:
        with database.transaction() as other:
            assert run.lease_owner is not None
            runs.claim_own(other, run.lease_owner)
        taken.set()

    thread = threading.Thread(target=take)
    with database.transaction() as tx:
        assert transfers.update_many(tx, run.id, run.lease_epoch, [TransferUpdate(row.id, "transferring")])
        thread.start()
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        deadline = time.monotonic() + 10
        while tx.all(waiting)[0][0] == 0:
            assert time.monotonic() < deadline
            tx.execute("SELECT pg_stat_clear_snapshot()")
        assert not taken.is_set()
    thread.join(10)
    assert taken.is_set()
    with database.transaction() as tx:
        assert not transfers.update_many(tx, run.id, run.lease_epoch, [TransferUpdate(row.id, "completed")])


def test_sums_and_parts_left(database: Database, run: RunRow) -> None:
    with database.transaction() as tx:
        rows = transfers.insert_many(
            tx, run.id, [new(b"%d" % number, 100) for number in range(6)] + [new(b"s", 7, "skipped")]
        )
        assert transfers.update_many(
            tx,
            run.id,
            run.lease_epoch,
            [
                TransferUpdate(rows[0].id, "completed", bytes_done=100, bytes_wire=60, bytes_reused=40, attempt=1),
                TransferUpdate(rows[1].id, "failed", bytes_wire=5, attempt=2, final_path=b"/out/1"),
                TransferUpdate(rows[2].id, "cancelled", attempt=1),
                TransferUpdate(rows[3].id, "cancelled"),
                TransferUpdate(rows[4].id, "transferring", bytes_done=50, attempt=1),
            ],
        )
        sums = transfers.sums(tx, run.id)
        assert (sums.total, sums.completed, sums.skipped, sums.failed, sums.cancelled, sums.live) == (7, 1, 1, 1, 2, 2)
        assert (sums.bytes_total, sums.bytes_done, sums.bytes_wire, sums.bytes_reused) == (600, 150, 65, 40)
        assert transfers.sums(tx, run.id + 1000).total == 0
        left = transfers.unfinished_parts(tx, run.id)
        assert [(part.path, part.final_path, part.part) for part in left] == [
            (b"1", b"/out/1", rows[1].part),
            (b"2", None, rows[2].part),
        ]
        assert [part.path for part in transfers.unfinished_parts(tx, run.id, left[0].id)] == [b"2"]
        assert [row.path for row in transfers.pending_after(tx, run.id, rows[4].id, 10)] == [b"5"]


def test_ten_thousand_rows_in_batches(database: Database, run: RunRow) -> None:
    ids: list[int] = []
    for start in range(0, 10_000, 500):
        with database.transaction() as tx:
            ids += [
                row.id
                for row in transfers.insert_many(tx, run.id, [new(b"%06d" % n) for n in range(start, start + 500)])
            ]
    assert len(set(ids)) == 10_000
    seen: list[bytes] = []
    after = 0
    with database.transaction() as tx:
        while rows := transfers.pending_after(tx, run.id, after, 1000):
            seen += [row.path for row in rows]
            after = rows[-1].id
    assert seen == [b"%06d" % n for n in range(10_000)]
    for start in range(0, 10_000, 2500):
        with database.transaction() as tx:
            batch = [TransferUpdate(row_id, "completed", bytes_done=10) for row_id in ids[start : start + 2500]]
            assert transfers.update_many(tx, run.id, run.lease_epoch, batch)
    with database.transaction() as tx:
        sums = transfers.sums(tx, run.id)
        assert transfers.pending_after(tx, run.id, 0, 1) == []
    assert (sums.total, sums.completed, sums.bytes_done) == (10_000, 10_000, 100_000)


def test_a_batch_is_not_looked_for_among_all_live_rows_of_its_run(database: Database, run: RunRow) -> None:
    with database.transaction() as tx:
        rows = transfers.insert_many(tx, run.id, [new(b"%06d" % n) for n in range(20_000)])
    batch = [TransferUpdate(row.id, "completed") for row in rows[5000:5500]]
    statement, params = transfers.update_statement(run.id, batch)
    with database.transaction() as tx:
        for statistics in (False, True):
            if statistics:
                tx.execute("ANALYZE transfers")
            plan = "\n".join(line for (line,) in tx.all(f"EXPLAIN {statement}", params))
            assert "transfers_pending" not in plan, plan
            assert "transfers_by_run" not in plan, plan
        # What is left besides reading a small table whole are look-ups by id.
        tx.execute("SET LOCAL enable_seqscan = off")
        plan = "\n".join(line for (line,) in tx.all(f"EXPLAIN {statement}", params))
        assert "Index Scan using transfers_pkey" in plan, plan


def test_directories_come_deepest_first(database: Database, run: RunRow) -> None:
    found = [NewDirectory(path, 0o755, 5) for path in (b"a", b"a/b", b"z", b"a/b/c\xff", b"a/d")]
    with database.transaction() as tx:
        directories.insert_many(tx, run.id, found)
        directories.insert_many(tx, run.id, found)
        assert [row.path for row in directories.pending(tx, run.id, 10)] == [b"a/b/c\xff", b"a/b", b"a/d", b"a", b"z"]
        directories.mark_done(tx, run.id, [b"a/b/c\xff", b"a/b"])
        directories.mark_done(tx, run.id, [])
        assert [(row.path, row.mode, row.mtime_ns) for row in directories.pending(tx, run.id, 1)] == [
            (b"a/d", 0o755, 5)
        ]
