"""Cuts a binary message into smaller ones that say the same, for a link that is thinner than the one it came from.

The hub passes messages on as they come: pieces of 1 MiB from a source on a fast link. On a destination's link of 64 kB/s one of them would hold up
a heartbeat for 16 s.
"""

from __future__ import annotations

from fileflux.protocol.frames import (
    FRAME_MAGIC,
    HAVE_MAGIC,
    PIECE_HEADER,
    PIECE_MAGIC,
    encode_have_page,
    encode_piece,
    parse_frame_header,
)
from fileflux.protocol.limits import HASH_SIZE, HEADER_SIZE
from fileflux.protocol.link import Buffer


def cut_binary(data: Buffer, most: int) -> list[Buffer]:
    """``data``, one frame, piece or have page that was checked when it came in, as messages of about ``most`` bytes, in order.

    ``most`` is at least a frame's header; what is no larger comes back as it is.
    """
    if len(data) <= most:
        return [data]
    view = memoryview(data)
    magic = bytes(view[:4])
    room = max(most - PIECE_HEADER.size, HEADER_SIZE)
    if magic == PIECE_MAGIC:
        _, transfer_id, index, offset = PIECE_HEADER.unpack_from(view)
        return _pieces(transfer_id, index, offset, view[PIECE_HEADER.size :], room)
    if magic == FRAME_MAGIC:
        header = parse_frame_header(view)
        return _pieces(header.transfer_id, header.index, 0, view, room)
    if magic == HAVE_MAGIC:
        _, transfer_id, first, _ = PIECE_HEADER.unpack_from(view)
        return _pages(transfer_id, first, view[PIECE_HEADER.size :], max(1, room // HASH_SIZE))
    return [data]


def _pieces(transfer_id: int, index: int, offset: int, data: memoryview, room: int) -> list[Buffer]:
    return [encode_piece(transfer_id, index, offset + at, data[at : at + room]) for at in range(0, len(data), room)]


def _pages(transfer_id: int, first: int, hashes: memoryview, count: int) -> list[Buffer]:
    step = count * HASH_SIZE
    return [
        encode_have_page(transfer_id, first + at // HASH_SIZE, hashes[at : at + step])
        for at in range(0, len(hashes), step)
    ]
