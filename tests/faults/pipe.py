"""One direction of a connection through the fault proxy: read at the link's rate, kept for the link's latency, delivered in order.

The bottleneck stands where bytes are read. What the link has no room for stays in the kernel's small receive buffer and then in the
sender, as it would in front of a slow modem; the line behind it holds what is on its way. Marks (the end of a direction, a cut) travel in the
line with the bytes, so that they take the same time and never overtake any.
"""

from __future__ import annotations

import enum
import fcntl
import random
import socket
import sys
import termios
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from tests.faults.bandwidth import Bucket
from tests.faults.loop import READ, WRITE, Loop, Timer
from tests.faults.rules import KIB, End, Mode, Way

READ_MAX = 256 * KIB
SLICES_A_TURN = 256
RESET_PATIENCE = 1.0
"""So long a reset waits for a receiver to take what was sent before it."""


class Mark(enum.Enum):
    """What the sender itself did, on its way to the receiver."""

    EOF = "eof"
    RESET = "reset"


class Owner(Protocol):
    """The connection, from one of its directions."""

    def take(self, pipe: Pipe, data: bytes) -> None: ...
    def broken(self, peer: Peer) -> None: ...
    def end(self, how: End, cause: str) -> None: ...
    def settled(self) -> None: ...


class Peer:
    """One of the two sockets of a connection. ``opening`` is called once when something is to be sent before it is connected."""

    def __init__(self, loop: Loop, sock: socket.socket, opening: Callable[[], None] | None = None) -> None:
        self.sock = sock
        self.connected = opening is None
        self.opening = opening
        self.closed = False
        self.reader: Pipe
        self.writer: Pipe
        self.on_connected: Callable[[], None] | None = None
        self._loop = loop
        self._events = 0

    def want(self, *, read: bool | None = None, write: bool | None = None) -> None:
        if self.closed:
            return
        reading = bool(self._events & READ) if read is None else read
        writing = bool(self._events & WRITE) if write is None else write
        events = (READ if reading else 0) | (WRITE if writing else 0)
        if events != self._events:
            self._loop.watch(self.sock, events, self._events, self._ready)
            self._events = events

    def ready_to_send(self) -> bool:
        if not self.connected and self.opening is not None:
            opening, self.opening = self.opening, None
            opening()
        return self.connected and not self.closed

    def unsent(self) -> int:
        """Bytes that the kernel still has: a reset would throw them away."""
        return int.from_bytes(fcntl.ioctl(self.sock, termios.TIOCOUTQ, bytes(4)), sys.byteorder)

    def close(self, *, reset: bool = False) -> None:
        if self.closed:
            return
        self.want(read=False, write=False)
        self.closed = True
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def shutdown(self) -> None:
        if self.connected and not self.closed:
            try:
                self.sock.shutdown(socket.SHUT_WR)
            except OSError:
                return

    def _ready(self, mask: int) -> None:
        if self.on_connected is not None:
            connected, self.on_connected = self.on_connected, None
            self.want(write=False)
            connected()
            return
        if mask & WRITE:
            self.want(write=False)
            self.writer.deliver()
        if mask & READ and not self.closed:
            self.reader.readable()


class Pipe:
    """From ``source`` to ``sink``. The owner sees what is read and calls ``put`` with what shall pass."""

    def __init__(
        self, owner: Owner, loop: Loop, source: Peer, sink: Peer, way: Way, bucket: Bucket | None, seed: str
    ) -> None:
        self.source, self.sink = source, sink
        self.way = way
        self.received = 0
        """Bytes read from the sender."""
        self.passed = 0
        """Bytes that entered the line; offsets of rules count these."""
        self.delivered = 0
        self.ended_at: float | None = None
        """When the sender's end (FIN or RST) was read."""
        self._owner = owner
        self._loop = loop
        self.bucket = bucket
        self._random = random.Random(seed)
        self._line: deque[tuple[float, bytes | Mark | End]] = deque()
        self._in_line = 0
        self._offset = 0
        self._last_due = 0.0
        self._next_slice = 0.0
        self._queue = source.sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
        self._full = False
        self._closing = False
        self._draining = False
        self._timer: Timer | None = None

    def configure(self, way: Way, bucket: Bucket | None) -> None:
        """Carry on by another way. What is in the line keeps its times."""
        if self.bucket is not None and self.bucket is not bucket:
            self.bucket.forget(self)
        self.way, self.bucket = way, bucket
        self._fit_queue(0)
        if way.end_after is not None and self.passed >= way.end_after:
            self._close(way.end)
        self.deliver()
        self.readable()

    def _fit_queue(self, read: int) -> None:
        """Make the kernel's queue in front of the link as long as the way says. It shrinks only as it is read: what the sender was
        promised room for would be lost otherwise. (The kernel doubles the size, hence the half.)"""
        size = max(self.way.queue, self._queue - read // 2)
        if size != self._queue and not self.source.closed:
            self._queue = size
            self.source.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)

    @property
    def finished(self) -> bool:
        """Nothing comes any more, and nothing is left to deliver."""
        return self.ended_at is not None and not self._line

    def readable(self) -> None:
        """Read while there is something, room, and a share of the link."""
        for _ in range(8):
            if self.ended_at is not None or self.source.closed or not self.source.connected:
                return
            size = self._room()
            if size <= 0:
                self._full = True
                self.source.want(read=False)
                return
            size = min(size, READ_MAX)
            if self.bucket is not None and not self._draining:
                size = self.bucket.take(self, size)
                if not size:
                    self.source.want(read=False)
                    return
            try:
                data = self.source.sock.recv(size)
            except BlockingIOError:
                self._refund(size)
                break
            except OSError:
                self._refund(size)
                self._owner.broken(self.source)
                return
            self._refund(size - len(data))
            if not data:
                self.source_ended(Mark.EOF)
                return
            self.received += len(data)
            if self._queue > self.way.queue:
                self._fit_queue(len(data))
            if not self._draining:
                self._owner.take(self, data)
        self.source.want(read=True)

    def source_ended(self, mark: Mark) -> None:
        """The sender's FIN or RST. It follows its bytes."""
        if self.ended_at is None:
            self.ended_at = time.monotonic()
        self.source.want(read=False)
        if self.way.mode is not Mode.DISCARD and (not self._closing or mark is Mark.RESET):
            self._append(mark)
            self.deliver()
        self._owner.settled()

    def put(self, data: bytes) -> None:
        """Bytes that shall pass, with the rule's faults."""
        if self._closing or self.way.mode is Mode.DISCARD:
            return
        way = self.way
        start, stop = self.passed, self.passed + len(data)
        if way.flip_at is not None and start <= way.flip_at < stop:
            changed = bytearray(data)
            changed[way.flip_at - start] ^= way.flip
            data = bytes(changed)
        if way.end_after is not None and stop >= way.end_after:
            data = data[: way.end_after - start]
        if data:
            self.passed += len(data)
            self._in_line += len(data)
            self._append(data)
        if way.end_after is not None and self.passed >= way.end_after:
            self._close(way.end)
        self.deliver()

    def put_end(self, how: End) -> None:
        """The connection ends so when everything before has been delivered."""
        if not self._closing:
            self._close(how)
            self.deliver()

    def abandon(self) -> None:
        """The receiver is gone: what comes is read and thrown away."""
        self._line.clear()
        self._in_line = self._offset = 0
        self._closing = True
        self.drain()

    def drain(self) -> None:
        """Read and forget, at no rate, so that the sender's end is seen and a close does not become a reset."""
        self._draining = True
        if self.bucket is not None:
            self.bucket.forget(self)
        self.readable()

    def forget(self) -> None:
        """The connection is over."""
        self._line.clear()
        if self.bucket is not None:
            self.bucket.forget(self)
        if self._timer is not None:
            self._timer.cancel()

    def deliver(self) -> None:
        """Send what is due."""
        if self.way.mode in {Mode.STOP, Mode.HOLD}:
            return
        slices = SLICES_A_TURN
        while self._line and self.sink.ready_to_send():
            due, item = self._line[0]
            now = time.monotonic()
            due = max(due, self._next_slice)
            if due > now + 0.0002:
                self._arm(due)
                break
            if not isinstance(item, bytes):
                if item in {Mark.RESET, End.RESET} and self.sink.unsent() and now < due + RESET_PATIENCE:
                    self._arm(now + 0.002)
                    break
                self._line.popleft()
                self._finish(item)
                continue
            size = self.way.slice or len(item)
            # The end of a record, because the kernel would make one segment of slices that wait for an acknowledgement.
            flags = socket.MSG_EOR if self.way.slice else 0
            try:
                sent = self.sink.sock.send(memoryview(item)[self._offset : self._offset + size], flags)
            except BlockingIOError:
                self.sink.want(write=True)
                break
            except OSError:
                self._owner.broken(self.sink)
                return
            self._sent(item, sent)
            if self.way.slice is not None:
                # What the timer was late by is made good, up to two milliseconds of it.
                self._next_slice = max(self._next_slice, now - 0.002) + self.way.gap
                slices -= 1
                if not slices:
                    self._arm(now)
                    break
        if self._full and self._room() > 0:
            self._full = False
            self.readable()

    def _sent(self, item: bytes, sent: int) -> None:
        self.delivered += sent
        self._in_line -= sent
        self._offset += sent
        if self._offset == len(item):
            self._line.popleft()
            self._offset = 0

    def _finish(self, item: Mark | End) -> None:
        match item:
            case Mark.EOF | End.HALF:
                self.sink.shutdown()
                if item is End.HALF:
                    self.drain()
                self._owner.settled()
            case Mark.RESET:
                self._owner.end(End.RESET, "reset by a peer")
            case End():
                self._owner.end(item, "fault")

    def _close(self, how: End) -> None:
        if not self._closing:
            self._closing = True
            self._append(how)

    def _append(self, item: bytes | Mark | End) -> None:
        way = self.way
        due = time.monotonic() + way.latency + (self._random.uniform(0, way.jitter) if way.jitter else 0.0)
        self._last_due = max(self._last_due, due)
        self._line.append((self._last_due, item))

    def _room(self) -> int:
        if self._draining:
            return READ_MAX
        if self.way.mode is Mode.STOP:
            return 0
        return self.way.capacity - self._in_line

    def _refund(self, size: int) -> None:
        if self.bucket is not None and not self._draining and size:
            self.bucket.refund(size)

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            if self._timer.call is not None and self._timer.when <= when:
                return
            self._timer.cancel()

        def due() -> None:
            self._timer = None
            self.deliver()

        self._timer = self._loop.at(when, due)
