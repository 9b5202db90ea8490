"""Rows of small files, written once: when their files have ended, or as pending when that takes too long.

A row is inserted with six entries of indexes and changed with six more, so writing it twice costs twice as much.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final, NamedTuple

from fileflux.errors import NotFoundError
from fileflux.jobs.status import TransferStatus
from fileflux.storage import arrays
from fileflux.storage.pool import Transaction
from fileflux.storage.transfers import NewTransfer, TransferRow, TransferUpdate
from fileflux.storage.values import safe_text, shown_name

_COMPLETED: Final = TransferStatus.COMPLETED.value
_PART_DIGITS: Final = 32
_INSERT: Final = (
    "INSERT INTO transfers (id, run_id, job_id, path, filename, kind, size, mtime_ns, mode, part, chunk_size, total_chunks,"
    " status, reason, attempt, final_path, bytes_done, bytes_wire, compression, completed_chunks, file_hash, started_at, ended_at)"
    " OVERRIDING SYSTEM VALUE"
    " SELECT id, %s, %s, path, filename, kind, size, mtime_ns, mode, part, chunk_size, 1,"
    " status, reason, attempt, final_path, bytes_done, bytes_wire, compression, completed_chunks, file_hash,"
    " statement_timestamp() - begun * interval '1 millisecond', statement_timestamp() - ended * interval '1 millisecond'"
    " FROM unnest(%s::bigint[], %s::bytea[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::int[], %s::text[], %s::bigint[],"
    " %s::text[], %s::text[], %s::int[], %s::bytea[], %s::bigint[], %s::bigint[], %s::text[], %s::int[], %s::bytea[],"
    " %s::bigint[], %s::bigint[])"
    " AS v (id, path, filename, kind, size, mtime_ns, mode, part, chunk_size,"
    " status, reason, attempt, final_path, bytes_done, bytes_wire, compression, completed_chunks, file_hash, begun, ended)"
    " ON CONFLICT DO NOTHING"
)


class Delivered(NamedTuple):
    """How a file of one chunk ended that was moved with others; times are those of a monotonic clock."""

    id: int
    status: str
    reason: str
    attempt: int
    final_path: bytes
    bytes_done: int
    bytes_wire: int
    compression: str
    file_hash: bytes | None
    begun: float
    ended: float

    def update(self) -> TransferUpdate:
        """The same for a row that stands already."""
        return TransferUpdate(
            self.id,
            status=self.status,
            reason=self.reason,
            code="",
            attempt=self.attempt,
            final_path=self.final_path,
            bytes_done=self.bytes_done,
            bytes_wire=self.bytes_wire,
            compression=self.compression,
            total_chunks=1,
            completed_chunks=1 if self.status == _COMPLETED else 0,
            file_hash=self.file_hash,
            started=True,
            ended=True,
        )


_PENDING: Final = Delivered(0, TransferStatus.PENDING.value, "", 0, b"", 0, 0, "", None, 0.0, 0.0)


def reserve(tx: Transaction, run_id: int, files: Sequence[NewTransfer]) -> list[TransferRow]:
    """The rows that pending files of one chunk each will have, by id; nothing is written. Raises NotFoundError for an unknown run."""
    found = tx.one(
        "SELECT job_id, array(SELECT nextval(pg_get_serial_sequence('transfers', 'id')) FROM generate_series(1, %s))"
        " FROM runs WHERE id = %s",
        (len(files), run_id),
    )
    if found is None:
        raise NotFoundError(f"there is no run {run_id}")
    job_id, ids = found
    digits = secrets.token_hex(_PART_DIGITS // 2 * len(files))
    parts = (digits[first : first + _PART_DIGITS] for first in range(0, len(digits), _PART_DIGITS))
    return [
        _row(row_id, run_id, job_id, file, part) for row_id, file, part in zip(sorted(ids), files, parts, strict=True)
    ]


def insert(
    tx: Transaction, run_id: int, epoch: int, rows: Sequence[tuple[TransferRow, Delivered | None]], now: float
) -> bool:
    """Write rows that ``reserve`` gave, with how their files ended, under the run's lease; False, and nothing written, without it.

    A path that the run has already is left as it is. ``now``: of the clock that ``Delivered`` was made with.
    """
    if tx.one("SELECT 1 FROM runs WHERE id = %s AND lease_epoch = %s FOR SHARE", (run_id, epoch)) is None:
        return False
    if not rows:
        return True
    files = [row for row, _ in rows]
    ends = [end or _PENDING for _, end in rows]
    tx.execute(
        _INSERT,
        (
            run_id,
            files[0].job_id,
            arrays.numbers(row.id for row in files),
            arrays.binaries(row.path for row in files),
            arrays.texts(row.filename for row in files),
            arrays.texts(row.kind for row in files),
            arrays.numbers(row.size for row in files),
            arrays.numbers(row.mtime_ns for row in files),
            arrays.numbers(row.mode for row in files),
            arrays.texts(row.part for row in files),
            arrays.numbers(row.chunk_size for row in files),
            arrays.texts(end.status for end in ends),
            arrays.texts(safe_text(end.reason) for end in ends),
            arrays.numbers(end.attempt for end in ends),
            arrays.binaries(None if end is _PENDING else end.final_path for end in ends),
            arrays.numbers(end.bytes_done for end in ends),
            arrays.numbers(end.bytes_wire for end in ends),
            arrays.texts(end.compression or None for end in ends),
            arrays.numbers(1 if end.status == _COMPLETED else 0 for end in ends),
            arrays.binaries(end.file_hash for end in ends),
            arrays.numbers(None if end is _PENDING else int((now - end.begun) * 1000) for end in ends),
            arrays.numbers(None if end is _PENDING else int((now - end.ended) * 1000) for end in ends),
        ),
    )
    return True


def _row(row_id: int, run_id: int, job_id: int, file: NewTransfer, part: str) -> TransferRow:
    return TransferRow(
        row_id,
        run_id,
        job_id,
        file.path,
        shown_name(file.path),
        file.kind,
        file.size,
        file.mtime_ns,
        file.mode,
        TransferStatus.PENDING.value,
        "",
        "",
        part,
        None,
        0,
        0,
        0,
        0,
        0,
        None,
        file.chunk_size,
        1,
        0,
        None,
        None,
        None,
    )
