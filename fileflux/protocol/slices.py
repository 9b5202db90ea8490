"""What one end of a long-polling link has to say, cut into numbered slices; and what it hears, put in order.

A slice is kept until the peer has it, because a request that died may have arrived or not: it is sent again under its number, with the same
bytes, and counts once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from fileflux.errors import RemoteProtocolError
from fileflux.protocol.link import Buffer, Cut
from fileflux.protocol.records import HEAD, Kind, close_record, head_of

OnSent = Callable[[], None]


@dataclass(slots=True, eq=False)
class _Message:
    data: Buffer
    size: int
    tag: int
    on_sent: OnSent | None
    cut: Cut | None = None


@dataclass(slots=True, eq=False)
class Slice:
    """Bytes of the stream. ``ends`` are the messages whose last byte is in it."""

    data: bytes
    last: bool
    """It holds the farewell: nothing follows."""
    ends: list[_Message] = field(default_factory=list)


class SliceWriter:
    """The stream of one direction. Texts overtake binary messages that were not begun; each kind keeps its order."""

    def __init__(self) -> None:
        self._texts: deque[bytes] = deque()
        self._binaries: deque[_Message] = deque()
        self._current: _Message | None = None
        self._rest = memoryview(b"")
        self._body_due = False
        self._farewell: bytes | None = None
        self._said_farewell = False
        self.queued_bytes = 0
        """Bytes of binary messages that are in no slice yet."""

    @property
    def texts(self) -> int:
        """Texts that are in no slice yet."""
        return len(self._texts)

    @property
    def empty(self) -> bool:
        """``take`` has nothing to give."""
        return not (
            self._rest or self._texts or self._binaries or (self._farewell is not None and not self._said_farewell)
        )

    def text(self, text: str) -> None:
        data = text.encode()
        self._texts.append(head_of(Kind.TEXT, len(data)) + data)

    def binary(self, data: Buffer, tag: int, on_sent: OnSent | None, cut: Cut | None = None) -> None:
        self._binaries.append(_Message(data, len(data), tag, on_sent, cut))
        self.queued_bytes += len(data)

    def farewell(self, code: int, reason: str) -> list[OnSent]:
        """Texts that wait still go out, binary messages that were not begun do not: their callbacks are returned, to be called."""
        self._farewell = close_record(code, reason)
        dropped, self._binaries = list(self._binaries), deque()
        return self._forget(dropped)

    def drop(self, tag: int) -> tuple[int, list[OnSent]]:
        """Forget the messages with this tag that were not begun; their bytes, and their callbacks to be called."""
        dropped = [message for message in self._binaries if message.tag == tag]
        if dropped:
            self._binaries = deque(message for message in self._binaries if message.tag != tag)
        return sum(message.size for message in dropped), self._forget(dropped)

    def abandon(self) -> list[OnSent]:
        """The link is gone: the callbacks of all messages that are in no slice as a whole, to be called."""
        left = [*([self._current] if self._current is not None else []), *self._binaries]
        self._current, self._rest = None, memoryview(b"")
        self._binaries.clear()
        self._texts.clear()
        self.queued_bytes = 0
        return [message.on_sent for message in left if message.on_sent is not None]

    def take(self, most: int, message_most: int = 0) -> Slice | None:
        """The next slice, of at most ``most`` bytes; None when there is nothing to say.

        ``message_most``: what is longer than twice this and can be cut, is cut; 0: nothing is.
        """
        parts: list[Buffer] = []
        ends: list[_Message] = []
        room = most
        while room > 0 and (self._rest or (self._worth_beginning(room, most) and self._load(message_most))):
            part = self._rest[:room]
            parts.append(part)
            room -= len(part)
            self._rest = self._rest[len(part) :]
            if not self._rest and self._current is not None and not self._load_body():
                ends.append(self._current)
                self._current = None
        if not parts:
            return None
        last = self._said_farewell and not self._rest
        return Slice(b"".join(parts), last, ends)

    def _worth_beginning(self, room: int, most: int) -> bool:
        """A message that fits whole into a slice is passed on without a copy: wait for the next one, unless this one is still half empty."""
        if self._texts or not self._binaries or 2 * room > most:
            return True
        return HEAD.size + self._binaries[0].size <= room

    def _load(self, message_most: int) -> bool:
        """Begin the next record."""
        if self._texts:
            self._rest = memoryview(self._texts.popleft())
        elif self._farewell is not None:
            if self._said_farewell:
                return False
            self._said_farewell = True
            self._rest = memoryview(self._farewell)
        elif self._binaries:
            self._current = self._next_binary(message_most)
            self._rest = memoryview(head_of(Kind.BINARY, self._current.size))
            self._body_due = True
        else:
            return False
        return True

    def _next_binary(self, message_most: int) -> _Message:
        message = self._binaries.popleft()
        if message.cut is None or not 0 < 2 * message_most < message.size:
            return message
        parts = [_Message(part, len(part), message.tag, None) for part in message.cut(message.data, message_most)]
        parts[-1].on_sent = message.on_sent
        self.queued_bytes += sum(part.size for part in parts) - message.size
        self._binaries.extendleft(reversed(parts[1:]))
        return parts[0]

    def _load_body(self) -> bool:
        """The head of a binary record has gone: its bytes are next. False when they have gone as well, or there are none."""
        message = self._current
        if message is None or not self._body_due:
            return False
        self._body_due = False
        self.queued_bytes -= message.size
        self._rest = memoryview(message.data).cast("B") if message.size else memoryview(b"")
        return bool(self._rest)

    def _forget(self, messages: list[_Message]) -> list[OnSent]:
        self.queued_bytes -= sum(message.size for message in messages)
        return [message.on_sent for message in messages if message.on_sent is not None]


class SliceReader:
    """Puts slices in order by their number. ``window``: how far ahead of the next one a number may be."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._early: dict[int, bytes] = {}
        self.next_number = 1
        """The number of the slice that is due."""
        self.held_bytes = 0
        """Bytes of slices that came before the one that is due."""

    def known(self, number: int) -> bool:
        """The slice came already: it is answered as before and not taken again."""
        return number < self.next_number or number in self._early

    def check(self, number: int) -> None:
        """Raises RemoteProtocolError (closing) for a number that no peer that keeps the rules would use now."""
        if not 1 <= number < self.next_number + self._window:
            raise RemoteProtocolError(
                f"slice {number}, while {self.next_number} is due", code="sequence", field="X-FileFlux-Seq", close=True
            )

    def take(self, number: int, data: bytes) -> list[bytes]:
        """A slice that is not ``known``: the slices that are in order now."""
        self.check(number)
        if number != self.next_number:
            self._early[number] = data
            self.held_bytes += len(data)
            return []
        ready = [data]
        self.next_number += 1
        while (early := self._early.pop(self.next_number, None)) is not None:
            self.held_bytes -= len(early)
            ready.append(early)
            self.next_number += 1
        return ready

    def clear(self) -> None:
        self._early.clear()
        self.held_bytes = 0
