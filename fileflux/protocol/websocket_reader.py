"""From the bytes of a WebSocket to whole messages, a bounded number of frames at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol as WebSocketProtocol

from fileflux.clock import Clock
from fileflux.protocol.limits import KIB, Limits
from fileflux.protocol.link import Buffer, LinkHandler

PARSE_BYTES: Final = 16 * KIB
"""Parsed at once: 2,700 of the smallest frames, about 10 ms."""
PARSE_FRAMES: Final = 500
"""Frames in one turn, after which others have theirs."""
PINGS_PER_SECOND: Final = 100
CLOSE_BAD_TEXT: Final = 1007
CLOSE_POLICY: Final = 1008
CLOSE_TOO_BIG: Final = 1009


class WebSocketReader:
    """Feeds ``protocol`` and delivers to a handler. ``violated(code, reason)`` is called for what the transport's rules forbid."""

    def __init__(
        self, protocol: WebSocketProtocol, limits: Limits, clock: Clock, violated: Callable[[int, str], None]
    ) -> None:
        self._protocol = protocol
        self._limits = limits
        self._clock = clock
        self._violated = violated
        self._unparsed = memoryview(b"")
        self._assembled = bytearray()
        self._opcode = Opcode.BINARY
        self._ping_second = 0.0
        self._pings = 0
        self.listening = True
        """False: what comes in is parsed, since the peer's close frame is in it, but not delivered."""

    @property
    def behind(self) -> bool:
        """Bytes wait for ``parse``; take no more from the socket before."""
        return len(self._unparsed) > 0

    def take(self, data: bytes) -> None:
        """Bytes from the socket. After this, call ``parse``."""
        self._unparsed = memoryview(data)

    def clear(self) -> None:
        """Forget what waits: the link is gone."""
        self.listening = False
        self._unparsed = memoryview(b"")

    def parse(self, handler: LinkHandler) -> None:
        """One turn's worth. After this, look at ``behind`` and at the protocol's state and writes."""
        frames = 0
        while self._unparsed and frames < PARSE_FRAMES:
            part, self._unparsed = bytes(self._unparsed[:PARSE_BYTES]), self._unparsed[PARSE_BYTES:]
            self._protocol.receive_data(part)
            events = self._protocol.events_received()
            frames += len(events)
            for frame in events:
                if isinstance(frame, Frame) and self.listening:
                    self._frame(frame, handler)

    def _frame(self, frame: Frame, handler: LinkHandler) -> None:
        if frame.opcode is Opcode.PING:
            self._count_ping()
        elif frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._opcode = frame.opcode
            if frame.fin:
                self._deliver(frame.data, handler)
            else:
                self._assembled = bytearray(frame.data)
        elif frame.opcode is Opcode.CONT:
            # One growing buffer: a message may come in a million fragments of one byte. The protocol bounds it.
            self._assembled += frame.data
            if frame.fin:
                data, self._assembled = self._assembled, bytearray()
                self._deliver(data, handler)

    def _deliver(self, data: Buffer, handler: LinkHandler) -> None:
        binary = self._opcode is Opcode.BINARY
        if len(data) > (self._limits.max_binary_bytes if binary else self._limits.max_text_bytes):
            self._violated(CLOSE_TOO_BIG, f"{'binary' if binary else 'text'} message too big")
        elif binary:
            handler.on_binary(data)
        else:
            try:
                text = str(data, "utf-8")
            except UnicodeDecodeError:
                self._violated(CLOSE_BAD_TEXT, "text is not UTF-8")
            else:
                handler.on_text(text)

    def _count_ping(self) -> None:
        now = self._clock.monotonic()
        if now - self._ping_second >= 1.0:
            self._ping_second, self._pings = now, 0
        self._pings += 1
        if self._pings > PINGS_PER_SECOND:
            self._violated(CLOSE_POLICY, "too many pings")
