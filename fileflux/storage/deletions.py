"""What a run with ``delete_extra`` removes at its destination. Writing is for the holder of the run's lease."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fileflux.storage.pool import Transaction
from fileflux.storage.rows import page_size
from fileflux.storage.values import safe_text

Outcome = Literal["due", "deleted", "kept", "failed"]
"""``kept``: a directory that still holds something, such as what the job's rules leave out. ``failed``: what should have gone and did not."""


@dataclass(frozen=True, slots=True)
class Extra:
    """Something at the destination; ``path`` is its name there, ``source`` what it would be called at the source."""

    path: bytes
    source: bytes
    directory: bool
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Deletion:
    """``reason``: why it is still there."""

    id: int
    path: bytes
    directory: bool
    size: int
    mtime_ns: int
    outcome: Outcome
    reason: str


_COLUMNS = "id, path, directory, size, mtime_ns, outcome, reason"


def begin(tx: Transaction, run_id: int, epoch: int) -> bool:
    """Forget what was found and not removed: it is looked for anew. False when the caller is fenced off."""
    if not _holds(tx, run_id, epoch):
        return False
    tx.execute("DELETE FROM run_deletions WHERE run_id = %s AND outcome <> 'deleted'", (run_id,))
    return True


def add_extra(tx: Transaction, run_id: int, epoch: int, found: Sequence[Extra]) -> int | None:
    """Note those of a page that the run's source has not; how many. None when the caller is fenced off."""
    if not _holds(tx, run_id, epoch):
        return None
    # Not EXISTS, and LIMIT 1: without statistics PostgreSQL would read all rows of the run for each page.
    rows = tx.values(
        "INSERT INTO run_deletions (run_id, path, directory, size, mtime_ns)"
        " SELECT v.run_id, v.path, v.directory, v.size, v.mtime_ns"
        " FROM (VALUES %s) AS v (run_id, path, source, directory, size, mtime_ns)"
        " WHERE (SELECT 1 FROM transfers AS t WHERE t.run_id = v.run_id AND sha256(t.path) = sha256(v.source) LIMIT 1) IS NULL"
        " AND (SELECT 1 FROM run_directories AS d WHERE d.run_id = v.run_id AND sha256(d.path) = sha256(v.source) LIMIT 1) IS NULL"
        " ON CONFLICT (run_id, sha256(path)) DO NOTHING RETURNING 1",
        [(run_id, one.path, one.source, one.directory, one.size, one.mtime_ns) for one in found],
        "(%s::bigint, %s::bytea, %s::bytea, %s::boolean, %s::bigint, %s::bigint)",
    )
    return len(rows)


def due(tx: Transaction, run_id: int, limit: int) -> list[Deletion]:
    """What is to be removed next: files, then directories from the bottom up."""
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM run_deletions WHERE run_id = %s AND outcome = 'due'"  # noqa: S608  # names of this file
        " ORDER BY directory, length(path) DESC, id LIMIT %s",
        (run_id, page_size(limit)),
    )
    return [_row(row) for row in rows]


def settle(tx: Transaction, run_id: int, epoch: int, outcomes: Sequence[tuple[int, Outcome, str]]) -> bool:
    """Note what became of these rows, with the reason of what is still there. False when the caller is fenced off."""
    if not _holds(tx, run_id, epoch):
        return False
    tx.values(
        "UPDATE run_deletions AS d SET outcome = v.outcome, reason = v.reason"
        " FROM (VALUES %s) AS v (run_id, id, outcome, reason) WHERE d.id = v.id AND d.run_id = v.run_id RETURNING d.id",
        [(run_id, row_id, outcome, safe_text(reason)) for row_id, outcome, reason in outcomes],
        "(%s::bigint, %s::bigint, %s::text, %s::text)",
    )
    return True


def count(tx: Transaction, run_id: int) -> tuple[int, int]:
    """How many files and directories were removed, and how many could not be."""
    row = tx.one(
        "SELECT count(*) FILTER (WHERE outcome = 'deleted'), count(*) FILTER (WHERE outcome = 'failed')"
        " FROM run_deletions WHERE run_id = %s",
        (run_id,),
    )
    return (0, 0) if row is None else (row[0], row[1])


def page(tx: Transaction, run_id: int, after: int, limit: int) -> list[Deletion]:
    """By id, those behind ``after``."""
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM run_deletions WHERE run_id = %s AND id > %s ORDER BY id LIMIT %s",  # noqa: S608  # names of this file
        (run_id, after, page_size(limit)),
    )
    return [_row(row) for row in rows]


def _row(values: tuple[Any, ...]) -> Deletion:
    row_id, path, *rest = values
    return Deletion(row_id, bytes(path), *rest)


def _holds(tx: Transaction, run_id: int, epoch: int) -> bool:
    return tx.one("SELECT 1 FROM runs WHERE id = %s AND lease_epoch = %s FOR SHARE", (run_id, epoch)) is not None
