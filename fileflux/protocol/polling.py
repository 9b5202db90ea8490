"""One long-polling connection as a ``Link``: what both ends share. Sans-I/O: a driver carries the slices (docs/protocol.md, Long-polling).

The driver owns requests and timers and does this::

    may I send?          piece = link.next_slice(number)      whenever ``wake`` was called, or a slice arrived
    it arrived           link.arrived(number)                 and ask for the next one
    a slice came in      link.take_in(number, data), then ``while link.deliver(): give way``
    any answer, request  link.alive()
    nothing helps        link.lost(reason)

``deliver`` handles a bounded number of messages, because one slice may hold 40,000 of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from fileflux.clock import Clock
from fileflux.errors import LocalProtocolError, RemoteProtocolError
from fileflux.protocol.limits import Limits
from fileflux.protocol.link import Buffer, Cut, LinkHandler
from fileflux.protocol.pace import Departure, Pace
from fileflux.protocol.records import Kind, Record, RecordReader, cut_reason, may_be_said
from fileflux.protocol.slices import OnSent, Slice, SliceReader, SliceWriter

DELIVER_RECORDS: Final = 200
DELIVER_BYTES: Final = 1024 * 1024
"""In one ``deliver``: about a millisecond."""
CLOSE_ABNORMAL: Final = 1006
CLOSE_POLICY: Final = 1008
_CLOSE_CODES: Final = {"bad_text": 1007, "too_large": 1009}


class PollingLink:
    """Implements ``link.Link``.

    ``held``: the bytes of a slice count as the link's until the peer has it, so ``on_sent`` waits for that; otherwise it is called when the
    message's last byte is in a slice, which is a copy. ``wake`` is called whenever there may be something to send, from any of the link's
    methods: it must only make a note.
    """

    transport: Final = "polling"

    def __init__(self, limits: Limits, clock: Clock, *, peer: str, held: bool, wake: Callable[[], None]) -> None:
        self._limits = limits
        self._clock = clock
        self._peer = peer
        self._held = held
        self._wake = wake
        self._handler: LinkHandler | None = None
        self._ended: tuple[int, str] | None = None
        self._closing: tuple[int, str] | None = None
        self._closing_since = 0.0
        self.pace = Pace(limits)
        self._writer = SliceWriter()
        self._slices: dict[int, tuple[Slice, Departure]] = {}
        self._incoming = SliceReader(max(limits.slices_in_flight, limits.polls_max))
        self._reader = RecordReader(limits)
        self._delivering = False
        self._progress_at = clock.monotonic()

    # Link

    @property
    def peer(self) -> str:
        return self._peer

    @property
    def queued_bytes(self) -> int:
        return self._writer.queued_bytes

    def start(self, handler: LinkHandler) -> None:
        self._handler = handler
        if self._ended is not None:
            handler.on_closed(*self._ended)
        else:
            self._wake()

    def send_text(self, text: str) -> None:
        if self._deaf:
            return
        if self._writer.texts >= 4 * self._limits.outbox_max:
            self._violated(CLOSE_POLICY, "too many messages wait for this peer")
            return
        self._note_output()
        self._writer.text(text)
        self._wake()

    def send_binary(self, data: Buffer, *, tag: int = 0, on_sent: OnSent | None = None, cut: Cut | None = None) -> None:
        if self._deaf:
            if on_sent is not None:
                on_sent()
            return
        self._note_output()
        self._writer.binary(data, tag, on_sent, cut)
        self._wake()

    def drop(self, tag: int) -> int:
        size, callbacks = self._writer.drop(tag)
        _call(callbacks)
        return size

    @property
    def answered(self) -> bool:
        # What was handed to a connection may never be read.
        return False

    def close(self, code: int, reason: str) -> None:
        if self._deaf:
            return
        if not may_be_said(code):
            raise LocalProtocolError(f"{code} is no code to close with")
        self._note_output()
        self._closing = (code, cut_reason(reason))
        self._closing_since = self._clock.monotonic()
        _call(self._writer.farewell(code, reason))
        if self._handler is None:
            self._finish(*self._closing)
        else:
            self._wake()

    def tick(self, now: float) -> None:
        if self._finished:
            return
        if self._closing is not None and now - self._closing_since >= self._limits.handshake_timeout:
            self._finish(*self._closing)
        elif self._pending and now - self._progress_at >= self._limits.silence_timeout:
            self._finish(CLOSE_ABNORMAL, "the peer takes no bytes")

    # For the driver: out

    @property
    def ended(self) -> tuple[int, str] | None:
        """What ``on_closed`` said, or would have: nothing is sent or delivered any more. None while the link lives."""
        return self._ended

    @property
    def has_output(self) -> bool:
        """``next_slice`` would give something as soon as the pace allows."""
        return not self._finished and not self._writer.empty

    def next_slice(self, number: int) -> bytes | None:
        """The bytes to carry under ``number``, which was not used before; None: nothing to say, or too much in flight.

        After this, carry it, and call ``arrived(number)``.
        """
        if self._finished or self._writer.empty:
            return None
        most = self.pace.allowance()
        if most <= 0:
            return None
        made = self._writer.take(most, self._message_most)
        if made is None:
            return None
        now = self._clock.monotonic()
        self._progress_at = now
        starved = not self.has_output
        self._slices[number] = (made, self.pace.departed(len(made.data), now, starved=starved))
        if not self._held:
            _call(_callbacks(made))
        return made.data

    def arrived(self, number: int) -> None:
        """The peer has the slice; repeating this does nothing. After this, ask for the next one: the pace may allow more."""
        kept = self._slices.pop(number, None)
        if kept is None:
            return
        made, departure = kept
        now = self._clock.monotonic()
        self._progress_at = now
        self.pace.arrived(departure, now)
        if self._held:
            _call(_callbacks(made))
        if made.last and self._closing is not None:
            self._finish(*self._closing)

    def said_farewell(self, number: int) -> None:
        """For the end whose peer says nothing more after a farewell: the slice was handed over. Ends the link if the farewell was in it."""
        kept = self._slices.get(number)
        if kept is not None and kept[0].last and self._closing is not None:
            self._finish(*self._closing)

    def moving(self) -> None:
        """Bytes of a slice are leaving: a slow peer takes minutes for one, and is not dead."""
        self._progress_at = self._clock.monotonic()

    # For the driver: in

    @property
    def held_bytes(self) -> int:
        """Bytes of slices that came before their turn."""
        return self._incoming.held_bytes

    @property
    def due(self) -> int:
        """The number of the slice that comes next."""
        return self._incoming.next_number

    def alive(self) -> None:
        """Bytes came in, of whatever kind."""
        if not self._finished and self._handler is not None:
            self._handler.on_life()

    def known(self, number: int) -> bool:
        """The slice was taken in before."""
        return self._incoming.known(number)

    def check(self, number: int) -> None:
        """Raises RemoteProtocolError for a number that is out of the window."""
        self._incoming.check(number)

    def take_in(self, number: int, data: bytes) -> None:
        """A slice of the peer; one that is known changes nothing. Raises RemoteProtocolError for a number out of the window.

        After this, call ``deliver`` until it says False.
        """
        if self._finished or self._incoming.known(number):
            return
        for part in self._incoming.take(number, data):
            self._reader.feed(part)

    def deliver(self) -> bool:
        """Hand over what came in, a bounded part of it; True: call again after giving way. Harmless while another call is under way.

        What a handler raises ends the link and comes out of here, for the log.
        """
        if self._delivering or self._handler is None:
            return False
        self._delivering = True
        try:
            self._deliver()
        except RemoteProtocolError as error:
            self._violated(_CLOSE_CODES.get(error.code, 1002), str(error))
        except Exception as error:
            self._finish(*(self._closing or (CLOSE_ABNORMAL, type(error).__name__)))
            raise
        finally:
            self._delivering = False
        return self._reader.behind

    def lost(self, reason: str, code: int = CLOSE_ABNORMAL) -> None:
        """The connection cannot go on."""
        self._finish(*(self._closing or (code, cut_reason(reason))))

    # Helpers

    @property
    def _finished(self) -> bool:
        return self._ended is not None

    @property
    def _deaf(self) -> bool:
        return self._finished or self._closing is not None

    @property
    def _message_most(self) -> int:
        """What a text waits for behind a message that was begun."""
        if not self.pace.rate:
            return 0
        return max(self._limits.piece_min, int(self.pace.rate * self._limits.piece_seconds))

    @property
    def _pending(self) -> bool:
        return bool(self._slices) or not self._writer.empty

    def _note_output(self) -> None:
        if not self._pending:
            # Nothing was waiting: the peer's time to take bytes begins now.
            self._progress_at = self._clock.monotonic()

    def _deliver(self) -> None:
        size = 0
        for _ in range(DELIVER_RECORDS):
            record = self._reader.next() if not self._finished else None
            # Looked up for each: a message may be the reason to hand the link over.
            if record is None or self._handler is None:
                return
            if record.kind is Kind.CLOSE:
                self._farewell(record)
            elif self._closing is None:
                size += len(record.data)
                if record.kind is Kind.TEXT:
                    self._handler.on_text(record.text())
                else:
                    self._handler.on_binary(record.data)
            if size >= DELIVER_BYTES:
                return

    def _farewell(self, record: Record) -> None:
        self._finish(*(self._closing or record.farewell()))

    def _violated(self, code: int, reason: str) -> None:
        """The peer broke the rules of the transport: a farewell is ours to say, and what else waits of the peer's words is not read."""
        self._reader.clear()
        if self._closing is None:
            self.close(code, reason)

    def _finish(self, code: int, reason: str) -> None:
        if self._finished:
            return
        self._ended = (code, reason)
        callbacks = self._writer.abandon()
        if self._held:
            for made, _ in self._slices.values():
                callbacks.extend(_callbacks(made))
        self._reader.clear()
        self._incoming.clear()
        _call(callbacks)
        if self._handler is not None:
            self._handler.on_closed(code, reason)
        self._wake()


def _callbacks(made: Slice) -> Iterable[OnSent]:
    ends, made.ends = made.ends, []
    return [message.on_sent for message in ends if message.on_sent is not None]


def _call(callbacks: Iterable[OnSent]) -> None:
    for callback in callbacks:
        callback()
