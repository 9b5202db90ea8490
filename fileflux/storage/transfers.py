"""Transfers: one row per file of a run. Writing is for the holder of the run's lease, reading for everybody."""

# ruff: noqa: S608  # SQL is put together from names in this package only; every value is a parameter
from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

from fileflux.errors import ConflictError, NotFoundError
from fileflux.jobs.status import TransferStatus
from fileflux.storage import arrays
from fileflux.storage.pool import Transaction
from fileflux.storage.rows import columns, page_size
from fileflux.storage.values import exact_text, optional_bytes, safe_text, shown_name

LIVE_SQL = "status NOT IN ('completed', 'skipped', 'failed', 'cancelled')"
"""Word for word the condition of the partial index, so that the planner can use it."""


@dataclass(frozen=True, slots=True)
class NewTransfer:
    """A file that a listing found; ``path`` is its name below the source's base, as the file system has it.

    A status that is terminal already (``skipped``) makes a row that only reports.
    """

    path: bytes
    size: int
    mtime_ns: int
    mode: int
    chunk_size: int
    kind: str = "file"
    status: str = TransferStatus.PENDING.value
    reason: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class TransferRow:
    """``filename`` is ``path`` made fit to be shown; ``part`` names the part file at the destination."""

    id: int
    run_id: int
    job_id: int
    path: bytes
    filename: str
    kind: str
    size: int
    mtime_ns: int
    mode: int
    status: str
    reason: str
    code: str
    part: str
    final_path: bytes | None
    attempt: int
    retry_count: int
    bytes_done: int
    bytes_wire: int
    bytes_reused: int
    compression: str | None
    chunk_size: int
    total_chunks: int
    completed_chunks: int
    file_hash: bytes | None
    started_at: datetime | None
    ended_at: datetime | None
    cancelled_by: str | None = None
    """Who wants it to end, which a live one still has to."""
    release: str | None = None
    """Of a completed one whose source is not to be kept: ``due``, ``done`` or ``failed``."""


@dataclass(frozen=True, slots=True)
class TransferUpdate:
    """What changed of the row ``id``; None leaves a column as it is.

    ``started`` notes the time of the first start, ``ended`` the time of the end; a terminal status does that too.
    """

    id: int
    status: str
    reason: str | None = None
    code: str | None = None
    size: int | None = None
    mtime_ns: int | None = None
    mode: int | None = None
    final_path: bytes | None = None
    attempt: int | None = None
    retry_count: int | None = None
    bytes_done: int | None = None
    bytes_wire: int | None = None
    bytes_reused: int | None = None
    compression: str | None = None
    total_chunks: int | None = None
    completed_chunks: int | None = None
    file_hash: bytes | None = None
    source_identity: str | None = None
    release: str | None = None
    started: bool = False
    ended: bool = False


@dataclass(frozen=True, slots=True)
class RunSums:
    """What the transfers of a run add up to; ``live`` of ``total`` have not ended."""

    total: int
    completed: int
    skipped: int
    failed: int
    cancelled: int
    live: int
    bytes_total: int
    bytes_done: int
    bytes_wire: int
    bytes_reused: int
    unreleased: int = 0
    """Completed, and their sources could not be deleted or archived."""


@dataclass(frozen=True, slots=True)
class UnfinishedPart:
    """A part file that may stand at the destination although its transfer has ended."""

    id: int
    path: bytes
    final_path: bytes | None
    part: str


COLUMNS = columns(TransferRow)
_KEPT = tuple(f.name for f in fields(TransferUpdate) if f.name not in {"id", "status", "started", "ended"})
_CASTS = {
    "reason": "text",
    "code": "text",
    "mode": "int",
    "final_path": "bytea",
    "attempt": "int",
    "retry_count": "int",
    "compression": "text",
    "total_chunks": "int",
    "completed_chunks": "int",
    "file_hash": "bytea",
    "source_identity": "text",
    "release": "text",
}
_ARRAYS: dict[str, Callable[[Iterable[Any]], str]] = {
    "bigint": arrays.numbers,
    "int": arrays.numbers,
    "text": arrays.texts,
    "bytea": arrays.binaries,
}
_UPDATE = (
    "UPDATE transfers AS t SET status = v.status, "
    + ", ".join(f"{name} = coalesce(v.{name}, t.{name})" for name in _KEPT)
    + ", started_at = CASE WHEN v.started THEN coalesce(t.started_at, clock_timestamp()) ELSE t.started_at END"
    ", ended_at = CASE WHEN v.ended THEN clock_timestamp() ELSE t.ended_at END"
    " FROM unnest(%s::bigint[], %s::text[], "
    + ", ".join(f"%s::{_CASTS.get(name, 'bigint')}[]" for name in _KEPT)
    + f", %s::bool[], %s::bool[]) AS v (id, status, {', '.join(_KEPT)}, started, ended)"
    # "+ 0" keeps the planner from reading all live rows of the run for each batch: without statistics of a table that
    # has just been filled it takes that for cheaper than 500 look-ups by id, and a million files would take hours.
    f" WHERE t.id = v.id AND t.run_id + 0 = %s AND t.{LIVE_SQL}"
)
_INSERT = (
    "INSERT INTO transfers (run_id, job_id, path, filename, kind, size, mtime_ns, mode, status, reason, code, part, chunk_size,"
    " total_chunks, ended_at)"
    " SELECT %s, %s, path, filename, kind, size, mtime_ns, mode, status, reason, code, part, chunk_size, total_chunks,"
    " CASE WHEN ended THEN clock_timestamp() END"
    " FROM unnest(%s::bytea[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::int[], %s::text[], %s::text[], %s::text[],"
    " %s::text[], %s::bigint[], %s::int[], %s::bool[])"
    " AS v (path, filename, kind, size, mtime_ns, mode, status, reason, code, part, chunk_size, total_chunks, ended)"
    f" ON CONFLICT (run_id, sha256(path)) DO NOTHING RETURNING {COLUMNS}"
)


def insert_many(tx: Transaction, run_id: int, rows: Sequence[NewTransfer]) -> list[TransferRow]:
    """Add the files of a listing and return the rows that are new, by id.

    A path that the run has already is left as it is: a listing may be stored again after a crash. Raises NotFoundError for an
    unknown run.
    """
    job = tx.one("SELECT job_id FROM runs WHERE id = %s", (run_id,))
    if job is None:
        raise NotFoundError(f"there is no run {run_id}")
    if not rows:
        return []
    found = tx.all(
        _INSERT,
        (
            run_id,
            job[0],
            arrays.binaries(row.path for row in rows),
            arrays.texts(shown_name(row.path) for row in rows),
            arrays.texts(row.kind for row in rows),
            arrays.numbers(row.size for row in rows),
            arrays.numbers(row.mtime_ns for row in rows),
            arrays.numbers(row.mode for row in rows),
            arrays.texts(TransferStatus(row.status).value for row in rows),
            arrays.texts(safe_text(row.reason) for row in rows),
            arrays.texts(row.code for row in rows),
            arrays.texts(secrets.token_hex(16) for row in rows),
            arrays.numbers(row.chunk_size for row in rows),
            arrays.numbers(max(1, -(-row.size // row.chunk_size)) for row in rows),
            arrays.flags(TransferStatus(row.status).terminal for row in rows),
        ),
    )
    return sorted((from_values(row) for row in found), key=lambda row: row.id)


def get(tx: Transaction, transfer_id: int) -> TransferRow | None:
    row = tx.one(f"SELECT {COLUMNS} FROM transfers WHERE id = %s", (transfer_id,))
    return None if row is None else from_values(row)


def get_many(tx: Transaction, transfer_ids: Sequence[int]) -> list[TransferRow]:
    """Those of these transfers that exist, by id."""
    rows = tx.all(f"SELECT {COLUMNS} FROM transfers WHERE id = ANY(%s::bigint[]) ORDER BY id", (list(transfer_ids),))
    return [from_values(row) for row in rows]


def pending_after(tx: Transaction, run_id: int, after_id: int, limit: int) -> list[TransferRow]:
    """The run's next transfers that have not ended, by id, those after ``after_id`` (0 at first)."""
    rows = tx.all(
        f"SELECT {COLUMNS} FROM transfers WHERE run_id = %s AND id > %s AND {LIVE_SQL} ORDER BY id LIMIT %s",
        (run_id, after_id, page_size(limit)),
    )
    return [from_values(row) for row in rows]


def update_many(tx: Transaction, run_id: int, epoch: int, updates: Sequence[TransferUpdate]) -> bool:
    """Store these changes under the run's lease; False, and nothing stored, when the caller is fenced off: stop then.

    A row that has ended already, or is of another run, stays as it is. The last of several updates of one row counts.
    """
    # The share lock holds off whoever takes the lease until this transaction ends: no write of an old epoch comes after a new one's.
    if tx.one("SELECT 1 FROM runs WHERE id = %s AND lease_epoch = %s FOR SHARE", (run_id, epoch)) is None:
        return False
    if updates:
        tx.execute(*update_statement(run_id, updates))
    return True


def update_statement(run_id: int, updates: Sequence[TransferUpdate]) -> tuple[str, tuple[Any, ...]]:
    """What ``update_many`` executes, and its parameters."""
    # In the order of their ids, so that two writers of one run cannot wait for each other's rows.
    latest = [update for _, update in sorted({update.id: update for update in updates}.items())]
    statuses = [TransferStatus(update.status) for update in latest]
    kept = []
    for name in _KEPT:
        values = [getattr(update, name) for update in latest]
        if name == "reason":
            values = [None if value is None else safe_text(value) for value in values]
        kept.append(_ARRAYS[_CASTS.get(name, "bigint")](values))
    return _UPDATE, (
        arrays.numbers(update.id for update in latest),
        arrays.texts(status.value for status in statuses),
        *kept,
        arrays.flags(update.started for update in latest),
        arrays.flags(update.ended or status.terminal for update, status in zip(latest, statuses, strict=True)),
        run_id,
    )


def sums(tx: Transaction, run_id: int) -> RunSums:
    """Count the run's rows; all zero for an unknown run."""
    row = tx.one(
        "SELECT count(*), count(*) FILTER (WHERE status = 'completed'), count(*) FILTER (WHERE status = 'skipped'),"
        " count(*) FILTER (WHERE status = 'failed'), count(*) FILTER (WHERE status = 'cancelled'),"
        f" count(*) FILTER (WHERE {LIVE_SQL}), coalesce(sum(size) FILTER (WHERE status <> 'skipped'), 0)::bigint,"
        " coalesce(sum(bytes_done), 0)::bigint, coalesce(sum(bytes_wire), 0)::bigint, coalesce(sum(bytes_reused), 0)::bigint,"
        " count(*) FILTER (WHERE release = 'failed')"
        " FROM transfers WHERE run_id = %s",
        (run_id,),
    )
    assert row is not None  # noqa: S101  # for the type checker: an aggregate has one row
    return RunSums(*row)


def codes_of(tx: Transaction, run_id: int, count_max: int) -> list[tuple[str, int]]:
    """The codes that files of the run have, in order, and how many have each; counted up to ``count_max``."""
    return tx.all(
        "WITH RECURSIVE found (code) AS ("
        " (SELECT code FROM transfers WHERE run_id = %(run)s AND code <> '' ORDER BY code LIMIT 1)"
        " UNION ALL SELECT (SELECT t.code FROM transfers t WHERE t.run_id = %(run)s AND t.code <> '' AND t.code > f.code"
        " ORDER BY t.code LIMIT 1) FROM found f WHERE f.code IS NOT NULL)"
        " SELECT f.code, (SELECT count(*) FROM (SELECT 1 FROM transfers t WHERE t.run_id = %(run)s AND t.code = f.code AND t.code <> ''"
        " LIMIT %(most)s) counted) FROM found f WHERE f.code IS NOT NULL ORDER BY f.code",
        {"run": run_id, "most": count_max},
    )


def ask_to_cancel(tx: Transaction, transfer_id: int, asked_by: str) -> TransferRow | None:
    """Note that a person wants this live transfer to end; None when that was noted already.

    Raises NotFoundError, and ConflictError when it has ended. After the commit tell its run.
    """
    row = tx.one(f"SELECT {COLUMNS} FROM transfers WHERE id = %s FOR UPDATE", (transfer_id,))
    if row is None:
        raise NotFoundError(f"there is no transfer {transfer_id}")
    found = from_values(row)
    if TransferStatus(found.status).terminal:
        raise ConflictError(f"transfer {transfer_id} has ended already: {found.status}", code="transfer_ended")
    if found.cancelled_by is not None:
        return None
    by = exact_text(asked_by, "the user")
    tx.execute("UPDATE transfers SET cancelled_by = %s WHERE id = %s", (by, transfer_id))
    return replace(found, cancelled_by=by)


def revive(tx: Transaction, run_id: int, epoch: int, transfer_id: int) -> tuple[TransferRow, TransferRow] | None:
    """Make a failed or cancelled transfer of a live run pending again, under the run's lease: its row before and after.

    None when it has not ended that way, its name is what was wrong, or the caller is fenced off. Its part keeps its name, its attempts count on, its retries begin anew.
    """
    if tx.one("SELECT 1 FROM runs WHERE id = %s AND lease_epoch = %s FOR SHARE", (run_id, epoch)) is None:
        return None
    before = tx.one(
        f"SELECT {COLUMNS} FROM transfers WHERE id = %s AND run_id = %s AND status IN ('failed', 'cancelled')"
        " AND code NOT IN ('name_collision', 'bad_name') FOR UPDATE",
        (transfer_id, run_id),
    )
    if before is None:
        return None
    after = tx.one(
        "UPDATE transfers SET status = 'pending', reason = '', code = '', ended_at = NULL, cancelled_by = NULL,"
        f" retry_count = 0, bytes_done = 0, completed_chunks = 0 WHERE id = %s RETURNING {COLUMNS}",
        (transfer_id,),
    )
    assert after is not None  # noqa: S101  # for the type checker: the row is locked above
    return from_values(before), from_values(after)


def unfinished_after(tx: Transaction, run_id: int, after_id: int, limit: int) -> list[TransferRow]:
    """Transfers of the run that failed or were cancelled, by id, those after ``after_id`` (0 at first): what a retry takes over."""
    rows = tx.all(
        f"SELECT {COLUMNS} FROM transfers WHERE run_id = %s AND id > %s AND status IN ('failed', 'cancelled')"
        " ORDER BY id LIMIT %s",
        (run_id, after_id, page_size(limit)),
    )
    return [from_values(row) for row in rows]


def unfinished_parts(tx: Transaction, run_id: int, after_id: int = 0, limit: int = 1000) -> list[UnfinishedPart]:
    """Parts of begun transfers that failed or were cancelled, by id, those after ``after_id``: to be discarded."""
    rows = tx.all(
        f"SELECT {columns(UnfinishedPart)} FROM transfers WHERE run_id = %s AND id > %s"
        " AND status IN ('failed', 'cancelled') AND attempt > 0 ORDER BY id LIMIT %s",
        (run_id, after_id, page_size(limit)),
    )
    return [UnfinishedPart(row_id, bytes(path), optional_bytes(final), part) for row_id, path, final, part in rows]


def from_values(values: tuple[Any, ...]) -> TransferRow:
    """The row of what ``COLUMNS`` selected."""
    plain: list[Any] = [bytes(value) if type(value) is memoryview else value for value in values]
    return TransferRow(*plain)
