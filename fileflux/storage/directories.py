"""Directories of a run: made as files need them, their mode and mtime set when everything below them is there."""

# ruff: noqa: S608  # SQL is put together from texts of this file only; every value is a parameter
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


_COPY = (
    "INSERT INTO run_directories (run_id, path, depth, mode, mtime_ns)"
    " SELECT %(run)s, path, depth, mode, mtime_ns FROM run_directories WHERE run_id = %(from)s"
)
_COPY_END = "ON CONFLICT (run_id, sha256(path)) DO NOTHING"


def insert_many(tx: Transaction, run_id: int, rows: Sequence[NewDirectory]) -> None:
    """Add what a listing found; a path that the run has already is left as it is."""
    tx.values(
        "INSERT INTO run_directories (run_id, path, depth, mode, mtime_ns) VALUES %s"
        " ON CONFLICT (run_id, sha256(path)) DO NOTHING RETURNING 1",
        [(run_id, row.path, row.path.count(b"/"), row.mode, row.mtime_ns) for row in rows],
    )


def copy_above(tx: Transaction, run_id: int, from_run: int, paths: Sequence[bytes]) -> None:
    """Take over the directories of another run that are above these files: writing a file changes the mtime of its directory."""
    above = {
        b"/".join(parts[:depth]) for parts in (path.split(b"/") for path in paths) for depth in range(1, len(parts))
    }
    tx.execute(
        f"{_COPY} AND sha256(path) IN (SELECT sha256(p) FROM unnest(%(paths)s::bytea[]) AS p) {_COPY_END}",
        {"run": run_id, "from": from_run, "paths": list(above)},
    )


def copy_undone(tx: Transaction, run_id: int, from_run: int, after: bytes, limit: int) -> bytes | None:
    """Take over directories that another run did not get to, after the key ``after`` (empty at first); the next key, None at the end."""
    if tx.one("SELECT FROM run_directories WHERE run_id = %s AND NOT done LIMIT 1", (from_run,)) is None:
        return None  # As a rule; found without looking through all that are done.
    rows = tx.all(
        "SELECT sha256(path) AS key FROM run_directories WHERE run_id = %s AND sha256(path) > %s AND NOT done"
        " ORDER BY key LIMIT %s",
        (from_run, after, page_size(limit)),
    )
    if not rows:
        return None
    keys = [bytes(key) for (key,) in rows]
    tx.execute(
        f"{_COPY} AND sha256(path) = ANY(%(keys)s::bytea[]) {_COPY_END}",
        {"run": run_id, "from": from_run, "keys": keys},
    )
    return keys[-1]


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
