"""Which events follow from what is stored of runs and transfers; called in the transaction that stores it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fileflux.jobs.status import RunStatus, TransferStatus
from fileflux.storage import outbox
from fileflux.storage.outbox import MANY, Event
from fileflux.storage.pool import Transaction
from fileflux.storage.transfers import TransferRow, TransferUpdate


def run_saved(tx: Transaction, run_id: int, changes: Mapping[str, Any]) -> None:
    """A run's row was changed: its first start and its end are events."""
    if "status" not in changes:
        return
    status = RunStatus(changes["status"])
    if status.terminal:
        outbox.add(tx, f"run.{status.value}", run_id=run_id)
    elif status not in (RunStatus.QUEUED, RunStatus.PAUSED):
        told = outbox.wanted_by(tx, "run.started")
        # Only the change that has just set it, in this transaction, is the start.
        if told and tx.one("SELECT 1 FROM runs WHERE id = %s AND started_at >= now()", (run_id,)):
            about = outbox.gather(tx, run_id=run_id)
            outbox.put(tx, outbox.chosen(told, about), [Event("run.started", about.data, run_id)])


def transfers_saved(tx: Transaction, run_id: int, updates: Sequence[TransferUpdate]) -> None:
    """Rows of the run's transfers were changed."""
    files_failed(tx, run_id, [one.id for one in updates if one.status == TransferStatus.FAILED])


def transfers_stored(tx: Transaction, run_id: int, rows: Sequence[TransferRow]) -> None:
    """A listing was stored: a name that the destination cannot hold has failed already."""
    files_failed(tx, run_id, [row.id for row in rows if row.status == TransferStatus.FAILED])


def files_failed(tx: Transaction, run_id: int, transfer_ids: Sequence[int]) -> None:
    """MANY events of a run, then one that says that there are more: a million failed files make no million messages."""
    told = outbox.wanted_by(tx, "file.failed") if transfer_ids else []
    if not told:
        return
    row = tx.one(
        "SELECT count(*) FROM (SELECT FROM notification_events WHERE run_id = %s AND type = 'file.failed' LIMIT %s) AS known",
        (run_id, MANY + 1),
    )
    room = MANY - (0 if row is None else row[0])
    if room < 0:
        return
    about = outbox.gather(tx, run_id=run_id)
    told = outbox.chosen(told, about)
    failed = tx.all(
        "SELECT id, filename, size, code, reason FROM transfers WHERE id = ANY(%s::bigint[]) AND run_id = %s AND status = 'failed'"
        " ORDER BY id LIMIT %s",
        (list(transfer_ids), run_id, room + 1),
    )
    run = {"id": run_id, "status": about.data.get("run", {}).get("status")}
    shared = {**about.data, "run": run}
    events = [
        Event(
            "file.failed",
            {**shared, "file": {"id": one, "name": name, "size": size, "code": code, "reason": reason}},
            run_id,
        )
        for one, name, size, code, reason in failed[:room]
    ]
    if len(failed) > room:
        events.append(Event("file.failed", {**shared, "more": True}, run_id))
    outbox.put(tx, told, events)
