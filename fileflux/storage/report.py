"""What a run did, file by file: read in pages, each in a transaction of its own, so that who reads slowly holds nothing up."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from fileflux.jobs.status import TransferStatus
from fileflux.storage import deletions, transfers
from fileflux.storage.deletions import Deletion
from fileflux.storage.lists import TRANSFERS
from fileflux.storage.pages import After, Ask
from fileflux.storage.pool import Database, Transaction
from fileflux.storage.transfers import TransferRow

PAGE: Final = 250
"""Rows at once: a few milliseconds of the hub's loop."""


def pages(database: Database, run_id: int, statuses: Collection[TransferStatus] = ()) -> Iterator[list[TransferRow]]:
    """The run's files in the order in which they were found, as they are when their page is read; all, or those of these statuses."""
    filters = {"run_id": run_id} | ({"status": [status.value for status in statuses]} if statuses else {})
    after: After | None = None
    while True:
        with database.transaction() as tx:
            found = TRANSFERS.page(tx, Ask(PAGE, after=after, filters=filters))
        yield found.rows
        after = found.after
        if after is None:
            return


def deletions_of(database: Database, run_id: int) -> Iterator[list[Deletion]]:
    """What ``delete_extra`` removed at the destination, or was to."""
    after = 0
    while True:
        with database.transaction() as tx:
            found = deletions.page(tx, run_id, after, PAGE)
        yield found
        if len(found) < PAGE:
            return
        after = found[-1].id


def deletion_at(tx: Transaction, run_id: int, path: bytes) -> Deletion | None:
    """What became of something that stood at the destination only."""
    row = tx.one(
        "SELECT id, path, directory, size, mtime_ns, outcome, reason FROM run_deletions WHERE run_id = %s AND sha256(path) = sha256(%s)",
        (run_id, path),
    )
    return None if row is None else Deletion(row[0], bytes(row[1]), *row[2:])


def file_at(tx: Transaction, run_id: int, path: bytes) -> TransferRow | None:
    """The run's row of a path below its source."""
    row = tx.one(
        f"SELECT {transfers.COLUMNS} FROM transfers WHERE run_id = %s AND sha256(path) = sha256(%s)",  # noqa: S608  # names of this package
        (run_id, path),
    )
    return None if row is None else transfers.from_values(row)


def directories_seen(tx: Transaction, run_id: int, paths: Sequence[bytes]) -> set[bytes]:
    """Those of these paths that the run has as directories."""
    rows = tx.all(
        "SELECT path FROM run_directories WHERE run_id = %s AND sha256(path) IN (SELECT sha256(p) FROM unnest(%s::bytea[]) AS p)",
        (run_id, list(paths)),
    )
    return {bytes(path) for (path,) in rows}
