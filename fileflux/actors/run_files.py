"""A run's live transfers: which are begun, what their machines ask for, what they show."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from fileflux.actors import messages as a
from fileflux.actors.run_bundles import BundleHost, Bundles, Queued
from fileflux.actors.run_listing import Plan
from fileflux.errors import RefusedPathError
from fileflux.jobs.effects import (
    CloseStream,
    Effect,
    Ended,
    OpenStream,
    Persist,
    RelinkStream,
    RetryAfter,
    Send,
    StartStream,
)
from fileflux.jobs.models import JobSpec
from fileflux.jobs.transfer import TransferMachine, TransferPlan
from fileflux.jobs.transfer_state import State
from fileflux.protocol import messages as m
from fileflux.protocol.systems import destination_name
from fileflux.storage.transfers import TransferRow

HELD_MAX = 1000
"""Transfers in memory at once: live ones and those that wait for a retry."""
SMALL_PER_LARGE = 16
"""Files of one chunk that move in the place of one larger file: they wait for round trips, not for bytes."""
SAVE_INTERVAL = 2.0
"""Seconds between two writes of a live transfer's progress, which are for display only."""


@dataclass(slots=True)
class Held:
    """One transfer in memory."""

    row: TransferRow
    machine: TransferMachine
    begun: bool = False
    chunks: int = 0
    bytes_done: int = 0
    bytes_wire: int = 0
    bytes_reused: int = 0
    wire_before: int = 0
    compression: int = 0
    saved_at: float = 0.0
    heard_at: float = 0.0
    """When it was begun, or an agent last spoke of it."""
    receipt: a.Receipt | None = None
    cancel_reason: str = ""
    """A person wants it to end, and it had been committed: it ends if that was in vain."""

    @property
    def weight(self) -> int:
        return 1 if self.row.size <= self.machine.spec.chunk_size else SMALL_PER_LARGE


class Host(BundleHost, Protocol):
    """What the run's actor does for its transfers."""

    def may_bundle(self) -> bool: ...
    def save(self, held: Held, *, confirm: bool, terminal: bool) -> None: ...
    def begin_later(self, row_id: int, delay_s: float) -> None: ...
    def open_attempt(self, held: Held) -> int: ...
    def ended(self, held: Held, *, part_left: bool) -> None: ...
    def cancel_row(self, row: TransferRow, reason: str) -> None: ...


class Files:
    """Owned by a run's actor; not an actor itself."""

    def __init__(self, spec: JobSpec, job_id: int, run_id: int, host: Host) -> None:
        self._spec = spec
        self._job_id = job_id
        self._run_id = run_id
        self._host = host
        self.plan: Plan | None = None
        self.held: dict[int, Held] = {}
        self.queue: deque[Queued] = deque()
        self.bundles = Bundles(spec, run_id, host, self._bundle_ended)
        self.parallel = spec.parallel
        """Larger files at once; follows the job while the run is live."""
        self._load = 0
        self._ready: deque[int] = deque()

    @property
    def idle(self) -> bool:
        return not self.held and not self.queue and not self.bundles.live

    def add(self, rows: tuple[TransferRow, ...], *, adopted: bool) -> None:
        """Rows that wait for their turn. ``adopted``: an earlier hub process may have begun them."""
        self.queue.extend(Queued(row, adopted) for row in rows)

    def dispatch(self) -> None:
        """Begin what may begin now; call only while both agents are there."""
        while self._ready and self._has_room():
            held = self.held.get(self._ready.popleft())
            if held is None or held.machine.state is not State.IDLE:
                continue
            if held.cancel_reason:
                self.carry_out(held, held.machine.cancel(held.cancel_reason))
            else:
                self._begin(held)
        bundling = self.plan is not None and self.plan.landing == "below" and self._host.may_bundle()
        while self.queue and self._has_room() and len(self.held) < HELD_MAX:
            together = self.bundles.gather(self.queue) if bundling else []
            if together and self.plan is not None:
                self._load += SMALL_PER_LARGE
                self.bundles.begin(together, self.plan.base, self.destination_name)
                continue
            row, adopted, _ = self.queue.popleft()
            held = Held(row, self._machine(row, adopted=adopted), wire_before=row.bytes_wire)
            self.held[row.id] = held
            self._begin(held)

    def destination_name(self, name: str) -> str:
        """What a file is called at the destination; as it is where it cannot be held, which the agent will say."""
        try:
            return destination_name(name, self.plan.system if self.plan else "posix", self._spec.names)
        except RefusedPathError:
            return name

    def retry_due(self, row_id: int) -> None:
        """A retry's time has come."""
        if row_id in self.held:
            self._ready.append(row_id)

    def pause(self, reason: str) -> None:
        """Take back what moves; ``dispatch`` begins it again, so do not call that before the run goes on."""
        self.each(lambda machine: machine.pause(reason))
        self.bundles.give_up("paused", committed=False)
        self.explain(reason)

    def explain(self, reason: str) -> None:
        """Say why those that have no attempt wait, except for a retry's time."""
        for row_id in self._ready:
            held = self.held.get(row_id)
            if held is not None and held.machine.state is State.IDLE:
                held.machine.waiting(reason)

    def cancel(self, row: TransferRow, reason: str) -> TransferRow | None:
        """End one that has been begun. Any other is given back as it is known here, and is not in the queue any more."""
        held = self.held.get(row.id)
        if held is not None:
            held.cancel_reason = reason
            self.carry_out(held, held.machine.cancel(reason))
            return None
        if self.bundles.cancel(row.id, reason):
            return None
        known = next((entry.row for entry in self.queue if entry.row.id == row.id), row)
        self.queue = deque(entry for entry in self.queue if entry.row.id != row.id)
        return known

    def said(self, message: a.TransferSaid) -> None:
        """An agent spoke of a transfer or a bundle. Raises RemoteProtocolError for words out of place."""
        if message.token < 0:
            self.bundles.said(message)
            return
        held = self._current(message.token, message.wire_id)
        if held is None:
            message.receipt.done()
            return
        machine = held.machine
        held.heard_at = self._host.now()
        match message.item:
            case m.TransferAcceptItem() as item if message.role == "source":
                effects = machine.source_accepted(item)
            case m.TransferAcceptItem() as item:
                effects = machine.destination_accepted(item)
            case m.TransferCompleteItem() as item if message.role == "source":
                effects = machine.source_completed(item)
            case m.TransferCompleteItem() as item:
                effects = machine.destination_completed(item)
                held.receipt = message.receipt
                self.carry_out(held, effects)
                return
            case m.TransferErrorItem() as item:
                effects = machine.failed(item.code, item.message, retryable=item.retryable, by=message.role)
            case _:
                effects = []
        message.receipt.done()
        self.carry_out(held, effects)

    def started(self, message: a.RouteStarted) -> None:
        held = self._current(message.token, message.wire_id)
        if held is not None:
            self.carry_out(held, held.machine.have_forwarded())

    def moved(self, message: a.RouteMoved) -> None:
        if message.token < 0:
            self.bundles.moved(message)
            return
        held = self._current(message.token, message.wire_id)
        if held is None:
            return
        held.chunks, held.bytes_done = message.chunks, message.bytes_done
        held.machine.moved(message.bytes_done)
        held.bytes_wire, held.bytes_reused = held.wire_before + message.bytes_wire, message.bytes_reused
        held.compression = message.compression
        if message.done:
            self.carry_out(held, held.machine.all_acked())
        elif self._host.now() - held.saved_at >= SAVE_INTERVAL:
            held.saved_at = self._host.now()
            self._host.save(held, confirm=False, terminal=False)

    def failed(self, message: a.RouteFailed) -> None:
        if message.token < 0:
            self.bundles.failed(message)
            return
        held = self._current(message.token, message.wire_id)
        if held is not None:
            self.carry_out(held, held.machine.failed(message.code, message.message, retryable=message.retryable))

    def stored(self, row_id: int) -> None:
        held = self.held.get(row_id)
        if held is None:
            self.bundles.stored(row_id)
            return
        if held.machine.state is State.ENDED:
            if held.receipt is not None:
                held.receipt.done()
            del self.held[row_id]
        else:
            self.carry_out(held, held.machine.stored())

    def agents_back(self) -> None:
        """What was asked before an agent was away may still be answered: its time begins anew."""
        for held in self.held.values():
            held.heard_at = self._host.now()

    def give_up_silent(self, timeout: float) -> None:
        """Fail the attempts whose request was not answered; call only while both agents are there.

        Opening a file is quick, so silence means that the answer will not come. Later steps may take hours and are not judged by time.
        """
        self.bundles.give_up_silent(timeout)
        due = self._host.now() - timeout
        for held in tuple(self.held.values()):
            asked = {State.OPENING_SOURCE: "source", State.OPENING_DESTINATION: "destination"}.get(held.machine.state)
            if asked is not None and held.heard_at < due:
                reason = f"the {asked} agent did not answer for {timeout:.0f} s"
                self.carry_out(held, held.machine.failed("no_answer", reason, retryable=True))

    def each(self, act: Callable[[TransferMachine], list[Effect]]) -> None:
        """Apply one step to every live machine."""
        for held in tuple(self.held.values()):
            self.carry_out(held, act(held.machine))

    def carry_out(self, held: Held, effects: list[Effect]) -> None:
        host, machine = self._host, held.machine
        for effect in effects:
            match effect:
                case Send():
                    host.post(effect.role, a.PostItem(effect.message, effect.item))
                case OpenStream():
                    host.to_relay(a.OpenRoute(effect.wire_id, effect.size, effect.chunk_size, effect.total_chunks))
                case StartStream():
                    host.to_relay(a.StartRoute(effect.wire_id, effect.have_count))
                case RelinkStream():
                    host.to_relay(a.Relink(effect.wire_id))
                case CloseStream():
                    host.to_relay(a.CloseAttempt(effect.wire_id))
                    held.wire_before = held.bytes_wire
                case Persist():
                    host.save(held, confirm=effect.confirm or machine.status.terminal, terminal=machine.status.terminal)
                case RetryAfter():
                    self._release(held)
                    host.begin_later(held.row.id, effect.delay_s)
                case Ended():
                    self._release(held)
                    host.ended(held, part_left=effect.part_left)

    def _bundle_ended(self, left: list[Queued], cancelled: Mapping[int, str]) -> None:
        self._load -= SMALL_PER_LARGE
        for entry in left:
            if entry.row.id in cancelled:
                self._host.cancel_row(entry.row, cancelled[entry.row.id])
        self.queue.extendleft(entry for entry in reversed(left) if entry.row.id not in cancelled)

    def _begin(self, held: Held) -> None:
        held.begun = True
        held.heard_at = self._host.now()
        self._load += held.weight
        self.carry_out(held, held.machine.begin(self._host.open_attempt(held)))

    def _release(self, held: Held) -> None:
        if held.begun:
            held.begun = False
            self._load -= held.weight

    def _has_room(self) -> bool:
        return self._load < self.parallel * SMALL_PER_LARGE

    def _current(self, row_id: int, wire_id: int) -> Held | None:
        held = self.held.get(row_id)
        return held if held is not None and held.machine.wire_id == wire_id else None

    def _machine(self, row: TransferRow, *, adopted: bool) -> TransferMachine:
        if self.plan is None:
            raise AssertionError("rows before the listing's first page")
        name = os.fsdecode(row.path)
        plan = TransferPlan(
            row.id,
            self._run_id,
            self._job_id,
            name,
            self.destination_name(name),
            self.plan.base,
            self.plan.landing,
            row.part,
            kind="symlink" if row.kind == "symlink" and self._spec.symlinks == "copy" else "file",
        )
        return TransferMachine(
            plan,
            self._spec,
            size=row.size,
            mtime_ns=row.mtime_ns,
            mode=row.mode,
            # An adopted row may have been begun, even committed, without a trace in its row.
            attempt=max(1, row.attempt) if adopted else row.attempt,
            retries=row.retry_count,
            final_path=os.fsdecode(row.final_path) if row.final_path is not None else None,
        )
