"""Puts frames together in shared memory, from pieces or whole, and gives them to their sinks.

What comes in before a slot is free waits outside of it, bounded by ``receive_buffer``: the hub was told that number and keeps to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from fileflux.clock import Clock
from fileflux.errors import RemoteProtocolError
from fileflux.protocol import messages as m
from fileflux.protocol.frames import ChunkAssembly, FrameHeader, Piece, WholeFrame
from fileflux.protocol.limits import Limits
from flux_agent.transfer.effects import Effect, SendItem
from flux_agent.transfer.parts import Sink
from flux_agent.transfer.regions import Region, RegionSlot


class Apply(Protocol):
    def __call__(self, machine: Sink, effects: list[Effect]) -> None: ...


@dataclass(slots=True, eq=False)
class _Incoming:
    """A frame of which not everything is here, or for which no slot was free yet."""

    machine: Sink
    header: FrameHeader
    assembly: ChunkAssembly | None = None
    slot: RegionSlot | None = None
    waiting: list[Piece] = field(default_factory=list)
    whole: memoryview | None = None
    waiting_bytes: int = 0
    dropped: bool = False


class FrameReceiver:
    """``find`` gives the live sink of a wire id; data of others is late or not ours and is dropped quietly."""

    def __init__(
        self, region: Region, limits: Limits, clock: Clock, find: Callable[[int], Sink | None], apply: Apply
    ) -> None:
        self._region = region
        self._limits = limits
        self._clock = clock
        self._find = find
        self._apply = apply
        self._incoming: dict[tuple[int, int], _Incoming] = {}
        self.waiting_bytes = 0

    def whole(self, item: WholeFrame) -> None:
        """A frame in one message. Raises RemoteProtocolError when it is not one of its transfer."""
        incoming = self._begin(item.header)
        if incoming is None:
            return
        incoming.whole = item.frame
        self._hold(incoming, len(incoming.whole))
        self._need_slot(incoming)

    def piece(self, piece: Piece) -> None:
        """A part of a frame. Raises RemoteProtocolError when it does not follow the one before."""
        key = (piece.transfer_id, piece.index)
        incoming = self._incoming.get(key)
        if piece.offset == 0:
            if incoming is not None:
                self._drop(key, incoming)
            if piece.header is None:
                raise RemoteProtocolError("piece 0 does not begin with a frame's header", code="short_header")
            incoming = self._begin(piece.header)
            if incoming is None:
                return
            incoming.waiting.append(piece)
            self._hold(incoming, len(piece.data))
            self._need_slot(incoming)
        elif incoming is None:
            # The rest of a frame that was not wanted or was given up.
            return
        elif incoming.assembly is None:
            incoming.waiting.append(piece)
            self._hold(incoming, len(piece.data))
        else:
            self._add(incoming, piece)

    def forget(self, wire_id: int) -> None:
        """Give up what is half here of this transfer."""
        for key, incoming in list(self._incoming.items()):
            if key[0] == wire_id:
                self._drop(key, incoming)

    def clear(self) -> None:
        """Give up everything that is half here: the link is gone."""
        for key, incoming in list(self._incoming.items()):
            self._drop(key, incoming)

    def _begin(self, header: FrameHeader) -> _Incoming | None:
        machine = self._find(header.transfer_id)
        if machine is None:
            return None
        wanted, effects = machine.wants(header, self._clock.monotonic())
        self._apply(machine, effects)
        if not wanted:
            return None
        if header.payload_size > header.size:
            # A chunk that does not shrink is sent uncompressed. The hub has to hear of it, or it would wait for the ack for ever.
            item = m.ChunkNackItem(machine.wire_id, header.index, "too_large")
            self._apply(machine, [SendItem(m.ChunkNack, item)])
            return None
        incoming = _Incoming(machine, header)
        key = (header.transfer_id, header.index)
        if key in self._incoming:
            self._drop(key, self._incoming[key])
        self._incoming[key] = incoming
        return incoming

    def _need_slot(self, incoming: _Incoming) -> None:
        def granted(slot: RegionSlot) -> None:
            if incoming.dropped:
                slot.release()
            else:
                self._fill(incoming, slot)

        self._region.request(incoming.header.frame_size, granted)

    def _fill(self, incoming: _Incoming, slot: RegionSlot) -> None:
        incoming.slot = slot
        self._let_go(incoming)
        if incoming.whole is not None:
            slot.view[:] = incoming.whole
            incoming.whole = None
            self._ready(incoming, slot)
            return
        incoming.assembly = ChunkAssembly(slot.view)
        pieces, incoming.waiting = incoming.waiting, []
        for piece in pieces:
            if not incoming.dropped:
                self._add(incoming, piece)

    def _add(self, incoming: _Incoming, piece: Piece) -> None:
        assembly, slot = incoming.assembly, incoming.slot
        if assembly is None or slot is None:
            raise AssertionError("piece without a slot")
        try:
            complete = assembly.add(piece)
        except RemoteProtocolError as error:
            self._drop((piece.transfer_id, piece.index), incoming)
            self._apply(incoming.machine, incoming.machine.fail("protocol", str(error), retryable=False))
            return
        if complete:
            self._ready(incoming, slot)

    def _ready(self, incoming: _Incoming, slot: RegionSlot) -> None:
        header = incoming.header
        self._incoming.pop((header.transfer_id, header.index), None)
        incoming.assembly = None
        incoming.dropped = True
        self._apply(incoming.machine, incoming.machine.frame_ready(header.index, slot))

    def _drop(self, key: tuple[int, int], incoming: _Incoming) -> None:
        self._incoming.pop(key, None)
        incoming.dropped = True
        incoming.assembly = None
        incoming.waiting.clear()
        incoming.whole = None
        self._let_go(incoming)
        if incoming.slot is not None:
            incoming.slot.release()

    def _hold(self, incoming: _Incoming, length: int) -> None:
        incoming.waiting_bytes += length
        self.waiting_bytes += length
        if self.waiting_bytes > self._limits.receive_buffer:
            raise RemoteProtocolError("more frames than this agent's receive_buffer holds", code="window", close=True)

    def _let_go(self, incoming: _Incoming) -> None:
        self.waiting_bytes -= incoming.waiting_bytes
        incoming.waiting_bytes = 0
