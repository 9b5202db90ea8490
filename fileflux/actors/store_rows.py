"""What the persistence actor writes of a listing, now and later (unwritten.py), and before which messages the rest has to be there."""

from __future__ import annotations

from collections import Counter
from typing import Final

from fileflux.actors import messages as a
from fileflux.clock import Clock
from fileflux.jobs.status import RunStatus, TransferStatus
from fileflux.protocol.limits import BUNDLE_FILE_MAX
from fileflux.storage import delivered, directories, notices, run_names, transfers
from fileflux.storage.delivered import Delivered
from fileflux.storage.pool import Transaction

_PENDING: Final = TransferStatus.PENDING.value


def says_nothing_of_rows(message: a.PersistenceMessage) -> bool:
    """Whether it may be carried out before the rows that came before it are written."""
    match message:
        case a.SaveRun():
            status = message.changes.get("status")
            return "planned" not in message.changes and not (status and RunStatus(status).terminal)
        case a.StoreListing():
            return message.late
        case (
            a.SaveSeen() | a.SaveAgentInfo() | a.SaveAlert() | a.FetchSystem() | a.FetchAsked() | a.ClaimRuns() | a.RenewLeases()
        ):  # fmt: skip
            return True
        case _:
            return False


def insert(
    key: tuple[int, int], rows: list[tuple[transfers.TransferRow, Delivered | None]], clock: Clock, tx: Transaction
) -> bool:
    """Rows that were not written before; False without the lease. ``key``: run and epoch."""
    return delivered.insert(tx, *key, rows, clock.monotonic())


def update(key: tuple[int, int], updates: list[transfers.TransferUpdate], tx: Transaction) -> bool:
    """Rows that were written as pending; False without the lease."""
    return transfers.update_many(tx, *key, updates)


def store_listing(tx: Transaction, message: a.StoreListing) -> tuple[a.ListingStored, list[transfers.TransferRow]]:
    """What the run is told, and its rows that are to be written later."""
    directories.insert_many(tx, message.run_id, list(message.directories))
    files = run_names.apart(tx, message.run_id, message.files, message.directories, message.system, message.names)
    late = [file for file in files if _may_be_late(file)] if message.late else []
    now = [file for file in files if not _may_be_late(file)] if late else files
    rows = transfers.insert_many(tx, message.run_id, now) if now or not late else []
    notices.transfers_stored(tx, message.run_id, rows)
    reserved = delivered.reserve(tx, message.run_id, late) if late else []
    ended = Counter(row.status for row in rows)
    pending = sorted([row for row in rows if row.status == TransferStatus.PENDING] + reserved, key=lambda row: row.id)
    stored = a.ListingStored(
        len(rows) + len(reserved),
        ended[TransferStatus.SKIPPED],
        ended[TransferStatus.FAILED],
        tuple(pending),
        sum(row.size for row in rows if row.status != TransferStatus.SKIPPED) + sum(row.size for row in reserved),
    )
    return stored, reserved


def _may_be_late(file: transfers.NewTransfer) -> bool:
    """It will probably move with others, which nobody hears of before it has ended."""
    small = file.size <= BUNDLE_FILE_MAX and file.size <= file.chunk_size
    return small and file.kind == "file" and file.status == _PENDING
