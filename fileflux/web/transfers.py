"""Transfers: the files of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fileflux.errors import NotFoundError
from fileflux.jobs.status import TransferStatus
from fileflux.storage import runs
from fileflux.storage import transfers as rows
from fileflux.storage.lists import TRANSFERS
from fileflux.storage.pages import Ask
from fileflux.web import schemas
from fileflux.web.context import deps
from fileflux.web.paging import listed
from fileflux.web.resource import Resource
from fileflux.web.runs import percent

if TYPE_CHECKING:
    from fileflux.actors.messages import LiveTransfer

CODES_COUNTED = 10_000
"""Of one code at most, so that a million failed files do not have to be counted."""

transfers = Resource("transfers", "The files of runs.")


@transfers.route("GET", "/api/transfers", query=schemas.TransferQuery, returns=schemas.TransferPage)
def list_transfers(query: Ask) -> dict[str, Any]:
    """Transfers, newest first; by run, job, status or a part of the name."""
    with deps().database.transaction() as tx:
        found = TRANSFERS.page(tx, query)
    live = live_of(found.rows)
    return listed(query, found, lambda row: transfer_fields(row, live.get(row.id)))


@transfers.route("GET", "/api/runs/<id:run_id>/codes", returns=schemas.CodesOut)
def list_codes(run_id: int) -> dict[str, Any]:
    """The codes that files of a run ended with or wait for."""
    with deps().database.transaction() as tx:
        if runs.get(tx, run_id) is None:
            raise NotFoundError(f"there is no run {run_id}")
        found = rows.codes_of(tx, run_id, CODES_COUNTED)
    return {"items": [{"code": code, "count": count} for code, count in found]}


@transfers.route("GET", "/api/transfers/<id:transfer_id>", returns=schemas.TransferOut)
def show_transfer(transfer_id: int) -> dict[str, Any]:
    """One transfer."""
    with deps().database.transaction() as tx:
        row = rows.get(tx, transfer_id)
    if row is None:
        raise NotFoundError(f"there is no transfer {transfer_id}")
    return transfer_fields(row, live_of([row]).get(row.id))


def live_of(found: Sequence[rows.TransferRow]) -> Mapping[int, LiveTransfer]:
    """Newer counters, by transfer, of those whose runs are live."""
    open_runs = {row.run_id for row in found if not TransferStatus(row.status).terminal}
    live: dict[int, LiveTransfer] = {}
    for run_id in open_runs:
        progress = deps().live_runs.progress(run_id)
        if progress is not None:
            live.update(progress.transfers)
    return live


def transfer_fields(row: rows.TransferRow, live: LiveTransfer | None) -> dict[str, Any]:
    """A transfer as the API shows it."""
    newest: rows.TransferRow | LiveTransfer = row
    bottleneck = None
    if live is not None and not TransferStatus(row.status).terminal:
        newest, bottleneck = live, live.bottleneck
    status = TransferStatus(newest.status)
    return {
        "id": row.id,
        "run_id": row.run_id,
        "job_id": row.job_id,
        "filename": row.filename,
        "size": row.size,
        "status": status.value,
        "reason": newest.reason,
        "code": row.code,
        "bottleneck": bottleneck,
        "progress": percent(
            newest.bytes_done, row.size, whole=status in (TransferStatus.COMPLETED, TransferStatus.SKIPPED)
        ),
        "bytes_transferred": newest.bytes_wire,
        "bytes_reused": newest.bytes_reused,
        "compression": row.compression,
        "chunk_size": row.chunk_size,
        "total_chunks": row.total_chunks,
        "completed_chunks": newest.completed_chunks,
        "file_hash": None if row.file_hash is None else row.file_hash.hex(),
        "retry_count": row.retry_count,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
    }
