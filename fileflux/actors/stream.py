"""The accounts of one transfer's data on its way through the hub. Pure: numbers in, numbers out.

Four counts of frame bytes (headers included), all since the wire id's first byte::

    acked_bytes ≤ drained ≤ received ≤ up_to
    │             │         │          └ what the source was told it may have sent
    │             │         └ what came in from the source
    │             └ what is in the destination's socket
    └ what the destination has written and synced

``up_to - drained`` is reserved in the hub's byte budget, ``up_to - acked_bytes`` in the destination's receive buffer (``shares.py``).
Where a bandwidth limit took back a part of the window, ``held_back`` bytes of ``up_to`` may still come, if they were on their way, and are not
the source's to send.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fileflux.errors import RemoteProtocolError
from fileflux.jobs.bandwidth import DEFAULT_PRIORITY
from fileflux.protocol.frames import FrameHeader, Piece, check_geometry, payload_max
from fileflux.protocol.limits import DEFAULT_LIMITS, HEADER_SIZE
from fileflux.protocol.ranges import RangeSet

FRAMES_OPEN_MAX = 65_536
"""Frames of one stream that are not yet acknowledged: frames of zeros are tiny, so the window alone would not bound their records."""
PIECE_MIN = DEFAULT_LIMITS.piece_min
RANGE_MAX = 8192
"""Chunks in one range of an ack: walking through it must not hold the loop."""


@dataclass(slots=True)
class Stream:
    """Everything the relay remembers of one open transfer. Bounded by the window and FRAMES_OPEN_MAX."""

    wire_id: int
    size: int
    chunk_size: int
    total: int
    weight: int = DEFAULT_PRIORITY
    started: bool = False
    parked: bool = False
    """It gave its place in the destination's buffer to others and waits for its next turn."""
    received: int = 0
    drained: int = 0
    acked_bytes: int = 0
    up_to: int = 0
    held_back: int = 0
    bytes_wire: int = 0
    have_expected: int | None = None
    have_seen: int = 0
    reused: int = 0
    acked: RangeSet = field(default_factory=RangeSet)
    frames: dict[int, int] = field(default_factory=dict)
    partial: dict[int, tuple[FrameHeader, int]] = field(default_factory=dict)
    nacks: dict[int, int] = field(default_factory=dict)
    compression: int = 0
    complete_reported: bool = False

    @property
    def frame_max(self) -> int:
        """Bytes of the largest frame this transfer can have."""
        return HEADER_SIZE + payload_max(min(self.size, self.chunk_size))

    @property
    def frame_plain(self) -> int:
        """Bytes of its largest frame that no codec has made longer: our own sources send no others."""
        return HEADER_SIZE + min(self.size, self.chunk_size)

    @property
    def outstanding(self) -> int:
        """Bytes that were granted and are not acknowledged."""
        return self.up_to - self.acked_bytes

    @property
    def reserved(self) -> int:
        """Bytes that were granted and may still have to be held in the hub."""
        return self.up_to - self.drained

    @property
    def done(self) -> bool:
        return self.acked.count == self.total

    @property
    def left_max(self) -> int:
        """Bytes that the source may still have to send, at most: more is never granted, so that a small file reserves little."""
        missing = self.total - self.acked.count - len(self.frames)
        return max(0, missing - len(self.partial)) * self.frame_max + self.begun_left

    @property
    def begun_left(self) -> int:
        """Bytes that are missing of frames whose beginning came in."""
        return sum(header.frame_size - got for header, got in self.partial.values()) if self.partial else 0

    @property
    def told(self) -> int:
        """The window as the source knows it."""
        return self.up_to - self.held_back

    @property
    def may_send_nothing(self) -> bool:
        """The source has no room for a piece worth a message: it leaves less than ``PIECE_MIN`` of a window lying."""
        return self.up_to - self.held_back - self.received < PIECE_MIN

    @property
    def stuck(self) -> bool:
        """Nothing of it is on its way to a socket and the source cannot go on: only others can free what it needs."""
        return self.drained == self.received and self.may_send_nothing and self.left_max > self.up_to - self.received

    @property
    def between_frames(self) -> bool:
        """Nothing of it is on its way, and the source may begin nothing."""
        return self.up_to == self.acked_bytes and not self.frames and not self.partial and not self.done

    def chunk_bytes(self, index: int) -> int:
        """Uncompressed length of a chunk."""
        return max(0, min(self.chunk_size, self.size - index * self.chunk_size))

    def bytes_done(self) -> int:
        """Uncompressed bytes that the destination has acknowledged."""
        done = self.acked.count * self.chunk_size
        if self.acked.contains(self.total - 1):
            done -= self.chunk_size - self.chunk_bytes(self.total - 1)
        return min(done, self.size)

    def chunks(self, first: int, count: int) -> list[str]:
        """``acked``, ``in_flight`` or ``missing`` for each of these chunks, as far as the file goes."""
        acked, sent = self.acked.contains, (self.frames, self.partial)
        return [
            "acked" if acked(index) else "in_flight" if any(index in place for place in sent) else "missing"
            for index in range(first, min(first + count, self.total))
        ]

    def take_frame(self, header: FrameHeader) -> None:
        """A whole frame came in. Raises RemoteProtocolError when it does not belong here or is beyond the window."""
        self._check_header(header)
        self._count(header.frame_size)
        self.partial.pop(header.index, None)
        self._complete(header)

    def take_piece(self, piece: Piece) -> FrameHeader | None:
        """A piece came in, in order within its chunk; the frame's header once the chunk is whole."""
        if piece.offset == 0:
            if piece.header is None:
                raise RemoteProtocolError(
                    "piece 0 does not begin with a frame's header", code="short_header", close=True
                )
            self._check_header(piece.header)
            self.partial[piece.index] = (piece.header, 0)
        held = self.partial.get(piece.index)
        if held is None or held[1] != piece.offset:
            raise RemoteProtocolError(
                f"piece of chunk {piece.index} at offset {piece.offset} is out of order", code="piece_order", close=True
            )
        header, got = held
        length = len(piece.data)
        if length == 0 or got + length > header.frame_size:
            raise RemoteProtocolError(
                f"piece of chunk {piece.index} does not fit its frame", code="piece_order", close=True
            )
        self._count(length)
        if got + length < header.frame_size:
            self.partial[piece.index] = (header, got + length)
            return None
        del self.partial[piece.index]
        self._complete(header)
        return header

    def sent_on(self, length: int) -> None:
        """Bytes of this stream are in the destination's socket, or were given up with the link."""
        self.drained = min(self.received, self.drained + length)

    def acknowledge(self, first: int, last: int) -> int:
        """Chunks are written and synced; the number that is new. Raises RemoteProtocolError for what was never sent."""
        self._check_range(first, last)
        fresh = 0
        for index in range(first, last + 1):
            length = self.frames.pop(index, None)
            if length is not None:
                self.acked_bytes += length
            elif self.acked.contains(index):
                continue
            elif index not in self.nacks:
                raise RemoteProtocolError(f"ack of chunk {index}, which was not sent", code="bad_ack", field="chunks")
            if not self.acked.contains(index):
                self.acked.add(index, index)
                fresh += 1
        return fresh

    def same(self, first: int, last: int) -> None:
        """The source says that the destination has these chunks; they count when the destination acknowledges them."""
        self._check_range(first, last)
        if last >= self.have_seen:
            raise RemoteProtocolError(
                f"chunk_same up to {last}, at {self.have_seen} hashes", code="bad_have", field="chunks"
            )
        for index in range(first, last + 1):
            if not self.acked.contains(index):
                if index not in self.frames:
                    self.reused += self.chunk_bytes(index)
                self.frames.setdefault(index, 0)
        self._check_open()

    def refuse(self, index: int) -> int:
        """The destination refused a chunk that came to it; how often this chunk was refused so far."""
        if index not in self.frames:
            raise RemoteProtocolError(f"nack of chunk {index}, which is not on its way", code="bad_ack", field="index")
        self.acked_bytes += self.frames.pop(index)
        self.nacks[index] = self.nacks.get(index, 0) + 1
        return self.nacks[index]

    def relink(self) -> int:
        """A link changed: nothing is in flight any more; the new count of received bytes, which the source is told."""
        self.partial.clear()
        for index in self.frames:
            # Its ack may still come; without a length it frees nothing, because the counts start level below.
            self.frames[index] = 0
        self.received = self.drained = self.acked_bytes = self.up_to
        self.held_back = 0
        return self.received

    def _check_range(self, first: int, last: int) -> None:
        if last >= self.total:
            raise RemoteProtocolError(f"chunk {last} of {self.total}", code="bad_index", field="chunks")
        if last - first >= RANGE_MAX:
            raise RemoteProtocolError(f"more than {RANGE_MAX} chunks in one range", code="bad_index", field="chunks")

    def _check_header(self, header: FrameHeader) -> None:
        if header.total != self.total:
            raise RemoteProtocolError(
                f"frame says {header.total} chunks, the transfer has {self.total}", code="bad_geometry"
            )
        check_geometry(header, self.size, self.chunk_size)

    def _count(self, length: int) -> None:
        if not self.started or self.received + length > self.up_to:
            raise RemoteProtocolError("bytes beyond the window", code="window", close=True)
        self.received += length
        self.bytes_wire += length

    def _complete(self, header: FrameHeader) -> None:
        if self.acked.contains(header.index):
            # The destination answers the first piece of what it has with an ack, which may have been here before the last piece:
            # no other will follow, and a chunk that counts as acknowledged and as on its way would be one that is never granted.
            self.acked_bytes += self.frames.pop(header.index, 0) + header.frame_size
            return
        previous = self.frames.get(header.index, 0)
        # A chunk sent again while its first frame is unacknowledged: one ack will free both.
        self.frames[header.index] = previous + header.frame_size
        self.compression = max(self.compression, header.compression)
        self._check_open()

    def _check_open(self) -> None:
        if len(self.frames) > FRAMES_OPEN_MAX:
            raise RemoteProtocolError("too many unacknowledged chunks", code="window", close=True)
