"""From the bytes of a WebSocket to whole messages, a bounded number of frames at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol as WebSocketProtocol
from websockets.protocol import Side, State

from fileflux.clock import Clock
from fileflux.protocol.limits import Limits
from fileflux.protocol.link import Buffer, LinkHandler
from fileflux.protocol.websocket_frames import LargeFrame, may_begin

PARSE_FRAMES: Final = 500
"""Frames in one turn, about 5 ms of pings, after which others have theirs: one read of the socket may hold 40,000 of them."""
PINGS_PER_SECOND: Final = 100
CLOSE_BAD_TEXT: Final = 1007
CLOSE_POLICY: Final = 1008
CLOSE_TOO_BIG: Final = 1009


class _FrameMeter:
    """Where frames end in a stream of bytes, so that a bounded number of them is parsed at once.

    Not a second parser: what it makes of a malformed header does not matter, because the protocol refuses that anyway.
    """

    def __init__(self) -> None:
        self._head = bytearray()
        self._left = 0
        self.begun = 0
        """Frames whose headers were in the last portion."""

    @property
    def between_frames(self) -> bool:
        """The last frame was whole, and nothing of the next one was seen."""
        return not self._left and not self._head

    def portion(self, data: memoryview, frames: int) -> int:
        """How many bytes of ``data`` hold the rest of the current frame and the next ``frames``, or all of them; not past what may be a large one."""
        at, end, self.begun = 0, len(data), 0
        while at < end and (frames or self._left):
            if at and self.between_frames and may_begin(data, at):
                return at
            if self._left:
                step = min(self._left, end - at)
                self._left -= step
                at += step
                continue
            missing = self._size() - len(self._head)
            self._head += data[at : at + missing]
            at = min(at + missing, end)
            if len(self._head) == self._size():
                frames -= 1
                self.begun += 1
                self._left = self._length()
                self._head.clear()
        return at

    def _size(self) -> int:
        """Bytes of the frame's header, as far as it is known."""
        if len(self._head) < 2:
            return 2
        return 2 + {126: 2, 127: 8}.get(self._head[1] & 0x7F, 0) + (4 if self._head[1] & 0x80 else 0)

    def _length(self) -> int:
        short = self._head[1] & 0x7F
        if short < 126:
            return short
        return int.from_bytes(self._head[2:4] if short == 126 else self._head[2:10], "big")


class WebSocketReader:
    """Feeds ``protocol`` and delivers to a handler. ``violated(code, reason)`` is called for what the transport's rules forbid."""

    def __init__(
        self, protocol: WebSocketProtocol, limits: Limits, clock: Clock, violated: Callable[[int, str], None]
    ) -> None:
        self._protocol = protocol
        self._limits = limits
        self._clock = clock
        self._violated = violated
        self._meter = _FrameMeter()
        self._unparsed = memoryview(b"")
        self._assembled = bytearray()
        self._opcode = Opcode.BINARY
        self._fragmented = False
        self._large: LargeFrame | None = None
        self._ping_second = 0.0
        self._pings = 0
        self.handler: LinkHandler | None = None
        """Who is told; it may be another one from one message to the next."""
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
        self._large = None
        self._unparsed = memoryview(b"")

    @property
    def room(self) -> memoryview | None:
        """Where the socket's next bytes belong, when a large frame is coming in. After filling it call ``filled`` instead of ``take``."""
        return self._large.room if self._large is not None and not self._unparsed else None

    def filled(self, count: int) -> None:
        """So many bytes of the socket were put into ``room``. After this, call ``parse``."""
        if self._large is not None:
            self._large.filled(count)

    def parse(self) -> None:
        """One turn's worth, for ``handler``. After this, look at ``behind`` and at the protocol's state and writes."""
        frames = PARSE_FRAMES
        while frames > 0 and self.handler is not None:
            if self._large is None:
                self._begin_large()
            if self._large is not None:
                self._go_on_large(self._large, self.handler)
                frames -= 1
            elif self._unparsed:
                self._parse_others(frames)
                frames -= max(1, self._meter.begun)
            if not self._unparsed:
                return

    def _parse_others(self, frames: int) -> None:
        length = self._meter.portion(self._unparsed, frames)
        part, self._unparsed = self._unparsed[:length], self._unparsed[length:]
        self._protocol.receive_data(part)  # type: ignore[arg-type]  # it is added to a bytearray, which takes a view as well
        for frame in self._protocol.events_received():
            if isinstance(frame, Frame) and self.listening and self.handler is not None:
                self._frame(frame, self.handler)

    def _begin_large(self) -> None:
        """Take the next frame past the library if it is one that this may be done with."""
        if self._fragmented or not self._meter.between_frames or self._protocol.state is not State.OPEN:
            return
        masked = self._protocol.side is Side.SERVER
        begun = LargeFrame.begin(self._unparsed, masked=masked, most=self._limits.max_binary_bytes)
        if begun is not None:
            self._large, head = begun
            self._unparsed = self._unparsed[head:]

    def _go_on_large(self, large: LargeFrame, handler: LinkHandler) -> None:
        room = large.room
        count = min(len(room), len(self._unparsed))
        room[:count] = self._unparsed[:count]
        self._unparsed = self._unparsed[count:]
        large.filled(count)
        if large.whole:
            self._large = None
            if self.listening:
                handler.on_binary(large.data())

    def _frame(self, frame: Frame, handler: LinkHandler) -> None:
        if frame.opcode is Opcode.PING:
            self._count_ping()
        elif frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._opcode = frame.opcode
            self._fragmented = not frame.fin
            if frame.fin:
                self._deliver(frame.data, handler)
            else:
                self._assembled = bytearray(frame.data)
        elif frame.opcode is Opcode.CONT:
            # One growing buffer: a message may come in a million fragments of one byte. The protocol bounds it.
            self._assembled += frame.data
            if frame.fin:
                self._fragmented = False
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
