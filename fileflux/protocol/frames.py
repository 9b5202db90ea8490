"""Binary messages: frames, pieces of frames, have pages (docs/protocol.md, Binary messages).

Everything here only looks at headers and hands out views of the given buffer: payloads are neither copied nor decompressed, and no
size that a peer states is allocated. Geometry that can be judged without knowing the transfer is judged by ``parse_frame_header``;
the rest by ``check_geometry``, which every receiver must call before it uses a frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Final

from fileflux.errors import LocalProtocolError, RemoteProtocolError, TransferError
from fileflux.protocol.limits import HASH_SIZE, HAVE_PAGE_MAX, HEADER_SIZE, MAX_CHUNK_SIZE, MAX_CHUNKS, Limits
from fileflux.protocol.link import Buffer

FRAME_MAGIC: Final = b"FFXF"
PIECE_MAGIC: Final = b"FFXP"
HAVE_MAGIC: Final = b"FFXH"

_FRAME: Final = Struct(">4sIII32sIIB")
PIECE_HEADER: Final = Struct(">4sIII")
"""Of pieces, and of have pages with a count in the last place."""
"""Header of a piece (transfer id, index, offset) and of a have page (transfer id, first, count)."""

PART_HEADER_SIZE: Final = PIECE_HEADER.size
COMPRESSION_CODES: Final = (0, 1, 2)


def payload_max(size: int) -> int:
    """The longest compressed payload of a chunk of ``size`` bytes: codecs add a little to what they cannot shrink."""
    return size + (size >> 7) + 64


_FRAME_MAX: Final = HEADER_SIZE + payload_max(MAX_CHUNK_SIZE)


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """The 57 bytes in front of a chunk's payload. ``size``: uncompressed bytes; ``sha256``: raw, over the uncompressed bytes."""

    transfer_id: int
    index: int
    total: int
    sha256: bytes
    size: int
    payload_size: int
    compression: int

    @property
    def frame_size(self) -> int:
        """Header and payload together."""
        return HEADER_SIZE + self.payload_size

    def pack(self) -> bytes:
        """The header on the wire; send the payload right behind it."""
        return _FRAME.pack(
            FRAME_MAGIC,
            self.transfer_id,
            self.index,
            self.total,
            self.sha256,
            self.size,
            self.payload_size,
            self.compression,
        )


@dataclass(frozen=True, slots=True)
class WholeFrame:
    """A frame that travelled in one message; ``frame`` covers header and payload."""

    header: FrameHeader
    frame: memoryview


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of a frame from ``offset``. ``header`` is there if and only if ``offset`` is 0; ``data`` then begins with it."""

    transfer_id: int
    index: int
    offset: int
    data: memoryview
    header: FrameHeader | None


@dataclass(frozen=True, slots=True)
class HavePage:
    """SHA-256 of the chunks that a destination has, 32 bytes each, from chunk ``first`` on."""

    transfer_id: int
    first: int
    hashes: memoryview


def parse_frame_header(buffer: Buffer, offset: int = 0) -> FrameHeader:
    """The header at ``offset``; what follows it is not looked at.

    Raises RemoteProtocolError with one of the codes short_header, bad_magic, bad_id, bad_compression, bad_index, too_large,
    bad_geometry. After this, call ``check_geometry`` with what is known of the transfer.
    """
    if len(buffer) - offset < HEADER_SIZE:
        raise RemoteProtocolError("short header: a frame begins with 57 bytes", code="short_header")
    magic, transfer_id, index, total, sha256, size, payload_size, compression = _FRAME.unpack_from(buffer, offset)
    if magic != FRAME_MAGIC:
        raise RemoteProtocolError("this is no frame: wrong magic", code="bad_magic")
    if transfer_id == 0:
        raise RemoteProtocolError("transfer id 0 is not used", code="bad_id")
    if compression not in COMPRESSION_CODES:
        raise RemoteProtocolError(f"unknown compression {compression}", code="bad_compression")
    if not 1 <= total <= MAX_CHUNKS:
        raise RemoteProtocolError(f"{total} chunks: a file has 1 to {MAX_CHUNKS}", code="bad_geometry")
    if index >= total:
        raise RemoteProtocolError(f"chunk {index} of {total}", code="bad_index")
    if size > MAX_CHUNK_SIZE:
        raise RemoteProtocolError(f"chunk of {size} bytes: at most {MAX_CHUNK_SIZE}", code="too_large")
    header = FrameHeader(transfer_id, index, total, sha256, size, payload_size, compression)
    _check_payload_size(header)
    if size == 0 and total != 1:
        raise RemoteProtocolError("a chunk of 0 bytes in a file that is not empty", code="bad_geometry")
    return header


def _check_payload_size(header: FrameHeader) -> None:
    size, payload_size = header.size, header.payload_size
    if header.compression == 0:
        if payload_size != size:
            raise RemoteProtocolError(f"uncompressed payload of {payload_size} bytes for {size}", code="bad_geometry")
    elif size == 0:
        raise RemoteProtocolError("a chunk of 0 bytes is sent uncompressed", code="bad_geometry")
    elif payload_size == 0:
        raise RemoteProtocolError("empty payload", code="bad_geometry")
    elif payload_size > payload_max(size):
        raise RemoteProtocolError(f"payload of {payload_size} bytes for a chunk of {size}", code="too_large")


def total_chunks(file_size: int, chunk_size: int) -> int:
    """Chunks of a file; an empty file has one of 0 bytes.

    Raises TransferError(too_large) above MAX_CHUNKS, LocalProtocolError for sizes that no file has.
    """
    if file_size < 0 or chunk_size <= 0:
        raise LocalProtocolError(f"no file has {file_size} bytes in chunks of {chunk_size}")
    total = max(1, -(-file_size // chunk_size))
    if total > MAX_CHUNKS:
        raise TransferError(
            f"{file_size} bytes are {total} chunks of {chunk_size}, at most {MAX_CHUNKS} are possible: set a larger chunk_size",
            code="too_large",
        )
    return total


def chunk_length(index: int, file_size: int, chunk_size: int) -> int:
    """Uncompressed bytes of a chunk; it begins at ``index * chunk_size``. Raises LocalProtocolError for an index outside the file."""
    if not 0 <= index < max(1, -(-file_size // chunk_size)):
        raise LocalProtocolError(f"chunk {index} is outside a file of {file_size} bytes")
    return min(chunk_size, file_size - index * chunk_size)


def check_geometry(header: FrameHeader, file_size: int, chunk_size: int) -> None:
    """Does the frame fit a file of this size? Raises RemoteProtocolError(bad_geometry, bad_index or too_large)."""
    total = total_chunks(file_size, chunk_size)
    if header.total != total:
        raise RemoteProtocolError(f"frame says {header.total} chunks, the file has {total}", code="bad_geometry")
    if not 0 <= header.index < total:
        raise RemoteProtocolError(f"chunk {header.index} of {total}", code="bad_index")
    expected = chunk_length(header.index, file_size, chunk_size)
    if header.size != expected:
        raise RemoteProtocolError(f"chunk {header.index} has {header.size} bytes, not {expected}", code="bad_geometry")
    _check_payload_size(header)


def iter_binary(data: Buffer, limits: Limits) -> Iterator[WholeFrame | Piece | HavePage]:
    """What one binary message holds: frames back to back, or one piece, or one have page.

    Items before a bad one are yielded, then RemoteProtocolError is raised and the rest of the message is void. The views belong to
    ``data``: it must not change while they are used.
    """
    view = memoryview(data)
    length = len(view)
    if length == 0:
        raise RemoteProtocolError("empty binary message", code="short_header")
    if length > limits.max_binary_bytes:
        raise RemoteProtocolError(
            f"binary message of {length} bytes: at most {limits.max_binary_bytes}", code="too_large", close=True
        )
    magic = bytes(view[:4])
    if magic == PIECE_MAGIC:
        yield _parse_piece(view)
        return
    if magic == HAVE_MAGIC:
        yield _parse_have_page(view)
        return
    position = 0
    while position < length:
        header = parse_frame_header(view, position)
        end = position + header.frame_size
        if end > length:
            raise RemoteProtocolError(
                f"frame of {header.frame_size} bytes in {length - position}: length mismatch", code="truncated"
            )
        yield WholeFrame(header, view[position:end])
        position = end


def _parse_piece(view: memoryview) -> Piece:
    if len(view) <= PART_HEADER_SIZE:
        raise RemoteProtocolError("short header: a piece has 16 bytes and data behind them", code="short_header")
    _, transfer_id, index, offset = PIECE_HEADER.unpack_from(view)
    data = view[PART_HEADER_SIZE:]
    if transfer_id == 0:
        raise RemoteProtocolError("transfer id 0 is not used", code="bad_id")
    if index >= MAX_CHUNKS:
        raise RemoteProtocolError(f"chunk {index}: a file has at most {MAX_CHUNKS}", code="bad_index")
    if offset + len(data) > _FRAME_MAX:
        raise RemoteProtocolError(f"piece up to byte {offset + len(data)}: no frame is so long", code="too_large")
    if offset:
        if offset < HEADER_SIZE:
            raise RemoteProtocolError("piece 0 must hold the whole header", code="piece_order")
        return Piece(transfer_id, index, offset, data, None)
    header = parse_frame_header(data)
    if (header.transfer_id, header.index) != (transfer_id, index):
        raise RemoteProtocolError("piece 0 begins with the header of another chunk", code="bad_geometry")
    if len(data) > header.frame_size:
        raise RemoteProtocolError("piece is longer than its frame", code="piece_order")
    return Piece(transfer_id, index, 0, data, header)


def _parse_have_page(view: memoryview) -> HavePage:
    if len(view) < PART_HEADER_SIZE:
        raise RemoteProtocolError("short header: a have page begins with 16 bytes", code="short_header")
    _, transfer_id, first, count = PIECE_HEADER.unpack_from(view)
    if transfer_id == 0:
        raise RemoteProtocolError("transfer id 0 is not used", code="bad_id")
    if not 1 <= count <= HAVE_PAGE_MAX:
        raise RemoteProtocolError(f"{count} hashes: a have page has 1 to {HAVE_PAGE_MAX}", code="too_large")
    if first + count > MAX_CHUNKS:
        raise RemoteProtocolError(
            f"hash of chunk {first + count - 1}: a file has at most {MAX_CHUNKS}", code="bad_index"
        )
    hashes = view[PART_HEADER_SIZE:]
    if len(hashes) != count * HASH_SIZE:
        raise RemoteProtocolError(f"{len(hashes)} bytes for {count} hashes: length mismatch", code="truncated")
    return HavePage(transfer_id, first, hashes)


def encode_piece(transfer_id: int, index: int, offset: int, data: Buffer) -> bytes:
    """A piece as one binary message. A frame that fits in one piece is sent as it is instead."""
    return b"".join((PIECE_HEADER.pack(PIECE_MAGIC, transfer_id, index, offset), data))


def encode_have_page(transfer_id: int, first: int, hashes: Buffer) -> bytes:
    """A have page as one binary message. Raises LocalProtocolError unless it holds 1 to HAVE_PAGE_MAX whole hashes."""
    count, rest = divmod(len(hashes), HASH_SIZE)
    if rest or not 1 <= count <= HAVE_PAGE_MAX:
        raise LocalProtocolError(f"a have page holds 1 to {HAVE_PAGE_MAX} hashes, not {len(hashes)} bytes")
    return b"".join((PIECE_HEADER.pack(HAVE_MAGIC, transfer_id, first, count), hashes))


class ChunkAssembly:
    """Puts the pieces of one frame together, in order, in a buffer of the caller's (at least ``header.frame_size`` bytes)."""

    def __init__(self, buffer: memoryview | bytearray) -> None:
        self._view = memoryview(buffer)
        self.header: FrameHeader | None = None
        """Known after the first piece."""
        self.received = 0

    def add(self, piece: Piece) -> bool:
        """Take the next piece; True when the frame is whole, after which nothing may be added.

        Raises RemoteProtocolError(piece_order) for a piece that is not the next one or does not fit; the frame is then void.
        """
        if self.header is None:
            if piece.header is None:
                raise RemoteProtocolError(f"chunk {piece.index} does not begin with piece 0", code="piece_order")
            if piece.header.frame_size > len(self._view):
                raise LocalProtocolError(
                    f"a frame of {piece.header.frame_size} bytes for a buffer of {len(self._view)}"
                )
            self.header = piece.header
        header = self.header
        if (piece.transfer_id, piece.index) != (header.transfer_id, header.index):
            raise LocalProtocolError("piece of another chunk")
        end = self.received + len(piece.data)
        if piece.offset != self.received or not len(piece.data) or end > header.frame_size:
            raise RemoteProtocolError(
                f"piece of chunk {piece.index} at {piece.offset}, expected {self.received}", code="piece_order"
            )
        self._view[self.received : end] = piece.data
        self.received = end
        return end == header.frame_size
