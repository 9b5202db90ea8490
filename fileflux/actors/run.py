"""One live run: feeds the run machine, its listing and its transfers, and carries out what they ask for.

After a crash of the actor or of the whole hub a run is rebuilt from its rows: transfers that have not ended get new attempts, and a listing
that was not complete is made again (rows that exist already are left alone). What people ask of it stands in its row before the actor hears
of it, and is read from there.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from fileflux.actors import messages as a
from fileflux.actors.kernel.actor import Actor
from fileflux.actors.kernel.ref import ActorRef, Reply
from fileflux.actors.live_limits import Ends, LiveLimits
from fileflux.actors.run_abilities import lacking
from fileflux.actors.run_agents import Agents
from fileflux.actors.run_directories import FETCH_DIRECTORIES, Directories
from fileflux.actors.run_extras import Extras
from fileflux.actors.run_files import HELD_MAX, Files, Held
from fileflux.actors.run_intake import Intake
from fileflux.actors.run_parts import discards
from fileflux.actors.run_record import (
    Totals,
    delivered_event,
    live_progress,
    run_changes,
    transfer_event,
    transfer_update,
)
from fileflux.actors.run_releases import Releases
from fileflux.actors.unwritten import PENDING_SECONDS
from fileflux.bus import events
from fileflux.clock import Clock
from fileflux.errors import ConflictError, RemoteProtocolError
from fileflux.jobs.bundle import may_be_bundled
from fileflux.jobs.models import JobSpec
from fileflux.jobs.run import RunMachine
from fileflux.jobs.status import RunStatus, TransferStatus
from fileflux.protocol import messages as m
from fileflux.protocol.limits import Limits
from fileflux.storage.delivered import Delivered
from fileflux.storage.runs import RunRow
from fileflux.storage.transfers import RunSums, TransferRow, TransferUpdate

log = structlog.get_logger("fileflux.run")

FETCH_ROWS = 500
LOGGED_FAILURES = 100
"""Of one run: a share that is gone fails every file of it; the rows tell of the others."""
QUEUE_LOW = 250
"""Fewer rows than this in the queue: fetch more, list more."""


@dataclass(frozen=True, slots=True)
class RunDeps:
    """Who a run works with. ``ids`` gives wire ids and request ids, never twice in the life of the process."""

    hub: ActorRef[a.ConnectionHubMessage]
    relay: ActorRef[a.RelayMessage]
    persistence: ActorRef[a.PersistenceMessage]
    runs: ActorRef[a.RunsMessage] | None
    live: dict[int, Run]
    ids: itertools.count[int]
    limits: Limits
    clock: Clock
    bandwidth: LiveLimits = field(default_factory=LiveLimits)


class Run(Actor[a.RunMessage]):
    """Drives one run to its terminal status, then stops."""

    mailbox_size = 20_000

    def __init__(self, row: RunRow, deps: RunDeps, *, adopted: bool, again: bool = False) -> None:
        """``adopted``: an earlier process may have begun it; ``again``: an earlier actor of this process has."""
        super().__init__()
        self._row = row
        self._deps = deps
        self._spec = JobSpec.from_json(row.spec)
        self._machine = RunMachine()
        if row.status == RunStatus.PAUSED:
            self._machine.pause(row.reason)
        self._files = Files(self._spec, row.job_id or 0, row.id, self)
        self._intake = Intake(row, self._spec, deps.limits, deps.persistence, deps.ids)
        self._agents = Agents(self._spec)
        # A run whose job is gone is under a limit of its own.
        self.ends = Ends(row.job_id or -row.id, self._spec.source_agent_id, self._spec.destination_agent_id)
        self._job = a.JobLimits(self._spec.bandwidth_limit, self._spec.priority, self._spec.parallel)
        self._last_row_id = 0
        # A run of a watch, and a retry, begin with rows or with a plan; any other has none before its listing.
        self._more_rows = adopted or again or row.plan is not None
        self._fetching = False
        self._adopted = adopted or again
        # Files are not moved before the plan is stored.
        self._begun_before = again or (adopted and row.plan is not None)
        self._sums: RunSums | None = None
        self._deciding: Callable[[], None] | None = None
        self._early_end: tuple[RunStatus, str] | None = None
        self._directories = Directories(self._spec)
        self._releases = Releases(row, self._spec, deps.limits, deps.persistence, deps.ids, adopted=self._adopted)
        self._machine.release_word = self._releases.word
        self._extras = Extras(row, self._spec, deps.limits, deps.persistence, deps.ids)
        self._system_known = False
        self._waiters: list[Reply[bool]] = []
        self._finished = False
        self._totals = Totals()
        self._asked_known = False
        self._reviving = 0
        self._cancelled_in_flight: set[int] = set()
        self._discards_in_doubt = HELD_MAX
        self._parts_left = False
        self._planned: dict[str, Any] = {}
        """What is to be stored of a listing that is complete."""

    def on_start(self) -> None:
        structlog.contextvars.bind_contextvars(run_id=self._row.id)
        self._deps.live[self._row.id] = self
        self._files.plan = self._intake.stored_plan()
        self._machine.listing_errors = self._intake.listing.errors
        self._deps.persistence.tell_control(a.FetchAsked(self._row.id, self.ref))
        self._deps.persistence.tell(a.FetchSums(self._row.id, self.ref))
        self._deps.persistence.tell(
            a.FetchSystem(self._spec.destination_agent_id, self._spec.source_agent_id, self.ref)
        )
        self._deps.hub.tell(a.Watch(self._agents.ids, self.ref))
        self.after(max(1.0, self._row.seconds_to_deadline), a.Tick("deadline"))
        self.after(self._silence_check_every, a.Tick("silence"))

    def on_stop(self) -> None:
        self._deps.hub.tell_control(a.Unwatch(self.ref))
        if self._deps.live.get(self._row.id) is self:
            del self._deps.live[self._row.id]
        for reply in self._waiters:
            reply.send(value=True)
        for held in self._files.held.values():
            if held.machine.wire_id:
                self._deps.relay.tell_control(a.CloseAttempt(held.machine.wire_id))
        self._files.bundles.close()

    def receive(self, message: a.RunMessage) -> None:
        match message:
            case a.TransferSaid():
                self._said(message)
            case a.RouteMoved():
                self._files.moved(message)
            case a.RouteStarted():
                self._files.started(message)
            case a.RouteFailed():
                self._files.failed(message)
            case a.Stored():
                self._files.stored(message.token)
                self._releases.look()
            case a.AgentUp():
                self._agent_up(message)
            case a.AgentDown():
                self._agent_down(message)
            case a.Answered():
                self._answered(message)
            case a.ListingStored():
                self._listing_stored(message)
            case a.PendingRows():
                self._rows_arrived(message)
            case a.PendingDirectories():
                self._directories_arrived(message)
            case a.Sums():
                self._sums_arrived(message)
            case a.DueReleases():
                self._due_releases(message)
            case a.DeletionsBegun() | a.ExtrasStored() | a.DueDeletions() | a.DeletionsSaved():
                self._extras_stored(message)
            case a.AgentElsewhere():
                self._agents.elsewhere(message.agent_id)
            case a.SystemKnown():
                self._system_arrived(message)
            case a.JobLimits():
                self._job, self._files.parallel = message, message.parallel
            case a.LookAgain():
                self._deps.persistence.tell_control(a.FetchAsked(self._row.id, self.ref, message.reply))
            case a.Asked():
                self._asked(message)
            case a.CancelOne():
                self._cancel_one(message)
            case a.ReviveOne():
                self._revive_one(message)
            case a.Revived():
                self._revived(message)
            case a.RowsTakenOver():
                self._rows_taken_over(message)
            case a.AwaitRows():
                self._waiters.append(message.reply)
            case a.Fenced():
                log.warning("another hub has this run, or it has ended: stopping here")
                self._leave()
                return
            case a.Tick():
                self._tick(message.what)
        self._advance()

    def live(self) -> a.LiveProgress:
        """Counters for display; neither yields nor changes anything, so any greenlet may call it."""
        known = self._intake.finished and self._sums is not None
        progress = live_progress(self._machine, self._totals, self._files.held, all_listed=known)
        if self._machine.paused:
            return progress
        wire_ids = {row_id: held.machine.wire_id for row_id, held in self._files.held.items() if held.begun}
        return self._deps.bandwidth.laid_over(progress, self.ends, self._job, wire_ids)

    def wire_id(self, transfer_id: int) -> int:
        """Of the transfer's present attempt, 0 if it has none; for any greenlet, like ``live``."""
        held = self._files.held.get(transfer_id)
        return held.machine.wire_id if held is not None and held.begun else 0

    # Agents

    def _agent_up(self, message: a.AgentUp) -> None:
        same = self._agents.up(message)
        self._files.agents_back()
        self._intake.heard(self.now())
        self._releases.heard(self.now())
        self._extras.heard(self.now())
        for role in self._agents.roles(message.agent_id):
            if same:
                self._files.each(lambda machine, role=role: machine.link_changed(role))  # type: ignore[misc]  # bound now
                self._files.bundles.link_changed(role)
            else:
                self._session_lost(role)

    def _agent_down(self, message: a.AgentDown) -> None:
        reason = self._agents.down(message)
        if message.lost:
            for role in self._agents.roles(message.agent_id):
                self._session_lost(role)
        if self._machine.paused:
            return
        for held in self._files.held.values():
            held.machine.waiting(reason)

    def _session_lost(self, role: m.Role) -> None:
        self._files.each(lambda machine: machine.session_lost(role))
        self._files.bundles.give_up("agent_restarted", committed=True)
        if role == self._intake.role:
            self._intake.restart()
        if role == "destination":
            self._directories.lost()
            self._extras.lost()
        else:
            self._releases.lost()
        if self._machine.paused:
            self._files.explain(self._machine.reason)

    # One step after every message

    def _advance(self) -> None:
        if self._finished or self._sums is None or self._deciding is not None or not self._agents.both_known:
            return
        if not self._asked_known or not self._system_known:
            return
        if self._early_end is not None:
            self._advance_stopping()
            return
        if self._machine.paused:
            self._answer_waiters()
            return
        missing = self._agents.missing(only_destination=self._all_files_ended())
        if self._machine.agents(missing):
            self._save_run()
        if missing is not None:
            self._answer_waiters()
            return
        unable = lacking(self._spec, self._agents)
        if unable is not None:
            self._stop_early(RunStatus.FAILED, unable)
            self._advance_stopping()
            return
        if len(self._files.queue) <= QUEUE_LOW:
            self._intake.ask(self._agents.port(self._intake.role), self.ref, self.now())
        self._fetch_on()
        if self._files.plan is not None:
            self._files.dispatch()
            self._releases.fetch(self.ref)
        if self._all_files_ended() and self._machine.files_finished():
            self._save_run()
        if self._machine.files_over and not self._directories.due:
            self._remove_extras()
        if self._directories.due and self._directories.request_id == 0:
            self._directories.request_id = next(self._deps.ids)
            self._deps.persistence.tell(a.FetchDirectories(self._row.id, FETCH_DIRECTORIES, self.ref))

    def _all_files_ended(self) -> bool:
        fetched = not self._intake.storing and not self._more_rows and self._reviving == 0
        return self._intake.finished and fetched and self._files.idle and not self._releases.pending

    def _fetch_on(self) -> None:
        if (
            self._more_rows
            and not self._fetching
            and len(self._files.queue) <= QUEUE_LOW
            and self._files.plan is not None
        ):
            self._fetching = True
            self._deps.persistence.tell(a.FetchPending(self._row.id, self._last_row_id, FETCH_ROWS, self.ref))

    # Answers

    def _answered(self, message: a.Answered) -> None:
        match message.message:
            case m.ListResult() as result:
                self._page_arrived(result, message.receipt)
            case m.DirApplied() as result:
                message.receipt.done()
                self._directories_applied(result)
            case m.TransferReleased() as result:
                message.receipt.done()
                self._releases.answered(result, self.ref)
            case m.PathsDeleted() as result:
                message.receipt.done()
                self._extras.removed(result, self.ref)
            case _:
                message.receipt.done()

    def _page_arrived(self, result: m.ListResult, receipt: a.Receipt) -> None:
        receipt.done()
        if self._extras.listed(result, self.ref):
            return
        try:
            rows = self._intake.take(result)
        except FileNotFoundError as error:
            self._stop_early(RunStatus.FAILED, str(error))
            return
        except RemoteProtocolError as error:
            self._stop_early(RunStatus.FAILED, f"the source agent's listing cannot be believed: {error.message}")
            return
        if rows is None:
            return
        listing = self._intake.listing
        self._machine.listing_errors = listing.errors
        if listing.plan is None:
            return
        if self._files.plan is None:
            self._files.plan = listing.plan
            self._save({"plan": self._intake.to_store(listing.plan)})
        self._intake.store(
            *rows, self.ref, late=not self._begun_before and listing.plan.landing == "below" and self.may_bundle()
        )

    def _listing_stored(self, message: a.ListingStored) -> None:
        self._intake.storing -= 1
        if message.rows is not None and not (self._more_rows or self._fetching or self._early_end):
            # All that stood before is here, so these need not be read again.
            self._take_rows(message.rows)
        else:
            self._more_rows = True
        self._machine.files_total += message.new_rows
        self._machine.files_skipped += message.new_skipped
        self._machine.files_failed += message.new_failed
        self._totals.total += message.new_bytes
        if self._intake.finished and not self._intake.late:
            self._deps.persistence.tell(a.FetchSums(self._row.id, self.ref))
        elif self._intake.finished and not self._intake.storing:
            self._all_listed(self._machine.files_total, self._totals.total)
        self._answer_waiters()

    def _all_listed(self, files: int, size: int) -> None:
        if self._machine.listed:
            return
        self._machine.all_listed()
        self._planned = {"planned": True, "files_total": files, "bytes_total": size}
        if self._files.plan is not None and self._intake.listing.errors:
            # A retry, and a hub that takes over, must know that rows are missing.
            self._planned["plan"] = self._intake.to_store(self._files.plan)
        if self._intake.late:
            # All rows have to be there then, and those of files that are about to end are better written once.
            self.after(PENDING_SECONDS, a.Tick("planned"))
        else:
            self._save_planned()

    def _save_planned(self) -> None:
        planned, self._planned = self._planned, {}
        if planned:
            self._save(planned)

    def _sums_arrived(self, message: a.Sums) -> None:
        machine, sums = self._machine, message.sums
        first = self._sums is None
        self._sums = sums
        self._totals.total = sums.bytes_total
        machine.files_total = sums.total
        if first or self._deciding is not None:
            machine.files_done, machine.files_failed = sums.completed, sums.failed
            machine.files_skipped, machine.files_cancelled = sums.skipped, sums.cancelled
            machine.files_unreleased = sums.unreleased
            self._totals.take(sums)
        if self._deciding is not None:
            self._deciding()
            self._leave_with_result()
        elif self._intake.finished:
            self._all_listed(sums.total, sums.bytes_total)

    def _rows_arrived(self, message: a.PendingRows) -> None:
        self._fetching = False
        self._more_rows = len(message.rows) == FETCH_ROWS
        self._take_rows(message.rows)

    def _take_rows(self, found: tuple[TransferRow, ...]) -> None:
        if found:
            self._last_row_id = found[-1].id
        gone, self._cancelled_in_flight = self._cancelled_in_flight, set()
        gone |= self._files.held.keys() | self._files.bundles.row_ids()
        rows = [row for row in found if row.id not in gone]
        for row in rows:
            if row.cancelled_by is not None:
                self.cancel_row(row, f"cancelled by {row.cancelled_by}")
        # Any row may have been begun before then, also one that was not written.
        self._files.add(tuple(row for row in rows if row.cancelled_by is None), adopted=self._begun_before)

    def _said(self, message: a.TransferSaid) -> None:
        try:
            self._files.said(message)
        except RemoteProtocolError as error:
            message.receipt.done()
            port = self._agents.port(message.role)
            if port is not None:
                port.post(a.Violation(None, error.code, error.message, error.close))

    # What becomes of the source's files

    def _due_releases(self, message: a.DueReleases) -> None:
        if self._files.plan is not None:
            here = self._agents.here("source") and not self._machine.paused
            port = self._agents.port("source") if here else None
            self._releases.arrived(message.rows, port, self._files.plan.base, self.ref, self.now())

    def _system_arrived(self, message: a.SystemKnown) -> None:
        self._system_known = True
        self._agents.names.update(message.names)
        # A run that was begun goes on with the names that it began with.
        system = self._files.plan.system if self._files.plan is not None else message.system
        self._intake.listing.system = self._directories.system = system

    # What the source has not

    def _remove_extras(self) -> None:
        plan = self._files.plan
        if plan is None or self._extras.over:
            self._extras_looked_at()
            return
        port = self._agents.port("destination")
        self._extras.go_on(self._machine, plan, port, self.ref, self.now())
        if self._machine.doing(self._extras.doing):
            self._save_status()
        self._extras_looked_at()

    def _extras_looked_at(self) -> None:
        """Directories come next once nothing is left to remove."""
        extras = self._extras
        if not extras.over and self._files.plan is not None:
            return
        self._machine.extras_kept, self._machine.extras_refused = extras.failed, extras.refusal
        self._directories.due = True
        if self._spec.delete_extra:
            self._save({"files_deleted": extras.deleted, "delete_errors": extras.failed})

    def _extras_stored(self, message: a.ExtrasMessage) -> None:
        match message:
            case a.DeletionsBegun():
                self._extras.begun()
            case a.ExtrasStored():
                self._extras.stored(last=message.last)
            case a.DueDeletions():
                port = None if self._machine.paused else self._agents.port("destination")
                self._extras.due(message.rows, message.counts, port, self.ref, self.now())
            case a.DeletionsSaved():
                self._extras.settled()

    # Directories

    def _directories_arrived(self, message: a.PendingDirectories) -> None:
        if not self._directories.due:
            return
        if self._machine.paused:
            self._directories.lost()
            return
        one_file = self._files.plan is not None and self._files.plan.path_type == "file"
        if self._directories.all_done(message.rows, one_file=one_file):
            self._decide(self._finish)
            return
        port = self._agents.port("destination")
        if port is None:
            self._directories.lost()
            return
        port.post(a.Post(self._directories.request(message.rows), reply_to=self.ref))

    def _directories_applied(self, result: m.DirApplied) -> None:
        done = self._directories.applied(result)
        if done is not None:
            self._deps.persistence.tell(a.DirectoriesDone(self._row.id, done))

    # What people ask

    def _asked(self, message: a.Asked) -> None:
        self._asked_known = True
        match message.wanted:
            case "cancel":
                self._stop_early(RunStatus.CANCELLED, f"cancelled by {message.asked_by}")
            case "pause":
                self._pause(f"paused by {message.asked_by}")
            case _:
                self._go_on()
        if message.reply is not None:
            message.reply.send(value=True)

    def _pause(self, reason: str) -> None:
        """Take everything back: the agents close what they have open for this run, parts stay. Commits are let to their end."""
        if self._deciding is not None or self._early_end is not None or not self._machine.pause(reason):
            return
        self._files.pause(reason)
        self._intake.cancel(self._agents.port(self._intake.role))
        self._intake.restart()
        self._save_status()

    def _go_on(self) -> None:
        if self._machine.resume():
            self._files.explain("waits for its turn")
            self._save_status()

    def _cancel_one(self, message: a.CancelOne) -> None:
        row, reason = message.row, f"cancelled by {message.asked_by}"
        known = self._files.cancel(row, reason)
        if known is None or self._early_end is not None:
            return
        if self._fetching or self._intake.storing:
            # The answer that is on its way may have it.
            self._cancelled_in_flight.add(row.id)
        self.cancel_row(known, reason)

    def _revive_one(self, message: a.ReviveOne) -> None:
        if self._finished or self._deciding is not None or self._early_end is not None or self._machine.files_over:
            error = ConflictError(f"run {self._row.id} is ending: retry the run when it has ended", code="run_ended")
            message.reply.fail(error)
            return
        self._reviving += 1
        row = self._row
        self._deps.persistence.tell(
            a.Revive(row.id, row.lease_epoch, message.transfer_id, message.asked_by, self.ref, message.reply)
        )

    def _revived(self, message: a.Revived) -> None:
        self._reviving -= 1
        if message.rows is None:
            message.reply.fail(
                ConflictError("this transfer has not failed and was not cancelled", code="transfer_live")
            )
            return
        before, after = message.rows
        self._machine.file_revived(TransferStatus(before.status))
        self._totals.take_back(before)
        if after.id <= self._last_row_id:
            self._files.add((after,), adopted=False)
        else:
            self._more_rows = True
        message.reply.send(value=True)

    def _rows_taken_over(self, message: a.RowsTakenOver) -> None:
        """A retry has the rows of the run before it in the place of a listing."""
        self._intake.took_over(message)
        self._listing_stored(a.ListingStored(message.new_rows, 0))

    # Endings

    def _stop_early(self, status: RunStatus, reason: str) -> None:
        if self._early_end is None and not self._machine.status.terminal:
            self._early_end = (status, reason)
            self._more_rows = True
            self._last_row_id = 0
            self._files.queue.clear()
            self._intake.cancel(self._agents.port(self._intake.role))

    def _advance_stopping(self) -> None:
        """Every transfer that has not been committed ends as cancelled, in memory first, then row by row."""
        if self._early_end is None or self._fetching or self._intake.storing or self._reviving:
            return
        status, reason = self._early_end
        self._files.each(lambda machine: machine.cancel(reason))
        self._files.bundles.give_up(reason, committed=False)
        while self._files.queue:
            self.cancel_row(self._files.queue.popleft()[0], reason)
        if self._more_rows:
            self._fetching = True
            self._deps.persistence.tell(a.FetchPending(self._row.id, self._last_row_id, FETCH_ROWS, self.ref))
        elif self._files.idle and self._no_release_due(reason):
            self._decide(
                lambda: self._machine.cancel(reason) if status is RunStatus.CANCELLED else self._machine.fail(reason)
            )

    def _no_release_due(self, reason: str) -> bool:
        """What has arrived is released before a run is cancelled, too, unless the source's agent is away."""
        if not self._releases.pending or self._files.plan is None:
            return True
        if self._agents.here("source"):
            self._releases.fetch(self.ref)
            return False
        self._releases.give_up(reason, self.ref)
        return True

    def cancel_row(self, row: TransferRow, reason: str) -> None:
        """End a transfer that this process has not begun. An earlier one may have left a part, and did not always note that it began."""
        self._machine.file_ended(TransferStatus.CANCELLED)
        attempt = row.attempt
        if attempt == 0 and self._adopted and self._discards_in_doubt > 0:
            self._discards_in_doubt -= 1
            attempt = 1
        update = TransferUpdate(
            row.id, status=TransferStatus.CANCELLED.value, reason=reason, attempt=attempt, ended=True
        )
        event = events.TransferChanged(row.id, self._row.id, TransferStatus.CANCELLED.value)
        save = a.SaveTransfer(self._row.id, self._row.lease_epoch, update, self.ref, event=event)
        self._deps.persistence.tell(save)
        if attempt > 0:
            final_path = os.fsdecode(row.final_path) if row.final_path is not None else None
            self._discard_part(self._files.destination_name(os.fsdecode(row.path)), final_path, row.part)

    def _decide(self, how: Callable[[], None]) -> None:
        """The end: count the rows once more, since they are the truth, then set the final status."""
        self._deciding = how
        self._save_planned()
        self._deps.persistence.tell(a.FetchSums(self._row.id, self.ref))

    def _finish(self) -> None:
        self._machine.finish(self._directories.errors)
        texts = self._intake.listing.error_texts
        if texts and not self._machine.files_failed:
            self._machine.reason = f"{self._machine.reason}: {texts[0]}"

    def _leave_with_result(self) -> None:
        machine = self._machine
        log.info("run ended", status=machine.status.value, reason=machine.reason)
        self._save_run(event=events.RunEnded(self._row.id, machine.status.value))
        self._deps.persistence.tell(
            a.SaveAudit(
                "hub",
                "run.ended",
                f"run:{self._row.id}",
                machine.status.value,
                {"files_done": machine.files_done, "files_failed": machine.files_failed, "reason": machine.reason},
            )
        )
        self._leave()

    def _leave(self) -> None:
        self._finished = True
        self._answer_waiters()
        if self._deps.runs is not None:
            self._deps.runs.tell_control(a.RunFinished(self._row.id))
        self.stop_self()

    def _tick(self, what: str) -> None:
        if what == "deadline":
            self._stop_early(RunStatus.FAILED, "the deadline passed before the run could end")
        elif what == "silence":
            self._look_for_silence()
            self.after(self._silence_check_every, a.Tick("silence"))
        elif what == "planned":
            self._save_planned()
        elif what.startswith("retry:"):
            self._files.retry_due(int(what.partition(":")[2]))

    @property
    def _silence_check_every(self) -> float:
        return min(self._deps.limits.request_timeout, self._deps.limits.list_timeout) / 4

    def _look_for_silence(self) -> None:
        """Agents that are there and do not answer: ask again, or give up."""
        if self._agents.here("source"):
            self._releases.give_up_silent(self.now(), self.ref)
        if self._agents.here("destination"):
            self._extras.give_up_silent(self.now(), self.ref)
        if self._agents.missing(only_destination=False) is not None or self._early_end is not None:
            return
        if self._machine.paused:
            return
        self._files.give_up_silent(self._deps.limits.request_timeout)
        failure = self._intake.give_up_silent(self.now())
        if failure is not None:
            self._stop_early(RunStatus.FAILED, failure)

    def _answer_waiters(self) -> None:
        waiters, self._waiters = self._waiters, []
        for reply in waiters:
            reply.send(value=True)

    # What the transfers need (Host)

    def post(self, role: m.Role, message: a.PostItem) -> None:
        port = self._agents.port(role)
        if port is not None:
            port.post(message)

    def to_relay(self, message: a.RelayMessage) -> None:
        self._deps.relay.tell_control(message)

    def open_attempt(self, held: Held) -> int:
        source, destination = self._agents.port("source"), self._agents.port("destination")
        if source is None or destination is None:
            raise AssertionError("an attempt without both agents")
        wire_id = next(self._deps.ids)
        who = (self.ref, held.row.id, source, destination)
        self.to_relay(a.OpenAttempt(wire_id, *who, self._spec.hub_check, self.ends.job, self._job))
        return wire_id

    def open_bundle(self) -> int:
        source, destination = self._agents.port("source"), self._agents.port("destination")
        if source is None or destination is None:
            raise AssertionError("a bundle without both agents")
        wire_id = next(self._deps.ids)
        who = (self.ref, -wire_id, source, destination)
        self.to_relay(a.OpenAttempt(wire_id, *who, self._spec.hub_check, self.ends.job, self._job))
        return wire_id

    def may_bundle(self) -> bool:
        ports = (self._agents.port("source"), self._agents.port("destination"))
        return may_be_bundled(self._spec) and all(port is not None and "bundles" in port.features for port in ports)

    def begin_later(self, row_id: int, delay_s: float) -> None:
        if delay_s <= 0:
            self._files.retry_due(row_id)
        else:
            self.after(delay_s, a.Tick(f"retry:{row_id}"))

    def save(self, held: Held, *, confirm: bool, terminal: bool) -> None:
        self._store(transfer_update(held, terminal=terminal), confirm=confirm)

    def save_bundle(self, ended: tuple[Delivered, ...]) -> None:
        self._totals.count(ended)
        for end in ended:
            self._machine.file_ended(TransferStatus(end.status))
        told = tuple(delivered_event(end, self._row.id) for end in ended)
        self._deps.persistence.tell(a.SaveBundle(self._row.id, self._row.lease_epoch, ended, self.ref, told))

    def _store(self, update: TransferUpdate, *, confirm: bool) -> None:
        run_id, event = self._row.id, transfer_event(update, self._row.id)
        self._deps.persistence.tell(a.SaveTransfer(run_id, self._row.lease_epoch, update, self.ref, confirm, event))

    def ended(self, held: Held, *, part_left: bool) -> None:
        machine = held.machine
        self._machine.file_ended(machine.status)
        if machine.status is TransferStatus.COMPLETED:
            held.bytes_done = machine.size
        self._totals.add(held)
        if machine.status is TransferStatus.FAILED:
            if self._machine.files_failed <= LOGGED_FAILURES:
                log.warning("transfer failed", transfer_id=held.row.id, code=machine.code, reason=machine.reason)
            self._deps.persistence.tell(
                a.SaveAudit(
                    "hub",
                    "transfer.ended",
                    f"transfer:{held.row.id}",
                    "failed",
                    {"code": machine.code, "reason": machine.reason},
                )
            )
        if part_left:
            self._discard_part(machine.plan.destination_name, machine.final_path, held.row.part)

    def _discard_part(self, name: str, final_path: str | None, part: str) -> None:
        if self._files.plan is None:
            return
        for item in discards(self._spec.destination_path, self._files.plan.landing, name, final_path, part):
            self.post("destination", a.PostItem(m.DiscardPart, item))
        if not self._agents.here("destination") and not self._parts_left:
            # What is posted to a session without a link dies with it.
            self._parts_left = True
            self._save({"parts_left": True})

    def now(self) -> float:
        return self._deps.clock.monotonic()

    # Storing the run

    def _save_run(self, event: events.Event | None = None) -> None:
        changes = run_changes(self._machine, self._totals)
        self._save(changes, event or events.RunChanged(self._row.id, self._machine.status.value))

    def _save_status(self) -> None:
        """Without the counters, which may not be known yet."""
        status = self._machine.status.value
        self._save({"status": status, "reason": self._machine.reason}, events.RunChanged(self._row.id, status))

    def _save(self, changes: dict[str, Any], event: events.Event | None = None) -> None:
        self._deps.persistence.tell(a.SaveRun(self._row.id, self._row.lease_epoch, changes, self.ref, event))
