"""What a run stores and shows of itself: its sums, the row of each transfer, the events that go with them."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fileflux.actors import messages as a
from fileflux.actors.run_files import Held
from fileflux.bus import events
from fileflux.jobs.run import RunMachine
from fileflux.jobs.status import TransferStatus
from fileflux.jobs.transfer_state import State
from fileflux.protocol.compression import CODE_NAMES
from fileflux.storage.delivered import Delivered
from fileflux.storage.transfers import RunSums, TransferRow, TransferUpdate

SHOWN_MAX = 1000
"""Live transfers whose counters are shown at once."""


@dataclass(slots=True)
class Totals:
    """Bytes of the run: of all files, and of those that have ended."""

    total: int = 0
    done: int = 0
    wire: int = 0
    reused: int = 0

    def take(self, sums: RunSums) -> None:
        """Start from what the rows say."""
        self.done, self.wire, self.reused = sums.bytes_done, sums.bytes_wire, sums.bytes_reused

    def add(self, held: Held) -> None:
        """A transfer has ended."""
        self.done += held.bytes_done
        self.wire += held.bytes_wire
        self.reused += held.bytes_reused

    def count(self, ended: Iterable[Delivered]) -> None:
        """Files of a bundle have ended."""
        for end in ended:
            self.done += end.bytes_done
            self.wire += end.bytes_wire

    def take_back(self, row: TransferRow) -> None:
        """A transfer that had ended is taken up again."""
        self.done -= row.bytes_done
        self.wire -= row.bytes_wire
        self.reused -= row.bytes_reused


def run_changes(machine: RunMachine, totals: Totals) -> dict[str, Any]:
    """Columns of the run's row."""
    return {
        "status": machine.status.value,
        "reason": machine.reason,
        "files_done": machine.files_done,
        "files_failed": machine.files_failed,
        "files_skipped": machine.files_skipped,
        "bytes_done": totals.done,
        "bytes_wire": totals.wire,
        "bytes_reused": totals.reused,
    }


def transfer_update(held: Held, *, terminal: bool) -> TransferUpdate:
    """Columns of a transfer's row."""
    machine = held.machine
    completed = machine.status is TransferStatus.COMPLETED
    releases = completed and machine.spec.on_success != "keep"
    return TransferUpdate(
        held.row.id,
        status=machine.status.value,
        reason=machine.reason,
        code=machine.code,
        attempt=machine.attempt,
        retry_count=machine.retries,
        size=machine.size,
        mtime_ns=machine.mtime_ns,
        mode=machine.mode,
        final_path=os.fsencode(machine.final_path) if machine.final_path is not None else None,
        bytes_done=machine.size if completed else held.bytes_done,
        bytes_wire=held.bytes_wire,
        bytes_reused=held.bytes_reused,
        compression=CODE_NAMES[held.compression],
        total_chunks=machine.total_chunks,
        completed_chunks=machine.total_chunks if completed else held.chunks,
        file_hash=bytes.fromhex(machine.file_sha256) if machine.file_sha256 else None,
        source_identity=machine.identity if releases else None,
        release="due" if releases else None,
        started=True,
        ended=terminal,
    )


def transfer_event(update: TransferUpdate, run_id: int) -> events.Event:
    """What the bus hears when the row is stored."""
    if update.status == TransferStatus.COMPLETED:
        return events.TransferCompleted(update.id, run_id)
    if update.status == TransferStatus.FAILED:
        return events.TransferFailed(update.id, run_id, update.code or "")
    return events.TransferChanged(update.id, run_id, update.status)


def delivered_event(end: Delivered, run_id: int) -> events.Event:
    """As ``transfer_event``, of a file of a bundle."""
    return (
        events.TransferCompleted(end.id, run_id)
        if end.status == TransferStatus.COMPLETED.value
        else events.TransferChanged(end.id, run_id, end.status)
    )


def live_progress(machine: RunMachine, totals: Totals, held: Mapping[int, Held], *, all_listed: bool) -> a.LiveProgress:
    """Counters for display; neither yields nor changes anything."""
    open_now = [one for one in held.values() if one.machine.state is not State.ENDED]
    return a.LiveProgress(
        machine.status.value,
        machine.reason,
        machine.files_total if all_listed else None,
        machine.files_done,
        machine.files_failed,
        machine.files_skipped,
        totals.total,
        totals.done + sum(one.bytes_done for one in open_now),
        totals.wire + sum(one.bytes_wire for one in open_now),
        totals.reused + sum(one.bytes_reused for one in open_now),
        {
            one.row.id: a.LiveTransfer(
                one.machine.status.value,
                one.machine.reason,
                one.bytes_done,
                one.bytes_wire,
                one.bytes_reused,
                one.chunks,
            )
            for one in itertools.islice(open_now, SHOWN_MAX)
        },
    )
