"""Directories of a run: made as files need them, their mode and mtime set when everything below them is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fileflux.storage.pool import Transaction
from fileflux.storage.rows import page_size


@dataclass(frozen=True, slots=True)
class NewDirectory:
    """``path`` is the name below the source's base, as the file system has it."""

    path: bytes
    mode: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class DirectoryRow:
    path: bytes
    mode: int
    mtime_ns: int


def insert_many(tx: Transaction, run_id: int, rows: Sequence[NewDirectory]) -> None:
    """Add what a listing found; a path that the run has already is left as it is."""
    tx.values(
        "INSERT INTO run_directories (run_id, path, depth, mode, mtime_ns) VALUES %s"
        " ON CONFLICT (run_id, sha256(path)) DO NOTHING RETURNING 1",
        [(run_id, row.path, row.path.count(b"/"), row.mode, row.mtime_ns) for row in rows],
    )


def pending(tx: Transaction, run_id: int, limit: int) -> list[DirectoryRow]:
    """Directories still to be done, the deepest first: setting a child's mtime touches its parent's."""
    rows = tx.all(
        "SELECT path, mode, mtime_ns FROM run_directories WHERE run_id = %s AND NOT done"
        " ORDER BY depth DESC, path LIMIT %s",
        (run_id, page_size(limit)),
    )
    return [DirectoryRow(bytes(path), mode, mtime_ns) for path, mode, mtime_ns in rows]


def mark_done(tx: Transaction, run_id: int, paths: Sequence[bytes]) -> None:
    tx.execute(
        "UPDATE run_directories SET done = true WHERE run_id = %s AND sha256(path) IN (SELECT sha256(p) FROM unnest(%s::bytea[]) AS p)",
        (run_id, list(paths)),
    )
