"""Carries out what the transfer machines ask for: tasks on workers, items in messages, frames on the link.

All methods are called inside the process's ``Turns``. The engine knows no transport: it is told when a link is there, and what came in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from fileflux.clock import Clock
from fileflux.errors import FluxError, RemoteProtocolError, TransferError
from fileflux.protocol import messages as m
from fileflux.protocol.bundles import check_bundle
from fileflux.protocol.cutting import cut_binary
from fileflux.protocol.frames import HavePage, Piece, WholeFrame, encode_have_page, iter_binary
from fileflux.protocol.limits import HEADER_SIZE, MAX_CHUNK_SIZE, MAX_ITEMS, MIN_CHUNK_SIZE, Limits
from fileflux.protocol.link import Buffer, Link
from flux_agent.transfer.bundle_sink import BundleSink
from flux_agent.transfer.bundle_source import BundleSource
from flux_agent.transfer.effects import (
    Broadcast,
    DropUnsent,
    Effect,
    Finished,
    FramesReady,
    NeedSlot,
    RunTask,
    SendHavePage,
    SendItem,
)
from flux_agent.transfer.gather import Outgoing
from flux_agent.transfer.machine import Machine, printable
from flux_agent.transfer.parts import Parts, Sink
from flux_agent.transfer.receiver import FrameReceiver
from flux_agent.transfer.regions import Region, RegionSlot
from flux_agent.transfer.sender import FrameSender
from flux_agent.transfer.sink import Claims, SinkMachine
from flux_agent.transfer.source import SourceMachine
from flux_agent.transfer.workers import Workers


class Uplink(Protocol):
    """The session, as far as the engine needs it."""

    def has_room(self) -> bool:
        """Whether ``send`` will take a message now."""
        ...

    def send(self, message: m.Message) -> None: ...

    def violated(self, error: RemoteProtocolError) -> None:
        """The hub broke the rules: tell it, and close the link if the error says so."""


class Engine:
    """One per agent process."""

    def __init__(
        self,
        workers: Workers,
        reading: Region,
        receiving: Region,
        limits: Limits,
        clock: Clock,
        later: Callable[[float, Callable[[], None]], None],
    ) -> None:
        """``later(seconds, turn)`` runs ``turn`` in a turn of its own."""
        self._workers = workers
        self._reading = reading
        self._limits = limits
        self._clock = clock
        self._later = later
        self._uplink: Uplink | None = None
        self._link: Link | None = None
        self._sources: dict[int, SourceMachine] = {}
        self._sinks: dict[int, Sink] = {}
        self._claims: Claims = {}
        self._parts = Parts()
        self._outgoing = Outgoing(limits)
        self._flush_asked = False
        self._progress_at = 0.0
        self._sender = FrameSender(limits, clock, self._apply, lambda turn: later(0.0, turn))
        self._receiver = FrameReceiver(receiving, limits, clock, self._sinks.get, self._apply)
        self._frame_max = min(reading.size, receiving.size)

    @property
    def active(self) -> int:
        """Transfers open at either end."""
        return len(self._sources) + len(self._sinks)

    # The link

    def bind(self, uplink: Uplink) -> None:
        """Once, before anything else."""
        self._uplink = uplink

    def link_up(self, link: Link) -> None:
        """The session is established over this link."""
        self._link = link
        self._sender.link_up(link)
        self.flush()

    def link_down(self) -> None:
        """What was in flight is lost; the hub tells by ``transfer_resume`` how each transfer goes on."""
        self._link = None
        self._sender.link_down()
        self._receiver.clear()
        for machine in (*self._sources.values(), *self._sinks.values()):
            self._apply(machine, machine.link_lost())

    def reset(self) -> None:
        """A new session: the hub knows nothing of what was open here."""
        self._outgoing.clear()
        self._receiver.clear()
        for machine in (*self._sources.values(), *self._sinks.values()):
            self._apply(machine, machine.cancel(discard=False))

    def binary(self, data: Buffer) -> None:
        """A binary message came in. What stands before a bad item counts."""
        try:
            for item in iter_binary(data, self._limits):
                match item:
                    case Piece():
                        self._receiver.piece(item)
                    case WholeFrame():
                        self._receiver.whole(item)
                    case HavePage():
                        self._have_page(item)
        except RemoteProtocolError as error:
            self._violated(error)

    def pause(self, *, paused: bool) -> None:
        """Stop or go on sending frames, for all transfers."""
        self._sender.paused = paused
        for machine in self._sources.values():
            self._sender.ready(machine)
        self._sender.fill()

    def tick(self, now: float) -> None:
        """Call every few milliseconds while ``active``."""
        for sink in list(self._sinks.values()):
            due = sink.deadline()
            if due is not None and due <= now:
                self._apply(sink, sink.tick(now))
        if now >= self._progress_at:
            self._progress_at = now + self._limits.progress_interval
            for machine in (*self._sources.values(), *self._sinks.values()):
                if machine.moving:
                    self._send(m.TransferProgress, machine.progress())

    # Messages of the hub

    def handle(self, message: m.Message) -> bool:
        """Carry out a control message; False when it is not about transfers."""
        now = self._clock.monotonic()
        match message:
            case m.TransferRequest():
                self._each(message.items, self._request)
            case m.BundleRequest():
                self._each(message.items, self._request_bundle)
            case m.TransferResume():
                self._each(message.items, lambda item: self._resumed(item, now))
            case m.Window():
                self._each(message.items, lambda item: self._to_source(item, lambda source: source.granted(item, now)))
            case m.ChunkRequest():
                self._each(
                    message.items,
                    lambda item: self._to_source(item, lambda source: source.chunk_wanted(item.index, now)),
                )
            case m.ChunkSame():
                self._each(message.items, lambda item: self._to_sink(item, lambda sink: sink.same(item.chunks, now)))
            case m.TransferCommit():
                self._each(message.items, lambda item: self._to_sink(item, lambda sink: sink.committed(item, now)))
            case m.TransferRelease() if message.request_id is None:
                self._each(message.items, self._released)
            case m.CancelTransfer():
                self._each(message.items, self._cancelled)
            case m.PauseTransfer():
                self._each(
                    message.items,
                    lambda item: self._to_source(item, lambda source: source.pause(paused=item.paused, now=now)),
                )
            case m.DiscardPart():
                self._each(message.items, self._discard)
            case _:
                return False
        return True

    def _each(self, items: tuple[Any, ...], handle: Callable[[Any], None]) -> None:
        # Each item stands alone: a bad one does not take the others with it.
        for item in items:
            try:
                handle(item)
            except RemoteProtocolError as error:
                self._violated(error)

    def _request(self, item: m.TransferRequestItem) -> None:
        live: dict[int, Any] = self._sources if item.role == "source" else self._sinks
        if item.transfer_id in live:
            raise RemoteProtocolError(f"transfer {item.transfer_id} was requested before", field="transfer_id")
        if not MIN_CHUNK_SIZE <= item.chunk_size <= MAX_CHUNK_SIZE:
            raise RemoteProtocolError(f"chunk_size {item.chunk_size} is not allowed", field="chunk_size")
        if HEADER_SIZE + item.chunk_size > self._frame_max:
            self._refuse(
                item, "too_large", "this agent's arena_bytes is too small for the job's chunk_size", retryable=False
            )
        elif self.active >= MAX_ITEMS:
            self._refuse(item, "overloaded", "too many transfers are open at this agent", retryable=True)
        elif item.role == "source":
            source = self._sources[item.transfer_id] = SourceMachine(item, self._limits, self._sender.effort)
            self._apply(source, source.begin())
        else:
            self._request_sink(item)

    def _request_sink(self, item: m.TransferRequestItem) -> None:
        if item.part is None:
            raise RemoteProtocolError("transfer_request to a destination needs part", field="part")
        try:
            sink = SinkMachine(item, self._limits, self._claims)
        except TransferError as error:
            self._refuse(item, error.code, str(error), retryable=error.retryable)
            return
        self._sinks[item.transfer_id] = sink
        # The hub gave up the older attempts; their tasks may still write to the part.
        held_by = self._parts.take(sink)
        if not held_by:
            self._apply(sink, sink.begin())
        for older in held_by:
            self._apply(older, older.cancel(discard=False))

    def _request_bundle(self, item: m.BundleRequestItem) -> None:
        source = item.role == "source"
        if item.transfer_id in (self._sources if source else self._sinks):
            raise RemoteProtocolError(f"transfer {item.transfer_id} was requested before", field="transfer_id")
        check_bundle(item)
        if HEADER_SIZE + sum(item.sizes) > self._frame_max or self.active >= MAX_ITEMS:
            self._refuse(item, "overloaded", "this agent has no room for a bundle now", retryable=True)
        elif source:
            machine = self._sources[item.transfer_id] = BundleSource(item, self._limits, self._sender.effort)
            self._apply(machine, machine.begin())
        else:
            sink = BundleSink(item, self._claims)
            if not self._parts.take_all(sink):
                self._refuse(item, "busy", "a part of this bundle is still open", retryable=True)
                return
            self._sinks[item.transfer_id] = sink
            self._apply(sink, sink.begin())

    def _refuse(
        self, item: m.TransferRequestItem | m.BundleRequestItem, code: str, message: str, *, retryable: bool
    ) -> None:
        error = m.TransferErrorItem(item.transfer_id, code, printable(message), retryable=retryable, role=item.role)
        self._send(m.TransferErrorMessage, error)

    def _resumed(self, item: m.TransferResumeItem, now: float) -> None:
        self._receiver.forget(item.transfer_id)
        self._to_sink(item, lambda sink: sink.resumed())
        self._to_source(item, lambda source: source.resumed(item, now))

    def _released(self, item: m.TransferReleaseItem) -> None:
        if item.transfer_id not in self._sources:
            self._send(m.TransferReleased, m.TransferReleasedItem(item.transfer_id, "unknown", "not open here"))
            return
        self._to_source(item, lambda source: source.released())

    def _cancelled(self, item: m.CancelTransferItem) -> None:
        self._receiver.forget(item.transfer_id)
        self._to_sink(item, lambda sink: sink.cancel(discard=item.discard))
        self._to_source(item, lambda source: source.cancel(discard=False))

    def _discard(self, item: m.DiscardPartItem) -> None:
        holder = self._parts.discard(item)
        if holder is not None:
            self._apply(holder, holder.cancel(discard=True))
            return
        args = {"directory": item.directory, "part": item.part}
        self._tell_workers(Broadcast("discard_part", args, key=item.part))

    def _to_source(self, item: Any, act: Callable[[SourceMachine], list[Effect]]) -> None:
        machine = self._sources.get(item.transfer_id)
        if machine is not None:
            self._apply(machine, act(machine))

    def _to_sink(self, item: Any, act: Callable[[Sink], list[Effect]]) -> None:
        machine = self._sinks.get(item.transfer_id)
        if machine is not None:
            self._apply(machine, act(machine))

    def _have_page(self, page: HavePage) -> None:
        machine = self._sources.get(page.transfer_id)
        if machine is not None:
            self._apply(machine, machine.have_page(page.first, page.hashes, self._clock.monotonic()))

    # Effects

    def _apply(self, machine: Machine, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case RunTask():
                    self._run(machine, effect)
                case Broadcast():
                    self._tell_workers(effect)
                case SendItem():
                    self._send(effect.message, effect.item)
                case SendHavePage():
                    self._send_have(machine, effect)
                case NeedSlot():
                    self._need_slot(machine, effect.size)
                case FramesReady():
                    if isinstance(machine, SourceMachine):
                        self._sender.ready(machine)
                        self._sender.fill()
                case DropUnsent():
                    if isinstance(machine, SourceMachine):
                        self._sender.forget(machine)
                case Finished():
                    self._finished(machine)

    def _run(self, machine: Machine, task: RunTask) -> None:
        task.submitted_at = self._clock.monotonic()

        def done(value: dict[str, Any] | None, error: FluxError | None) -> None:
            self._apply(machine, machine.task_done(task, value, error, self._clock.monotonic()))

        self._workers.submit(task.key, task.task, task.args, done, task.beside)

    def _tell_workers(self, effect: Broadcast) -> None:
        if effect.key:
            self._workers.submit(effect.key, effect.task, effect.args, lambda _value, _error: None)
        else:
            self._workers.broadcast(effect.task, effect.args)

    def _need_slot(self, machine: Machine, size: int) -> None:
        if not isinstance(machine, SourceMachine):
            return  # only sources ask for slots themselves

        def granted(slot: RegionSlot) -> None:
            self._apply(machine, machine.slot_granted(slot, self._clock.monotonic()))

        self._reading.request(size, granted)

    def _send_have(self, machine: Machine, page: SendHavePage) -> None:
        # The accept that announces the pages goes first.
        self.flush()
        if self._link is not None:
            data = encode_have_page(machine.wire_id, page.first, page.hashes)
            self._link.send_binary(data, tag=machine.wire_id, cut=cut_binary)

    def _finished(self, machine: Machine) -> None:
        if isinstance(machine, SourceMachine):
            del self._sources[machine.wire_id]
            return
        sink = self._sinks.pop(machine.wire_id)
        self._receiver.forget(machine.wire_id)
        following, discards = self._parts.let_go(sink)
        for behind in following:
            self._apply(behind, behind.begin())
        for discard in discards:
            self._discard(discard)

    # Items of messages

    def flush(self) -> None:
        """Send what was gathered, as far as the session takes it. Call also when the hub has acknowledged something."""
        uplink = self._uplink
        if uplink is None or not self._outgoing or not uplink.has_room():
            return
        for message in self._outgoing.messages():
            uplink.send(message)
            if not uplink.has_room():
                break

    def _send(self, message: type[m.Message], item: Any) -> None:
        self._outgoing.add(message, item)
        if not self._flush_asked:
            self._flush_asked = True
            self._later(self._limits.small_messages_flush, self._flush_later)

    def _flush_later(self) -> None:
        self._flush_asked = False
        self.flush()

    def _violated(self, error: RemoteProtocolError) -> None:
        if self._uplink is not None:
            self._uplink.violated(error)
