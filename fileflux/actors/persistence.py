"""The only writer of run and transfer state: keeps the order, writes in batches, obeys the fence.

Messages are carried out in the order in which they came. Consecutive ``SaveTransfer`` of one run are one statement. Rows of small files may be
written later (unwritten.py), but before anything that reads rows or says that all are there. While the database is away the actor waits and
tries again: nothing is dropped, and senders see a full mailbox when that lasts. A write that another owner's epoch forbids is answered with
``Fenced``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import structlog

from fileflux.actors import messages as a
from fileflux.actors import store_deletions, store_rows
from fileflux.actors.kernel import runtime
from fileflux.actors.kernel.actor import Actor
from fileflux.actors.kernel.ref import ActorRef
from fileflux.actors.unwritten import Batch, Unwritten
from fileflux.audit import log as audit
from fileflux.bus import events
from fileflux.bus.bus import Bus
from fileflux.bus.events import AlertRaised
from fileflux.clock import Clock, SystemClock
from fileflux.errors import UnavailableError
from fileflux.jobs.status import RunStatus, TransferStatus
from fileflux.metrics import Metrics
from fileflux.protocol.limits import Limits
from fileflux.protocol.systems import system_of
from fileflux.storage import (
    agents,
    alerts,
    directories,
    notices,
    releases,
    run_hubs,
    runs,
    tokens,
    transfers,
)
from fileflux.storage.pool import Database, Transaction

T = TypeVar("T")
log = structlog.get_logger("fileflux.persistence")

BATCH_MAX = 500
"""Transfers in one statement: 500 rows take about 10 ms, and the next batch gathers meanwhile."""
BATCH_SECONDS = 0.01
"""How long the first of a batch waits for company."""
ROWS_SECONDS = 0.1
"""How often it is looked whether rows are to be written that were not at once."""


class Persistence(Actor[a.PersistenceMessage]):
    mailbox_size = 50_000

    def __init__(
        self,
        database: Database,
        bus: Bus,
        limits: Limits,
        metrics: Metrics | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__()
        self._clock = clock or SystemClock()
        self._unwritten = Unwritten()
        self._rows_due = False
        self._metrics = metrics or Metrics()
        self._database = database
        self._bus = bus
        self._limits = limits
        self._transfers: list[a.SaveTransfer] = []
        self._audits: list[a.SaveAudit] = []
        self._flush_due = False

    def receive(self, message: a.PersistenceMessage) -> None:
        match message:
            case a.SaveTransfer():
                self._transfers.append(message)
                self._flush_soon(full=len(self._transfers) >= BATCH_MAX)
            case a.SaveAudit():
                self._audits.append(message)
                self._flush_soon(full=len(self._audits) >= BATCH_MAX)
            case a.SaveBundle():
                self._unwritten.save(message, self._clock.monotonic())
                self._rows_soon()
            case a.Tick(what="rows"):
                self._rows_due = False
                due = self._unwritten.take(self._clock.monotonic(), BATCH_MAX)
                self._write(due)
                if due:
                    # Behind what came meanwhile: a listing must not wait for rows that nobody asks for.
                    self._rows_due = True
                    self.ref.tell(a.Tick("rows"))
                self._rows_soon()
            case a.Tick():
                self._flush_due = False
                self._flush()
            case _:
                self._flush()
                if not store_rows.says_nothing_of_rows(message):
                    self._write(self._unwritten.take_all(getattr(message, "run_id", None)))
                self._act(message)

    def on_stop(self) -> None:
        self._write(self._unwritten.take_all(None), patient=False)
        self._flush(patient=False)

    def _flush_soon(self, *, full: bool) -> None:
        if full:
            self._flush()
        elif not self._flush_due:
            self._flush_due = True
            self.after(BATCH_SECONDS, a.Tick())

    def _flush(self, *, patient: bool = True) -> None:
        for run_id in {save.run_id for save in self._transfers}:
            # A file that moves alone may have a row that is not there yet.
            self._write(self._unwritten.take_all(run_id), patient=patient)
        saves, self._transfers = self._transfers, []
        audits, self._audits = self._audits, []
        if not saves and not audits:
            return
        by_run: dict[tuple[int, int], list[a.SaveTransfer]] = {}
        for save in saves:
            by_run.setdefault((save.run_id, save.epoch), []).append(save)

        def write(tx: Transaction) -> set[tuple[int, int]]:
            fenced = set()
            for (run_id, epoch), batch in by_run.items():
                latest = {save.update.id: save.update for save in batch}
                if not transfers.update_many(tx, run_id, epoch, list(latest.values())):
                    fenced.add((run_id, epoch))
                    continue
                notices.transfers_saved(tx, run_id, list(latest.values()))
            if audits:
                audit.append_many(
                    tx, [audit.NewEntry(e.actor, e.action, e.object, e.outcome, e.detail) for e in audits]
                )
            return fenced

        fenced = self._transact(write, patient=patient)
        for key, batch in by_run.items():
            for save in batch:
                if key in fenced:
                    save.owner.tell(a.Fenced())
                    continue
                if save.update.ended:
                    self._metrics.transfers_ended.inc(save.update.status)
                if save.event is not None:
                    self._bus.publish(save.event)
                if save.confirm:
                    save.owner.tell_control(a.Stored(save.update.id))

    def _rows_soon(self) -> None:
        if self._unwritten.full:
            self._write(self._unwritten.take_all(None))
        if self._unwritten and not self._rows_due:
            self._rows_due = True
            self.after(ROWS_SECONDS, a.Tick("rows"))

    def _write(self, batches: Mapping[tuple[int, int], Batch], *, patient: bool = True) -> None:
        for key, batch in batches.items():
            if not self._write_batch(key, batch, patient=patient):
                self._unwritten.forget(key)
                if batch.owner is not None:
                    batch.owner.tell(a.Fenced())
                continue
            for save in batch.saves:
                for event in save.events:
                    self._bus.publish(event)
                for status, count in Counter(end.status for end in save.ended).items():
                    self._metrics.transfers_ended.inc(status, count)
                save.owner.tell_control(a.Stored(save.ended[-1].id))

    def _write_batch(self, key: tuple[int, int], batch: Batch, *, patient: bool) -> bool:
        """A statement for BATCH_MAX rows at most, since the loop is held while one is put together; False if the lease is lost."""
        for first in range(0, len(batch.new), BATCH_MAX):
            rows = batch.new[first : first + BATCH_MAX]
            if not self._transact(partial(store_rows.insert, key, rows, self._clock), patient=patient):
                return False
        for first in range(0, len(batch.known), BATCH_MAX):
            updates = [end.update() for end in batch.known[first : first + BATCH_MAX]]
            if not self._transact(partial(store_rows.update, key, updates), patient=patient):
                return False
        return True

    def _act(self, message: a.PersistenceMessage) -> None:
        match message:
            case a.SaveRun():
                changed = self._transact(lambda tx: _save_run(tx, message))
                if not changed:
                    message.owner.tell(a.Fenced())
                    return
                status = dict(message.changes).get("status")
                if status is not None and RunStatus(status).terminal:
                    self._metrics.runs_ended.inc(status)
                if message.event is not None:
                    self._bus.publish(message.event)
            case a.StoreListing():
                stored, late = self._transact(lambda tx: store_rows.store_listing(tx, message))
                if late:
                    key = (message.run_id, message.epoch)
                    self._unwritten.add(key, message.owner, late, self._clock.monotonic())
                    self._rows_soon()
                self._metrics.transfers_ended.inc(TransferStatus.SKIPPED.value, stored.new_skipped)
                self._metrics.transfers_ended.inc(TransferStatus.FAILED.value, stored.new_failed)
                self._tell(message.owner, stored)
            case a.FetchPending():
                rows = self._transact(
                    lambda tx: transfers.pending_after(tx, message.run_id, message.after_id, message.limit)
                )
                self._tell(message.owner, a.PendingRows(tuple(rows)))
            case a.FetchSums():
                self._tell(message.owner, a.Sums(self._transact(lambda tx: transfers.sums(tx, message.run_id))))
            case a.FetchSystem():
                self._tell(message.owner, self._transact(lambda tx: _system(tx, message)))
            case a.FetchReleases():
                waiting = self._transact(lambda tx: releases.due(tx, message.run_id, message.limit))
                self._tell(message.owner, a.DueReleases(tuple(waiting)))
            case a.SaveReleased():
                if not self._transact(lambda tx: releases.settle(tx, message.run_id, message.epoch, message.answers)):
                    self._tell(message.owner, a.Fenced())
                    return
                for answer in message.answers:
                    if answer.problem:
                        status = TransferStatus.COMPLETED.value
                        self._bus.publish(events.TransferChanged(answer.id, message.run_id, status))
            case a.GiveUpReleases():
                if not self._transact(lambda tx: releases.give_up(tx, message.run_id, message.epoch, message.problem)):
                    self._tell(message.owner, a.Fenced())
            case a.FetchDirectories():
                found = self._transact(lambda tx: directories.pending(tx, message.run_id, message.limit))
                self._tell(message.owner, a.PendingDirectories(tuple(found)))
            case a.DirectoriesDone():
                self._transact(lambda tx: directories.mark_done(tx, message.run_id, message.paths))
            case a.FetchAsked():
                wanted, asked_by = self._transact(lambda tx: runs.asked(tx, message.run_id))
                self._tell(message.owner, a.Asked(wanted, asked_by, message.reply))
            case a.Revive():
                revived = self._transact(lambda tx: _revive(tx, message))
                if revived is not None:
                    row = revived[1]
                    self._bus.publish(events.TransferChanged(row.id, row.run_id, row.status))
                self._tell(message.owner, a.Revived(revived, message.reply))
            case a.TakeOverRows():
                self._tell(message.owner, self._transact(lambda tx: _take_over(tx, message)))
            case a.FetchPartsLeft():
                left = self._transact(lambda tx: runs.with_parts_left(tx, message.limit))
                self._tell(message.owner, a.PartsLeft(tuple(left)))
            case a.FetchParts():
                parts = self._transact(
                    lambda tx: transfers.unfinished_parts(tx, message.run_id, message.after_id, message.limit)
                )
                self._tell(message.owner, a.Parts(message.run_id, tuple(parts)))
            case a.PartsSwept():
                self._transact(lambda tx: runs.parts_swept(tx, message.run_id))
            case a.ClaimRuns():
                self._tell(message.reply_to, a.ClaimedRuns(self._claim(message), message))
            case a.RenewLeases():
                self._tell(message.reply_to, self._transact(lambda tx: _renew(tx, message)))
            case a.ReleaseLeases():
                self._transact(lambda tx: runs.release(tx, message.owner_id))
            case a.BeginDeletions() | a.StoreExtras() | a.FetchDeletions() | a.SaveDeletions():
                self._tell(message.owner, store_deletions.store(message, self._transact))
            case a.SaveAgentInfo():
                self._transact(lambda tx: agents.save_info(tx, message.agent_id, dict(message.info)))
                self._bus.publish(events.AgentChanged(message.agent_id))
                message.receipt.done()
            case a.SaveSeen():
                self._transact(lambda tx: _store_seen(tx, message))
            case a.SaveAlert():
                alert = self._transact(lambda tx: _store_alert(tx, message))
                self._bus.publish(AlertRaised(alert.id, alert.kind, alert.message))
            case _:
                raise AssertionError(f"no handler for {type(message).__name__}")

    def _claim(self, message: a.ClaimRuns) -> tuple[runs.RunRow, ...]:
        def claim(tx: Transaction) -> tuple[runs.RunRow, ...]:
            if message.own_after is not None:
                return tuple(runs.claim_own(tx, message.owner_id, message.own_after, message.lease_s))
            return tuple(
                runs.claim(tx, message.owner_id, message.lease_s, run_ids=message.run_ids, behind=message.behind)
            )

        claimed = self._transact(claim)
        for row in claimed:
            self._bus.publish(events.RunStarted(row.id))
        return claimed

    def _transact(self, work: Callable[[Transaction], T], *, patient: bool = True) -> T:
        waited = False
        while True:
            try:
                with self._database.transaction() as tx:
                    value = work(tx)
            except UnavailableError as error:
                if not patient:
                    raise
                if not waited:
                    log.warning("waiting for the database", error=error.message)
                waited = True
                runtime.sleep(self._limits.database_retry)
                continue
            if waited:
                log.info("the database is back")
            return value

    def _tell(self, ref: ActorRef[Any], message: Any) -> None:
        # Answers go by the control lane: the asker waits for this one thing, its full mailbox must not lose it.
        ref.tell_control(message)


def _save_run(tx: Transaction, message: a.SaveRun) -> bool:
    changes = dict(message.changes)
    if not runs.update(tx, message.run_id, message.epoch, **changes):
        return False
    notices.run_saved(tx, message.run_id, changes)
    return True


def _system(tx: Transaction, message: a.FetchSystem) -> a.SystemKnown:
    both = [agents.get(tx, agent_id) for agent_id in {message.agent_id, message.source_id}]
    rows = {row.id: row for row in both if row is not None}
    destination = rows.get(message.agent_id)
    system = system_of(str(destination.info.get("os", "")) if destination else "")
    return a.SystemKnown(system, {row.id: row.name for row in rows.values()})


def _renew(tx: Transaction, message: a.RenewLeases) -> a.LeasesHeld:
    run_hubs.hand_over(tx, message.owner_id)
    held = runs.renew(tx, message.owner_id, message.lease_s)
    return a.LeasesHeld(dict(held), message, run_hubs.elsewhere(tx, message.owner_id))


def _store_seen(tx: Transaction, message: a.SaveSeen) -> None:
    agents.seen(tx, message.agent_ids)
    tokens.used(tx, message.token_ids)


def _store_alert(tx: Transaction, message: a.SaveAlert) -> alerts.AlertRow:
    entry = message.audit
    audit.append(tx, entry.actor, entry.action, entry.object, entry.outcome, entry.detail)
    return alerts.raise_alert(tx, message.kind, message.object, message.message)


def _revive(tx: Transaction, message: a.Revive) -> tuple[transfers.TransferRow, transfers.TransferRow] | None:
    rows = transfers.revive(tx, message.run_id, message.epoch, message.transfer_id)
    if rows is not None:
        detail = {"run_id": message.run_id, "was": rows[0].status}
        audit.append(tx, message.asked_by, "transfer.resume", f"transfer:{message.transfer_id}", "ok", detail)
    return rows


def _ended(row: transfers.TransferRow) -> tuple[str, str, str]:
    """Status, reason and code in a retry: a name that was wrong is wrong again, and its rival may have arrived."""
    if row.code in ("name_collision", "bad_name"):
        return TransferStatus.FAILED.value, row.reason, row.code
    return TransferStatus.PENDING.value, "", ""


def _take_over(tx: Transaction, message: a.TakeOverRows) -> a.RowsTakenOver:
    """The rows first, each batch with the directories above them, then the directories that the earlier run did not get to."""
    rows = transfers.unfinished_after(tx, message.from_run, message.after, message.limit)
    if rows:
        directories.copy_above(tx, message.run_id, message.from_run, [row.path for row in rows])
        new = transfers.insert_many(
            tx,
            message.run_id,
            [
                transfers.NewTransfer(
                    row.path, row.size, row.mtime_ns, row.mode, row.chunk_size, row.kind, *_ended(row)
                )
                for row in rows
            ],
        )
        return a.RowsTakenOver(len(new), rows[-1].id, message.after_directory, last=False)
    key = directories.copy_undone(tx, message.run_id, message.from_run, message.after_directory, message.limit)
    return a.RowsTakenOver(0, message.after, key or b"", last=key is None)
