"""Hands frames of all sources to the link, one piece each in turn, as much as keeps the link busy and no more."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from fileflux.clock import Clock
from fileflux.protocol.frames import encode_piece
from fileflux.protocol.limits import KIB, Limits
from fileflux.protocol.link import Link
from flux_agent.transfer.effects import Effect
from flux_agent.transfer.effort import Effort
from flux_agent.transfer.ready import Outgoing
from flux_agent.transfer.source import SourceMachine

QUEUED_PIECES: Final = 4
"""Pieces in the link's queue: the next ones are made while these go out."""
MEASURE_S: Final = 0.1
MEASURE_PIECES: Final = 8
"""Measured over so much at least: the first pieces only fill the system's own buffer."""
SMALL_FRAME: Final = 64 * KIB
"""Whole frames up to this size share a message: copying them costs less than a message each."""


class Apply(Protocol):
    def __call__(self, machine: SourceMachine, effects: list[Effect]) -> None: ...


class PieceSize:
    """The size of pieces: about ``piece_seconds`` of what the link was seen to carry while it had something to carry."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.size = min(limits.piece_max, 4 * limits.piece_min)
        self._last = 0.0
        self._busy = 0.0
        self._sent = 0

    def begun(self, now: float) -> None:
        """The queue was empty: the time until now does not count."""
        self._last = now

    def sent(self, length: int, now: float) -> None:
        self._busy += now - self._last
        self._last = now
        self._sent += length
        if self._busy >= MEASURE_S or self._sent >= MEASURE_PIECES * self.size:
            wanted = int(self._sent / max(self._busy, 1e-6) * self._limits.piece_seconds)
            self.size = max(self._limits.piece_min, min(self._limits.piece_max, wanted))
            self._busy, self._sent = 0.0, 0


class FrameSender:
    """Round robin over the sources that have something to send. ``later`` runs a callable soon, outside of the link's own calls."""

    def __init__(self, limits: Limits, clock: Clock, apply: Apply, later: Callable[[Callable[[], None]], None]) -> None:
        self._limits = limits
        self._clock = clock
        self._apply = apply
        self._later = later
        self._link: Link | None = None
        self._ready: deque[SourceMachine] = deque()
        self._pieces = PieceSize(limits)
        self.effort = Effort()
        """How hard the sources of this link compress."""
        self._stalled: set[SourceMachine] = set()
        """Those that have frames and no window for them."""
        self._held_back: set[SourceMachine] = set()
        """Those that make no frames because there is no window for them."""
        self._filling = False
        self._asked = False
        self.paused = False

    def link_up(self, link: Link) -> None:
        self._link = link
        self._pieces = PieceSize(self._limits)

    def link_down(self) -> None:
        self._link = None
        self._ready.clear()
        self._stalled.clear()
        self._held_back.clear()
        self.effort.idle()

    def ready(self, machine: SourceMachine) -> None:
        """The machine may have frames. Call ``fill`` next."""
        if machine not in self._ready:
            self._ready.append(machine)

    def forget(self, machine: SourceMachine) -> None:
        """Drop what is queued of it."""
        self._stalled.discard(machine)
        self._held_back.discard(machine)
        if self._link is not None:
            self._link.drop(machine.wire_id)

    def fill(self) -> None:
        """Queue pieces until the link has enough."""
        if self._filling:
            return
        self._filling = True
        try:
            self._fill()
        finally:
            self._filling = False

    def _fill(self) -> None:
        batch: list[bytes] = []
        size = 0
        while self._ready and self._link is not None and not self.paused:
            piece_size = self._pieces.size
            if self._link.queued_bytes + size >= QUEUED_PIECES * piece_size:
                break
            machine = self._ready.popleft()
            out = machine.take(piece_size, self._clock.monotonic())
            self._stalled.discard(machine)
            self._held_back.discard(machine)
            if out is None:
                if machine.waits:
                    self._stalled.add(machine)
                elif machine.held_back:
                    self._held_back.add(machine)
                continue
            self._ready.append(machine)
            if out.whole and len(out.data) <= SMALL_FRAME:
                batch.append(bytes(out.data))
                size += len(out.data)
                if size >= max(piece_size - SMALL_FRAME, piece_size // 2):
                    self._send(b"".join(batch), 0)
                    batch, size = [], 0
            else:
                self._send(_encode(machine, out), machine.wire_id)
            self._apply(machine, machine.taken(out, self._clock.monotonic()))
        if batch:
            self._send(b"".join(batch), 0)
        self._measure(0, self._clock.monotonic())

    def _measure(self, sent: int, now: float) -> None:
        busy = self._link is not None and self._link.queued_bytes > 0
        self.effort.sent(sent, now, waiting=self._waits, busy=busy, held_back=bool(self._held_back))

    @property
    def _waits(self) -> bool:
        """There is more to send than the link or a window takes."""
        return bool(self._stalled) or any(machine.waits for machine in self._ready)

    def _send(self, data: bytes, tag: int) -> None:
        link = self._link
        if link is None:
            return
        if not link.queued_bytes:
            self._pieces.begun(self._clock.monotonic())

        def sent() -> None:
            if link is self._link:
                now = self._clock.monotonic()
                self._pieces.sent(len(data), now)
                self._measure(len(data), now)
                self._ask()

        link.send_binary(data, tag=tag, on_sent=sent)

    def _ask(self) -> None:
        if self._ready and not self._asked:
            self._asked = True
            self._later(self._answer)

    def _answer(self) -> None:
        self._asked = False
        self.fill()


def _encode(machine: SourceMachine, out: Outgoing) -> bytes:
    if out.whole:
        return bytes(out.data)
    return encode_piece(machine.wire_id, out.index, out.offset, out.data)
