"""What delete_extra finds, in which order it goes, and that a crash begins anew."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest

from fileflux.storage import deletions, directories, runs, transfers
from fileflux.storage.deletions import Extra
from fileflux.storage.directories import NewDirectory
from fileflux.storage.pool import Database
from fileflux.storage.runs import RunRow
from fileflux.storage.transfers import NewTransfer


@pytest.fixture
def run(database: Database, new_run: Callable[[], RunRow]) -> RunRow:
    run_id = new_run().id
    with database.transaction() as tx:
        claimed = runs.claim_one(tx, run_id, uuid4())
        assert claimed is not None
        transfers.insert_many(tx, run_id, [NewTransfer(b"a?", 1, 1, 0o644, 2**20)])
        directories.insert_many(tx, run_id, [NewDirectory(b"d", 0o755, 1)])
    return claimed


def extra(path: bytes, source: bytes | None = None, *, directory: bool = False) -> Extra:
    return Extra(path, path if source is None else source, directory, 1, 1)


FOUND = [
    extra(b"x", directory=True), extra(b"x/y", directory=True), extra(b"x/y/z"), extra(b"a%3F", b"a?"), extra(b"d", directory=True),
    extra(b"b"),
]  # fmt: skip


def test_only_what_the_run_has_no_row_of_is_extra_and_goes_from_the_bottom_up(database: Database, run: RunRow) -> None:
    with database.transaction() as tx:
        assert deletions.begin(tx, run.id, run.lease_epoch)
        assert deletions.add_extra(tx, run.id, run.lease_epoch, FOUND) == 4
        assert deletions.add_extra(tx, run.id, run.lease_epoch, FOUND) == 0
        rows = deletions.due(tx, run.id, 10)
        assert [row.path for row in rows] == [b"x/y/z", b"b", b"x/y", b"x"]
        z, b, y, x = (row.id for row in rows)
        outcomes = [(z, "deleted", ""), (b, "failed", "in use"), (y, "kept", "not empty")]
        assert deletions.settle(tx, run.id, run.lease_epoch, outcomes)  # type: ignore[arg-type]  # literals in a list
        assert [row.id for row in deletions.due(tx, run.id, 10)] == [x]
        assert deletions.count(tx, run.id) == (1, 1), "what is not empty is no error"
        assert [(row.outcome, row.reason) for row in deletions.page(tx, run.id, 0, 10) if row.id == b] == [
            ("failed", "in use")
        ]
        assert deletions.page(tx, run.id, max(z, b, y, x), 10) == []


def test_after_a_crash_it_is_looked_for_again_and_what_was_removed_stays_told(database: Database, run: RunRow) -> None:
    with database.transaction() as tx:
        deletions.add_extra(tx, run.id, run.lease_epoch, FOUND)
        first = deletions.due(tx, run.id, 1)[0]
        deletions.settle(tx, run.id, run.lease_epoch, [(first.id, "deleted", "")])
        assert deletions.begin(tx, run.id, run.lease_epoch)
        assert [row.path for row in deletions.page(tx, run.id, 0, 10)] == [first.path]


def test_who_has_lost_the_run_writes_nothing(database: Database, run: RunRow) -> None:
    with database.transaction() as tx:
        assert not deletions.begin(tx, run.id, run.lease_epoch - 1)
        assert deletions.add_extra(tx, run.id, run.lease_epoch - 1, FOUND) is None
        assert not deletions.settle(tx, run.id, run.lease_epoch - 1, [])
        assert deletions.page(tx, run.id, 0, 10) == []
