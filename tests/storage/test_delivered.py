"""Rows that are written once, when their files have ended."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from fileflux.errors import NotFoundError
from fileflux.storage import delivered, transfers
from fileflux.storage.delivered import Delivered
from fileflux.storage.pool import Database
from fileflux.storage.runs import RunRow
from fileflux.storage.transfers import NewTransfer, TransferRow

DIGEST = b"\7" * 32
NOW = 1000.0


def new(path: bytes) -> NewTransfer:
    return NewTransfer(path, 10, 5, 0o640, 2**20)


def end(row: TransferRow, status: str = "completed", reason: str = "") -> Delivered:
    done = status == "completed"
    final = b"/out/" + row.path
    return Delivered(
        row.id, status, reason, 1, final, 10 * done, 7 * done, "zstd", DIGEST if done else None, NOW - 60, NOW - 5
    )


def stored(database: Database, rows: list[TransferRow]) -> list[TransferRow]:
    with database.transaction() as tx:
        return transfers.get_many(tx, [row.id for row in rows])


def test_nothing_is_there_before_it_is_inserted(database: Database, run: RunRow) -> None:
    with database.transaction() as tx:
        rows = delivered.reserve(tx, run.id, [new(b"a"), new(b"d/\xff"), new(b"c")])
        other = delivered.reserve(tx, run.id, [new(b"e")])
    ids = [row.id for row in rows + other]
    assert ids == sorted(set(ids))
    assert len({row.part for row in rows}) == 3
    assert {len(row.part) for row in rows} == {32}
    assert stored(database, rows) == []


def test_rows_are_as_if_they_had_been_written_twice(database: Database, run: RunRow) -> None:
    files = [new(b"a"), new(b"d/\xff'\"\\"), new(b"c")]
    with database.transaction() as tx:
        rows = delivered.reserve(tx, run.id, files)
        ends = [end(rows[0]), end(rows[1], "skipped", "equal file"), None]
        assert delivered.insert(tx, run.id, run.lease_epoch, list(zip(rows, ends, strict=True)), NOW)
        twice = transfers.insert_many(tx, run.id, [replace(file, path=b"twice/" + file.path) for file in files])
        updates = [replace(made.update(), id=row.id) for made, row in zip(ends, twice, strict=True) if made]
        assert transfers.update_many(tx, run.id, run.lease_epoch, updates)
    for row, other in zip(stored(database, rows), stored(database, twice), strict=True):
        same = replace(
            other,
            id=row.id,
            path=row.path,
            filename=row.filename,
            part=row.part,
            started_at=row.started_at,
            ended_at=row.ended_at,
        )
        assert row == same


def test_times_are_those_of_the_files_and_not_of_the_writing(database: Database, run: RunRow) -> None:
    with database.transaction() as tx:
        rows = delivered.reserve(tx, run.id, [new(b"a")])
        delivered.insert(tx, run.id, run.lease_epoch, [(rows[0], end(rows[0]))], NOW)
    (row,) = stored(database, rows)
    assert row.started_at is not None
    assert row.ended_at is not None
    assert row.ended_at - row.started_at == timedelta(seconds=55)
    assert timedelta(seconds=5) <= datetime.now(UTC) - row.ended_at < timedelta(seconds=30)


def test_a_path_that_is_there_is_left_as_it_is(database: Database, run: RunRow) -> None:
    with database.transaction() as tx:
        (before,) = transfers.insert_many(tx, run.id, [new(b"a")])
        again, other = delivered.reserve(tx, run.id, [new(b"a"), new(b"b")])
        assert delivered.insert(tx, run.id, run.lease_epoch, [(again, end(again)), (other, None)], NOW)
    assert stored(database, [before]) == [before]
    assert stored(database, [again]) == []
    assert [row.status for row in stored(database, [other])] == ["pending"]


def test_another_owner(database: Database, run: RunRow) -> None:
    with database.transaction() as tx:
        (row,) = delivered.reserve(tx, run.id, [new(b"a")])
        assert not delivered.insert(tx, run.id, run.lease_epoch + 1, [(row, end(row))], NOW)
        assert delivered.insert(tx, run.id, run.lease_epoch, [], NOW)
    assert stored(database, [row]) == []
    with database.transaction() as tx, pytest.raises(NotFoundError):
        delivered.reserve(tx, run.id + 1000, [new(b"a")])
