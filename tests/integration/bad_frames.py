"""Frames and messages that a bad source sends, by the ids of the ledger; a new case is one line."""

from __future__ import annotations

import struct
from collections.abc import Callable

import lz4.frame

from tests.integration.hostile import CHUNK, SourcePeer, sha, zstd

CHUNKS = 4
"""The source's file has so many."""
MIB = 2**20
LZ4_HEAD = 15
"""Bytes of a frame's header with a content size."""

REFUSED: dict[str, tuple[Callable[[SourcePeer], bytes], str]] = {
    "B6-one-longer": (lambda p: p.frame(0, zstd(p.chunk(0)), payload_size=len(zstd(p.chunk(0))) + 1, code=1), "truncated"),
    "B6-zero": (lambda p: p.frame(0, zstd(p.chunk(0)), payload_size=0, code=1), "bad_geometry"),
    "B6-sign": (lambda p: p.frame(0, zstd(p.chunk(0)), payload_size=0x7FFFFFFF, code=1), "too_large"),
    "B6-max": (lambda p: p.frame(0, zstd(p.chunk(0)), payload_size=0xFFFFFFFF, code=1), "too_large"),
    "B7-one-byte": (lambda p: p.frame(0) + b"x", "short_header"),
    "B7-a-frame-of-garbage": (lambda p: p.frame(0) + bytes(100_000), "bad_magic"),
    "B8-sign": (lambda p: p.frame(0, zstd(p.chunk(0)), size=0x80000000, code=1), "too_large"),
    "B8-max": (lambda p: p.frame(0, zstd(p.chunk(0)), size=0xFFFFFFFF, code=1), "too_large"),
    "B11-unknown": (lambda p: p.frame(0, code=3), "bad_compression"),
    "B11-high": (lambda p: p.frame(0, code=0xFF), "bad_compression"),
    "B12-none-of-another-length": (lambda p: p.frame(0, p.chunk(0)[:-1]), "bad_geometry"),
    "B13-index-is-total": (lambda p: p.frame(0, index_=CHUNKS), "bad_index"),
    "B13-index-max": (lambda p: p.frame(0, index_=0xFFFFFFFF), "bad_index"),
    "B13-total-zero": (lambda p: p.frame(0, total=0), "bad_geometry"),
    "B13-total-max": (lambda p: p.frame(0, total=0xFFFFFFFF), "bad_geometry"),
}  # fmt: skip
"""Refused by themselves, with the code: the transfer goes on."""


def lz4_frames(peer: SourcePeer, **options: object) -> bytes:
    return lz4.frame.compress(peer.chunk(0), **options)


def lz4_declares(size: int) -> bytes:
    """A right header with this content size."""
    return bytes(lz4.frame.LZ4FrameCompressor().begin(source_size=size))


def lz4_block(peer: SourcePeer, size: int) -> bytes:
    """The first chunk under a right header, whose first block says that it has so many bytes."""
    frame = lz4_frames(peer)
    return frame[:LZ4_HEAD] + struct.pack("<I", size) + frame[LZ4_HEAD + 4 :]


def zeros(length: int) -> bytes:
    maker = lz4.frame.LZ4FrameCompressor(block_size=lz4.frame.BLOCKSIZE_MAX4MB)
    return b"".join(
        [maker.begin(), *(maker.compress(bytes(min(MIB, length - n))) for n in range(0, length, MIB)), maker.flush()]
    )


def flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


ZSTD_HUGE = bytes.fromhex("28B52FFDE0")

WRONG: dict[str, Callable[[SourcePeer], bytes]] = {
    "B6-one-shorter": lambda p: p.frame(0, zstd(p.chunk(0))[:-1], code=1),
    "B9-zstd-of-more": lambda p: p.frame(0, zstd(p.chunk(0) + b"x"), code=1),
    "B9-lz4-of-more": lambda p: p.frame(0, lz4.frame.compress(p.chunk(0) + b"x"), code=2),
    "B10-zstd-of-less": lambda p: p.frame(0, zstd(p.chunk(0)[:-1]), code=1),
    "B12-zstd-is-raw": lambda p: p.frame(0, code=1),
    "B12-lz4-is-zstd": lambda p: p.frame(0, zstd(p.chunk(0)), code=2),
    "B12-longer-than-its-chunk": lambda p: p.frame(0, p.chunk(0) + b"x", code=1),
    "B14-one-bit-of-the-hash": lambda p: p.frame(0, sha=flipped(sha(p.chunk(0)), 31)),
    "B14-one-bit-of-the-bytes": lambda p: p.frame(0, flipped(p.chunk(0), 1000)),
    "B14-hash-of-zeros": lambda p: p.frame(0, sha=bytes(32)),
    "B14-hash-of-the-payload": lambda p: p.frame(0, zstd(p.chunk(0)), sha=sha(zstd(p.chunk(0))), code=1),
    "B28-zstd-bomb": lambda p: p.frame(0, zstd(bytes(256 * MIB)), code=1),
    "B29-declares-4-GiB": lambda p: p.frame(0, ZSTD_HUGE + struct.pack("<Q", 2**32) + b"\1\0\0", code=1),
    "B29-declares-1-TiB": lambda p: p.frame(0, ZSTD_HUGE + struct.pack("<Q", 2**40) + b"\1\0\0", code=1),
    "B30-window-log-31": lambda p: p.frame(0, bytes.fromhex("28B52FFD00A8010000"), code=1),
    "B31-without-a-size": lambda p: p.frame(0, zstd(bytes(256 * MIB), write_content_size=False)[:CHUNK], code=1),
    "B34-bad-checksum": lambda p: p.frame(0, flipped(zstd(p.chunk(0), write_checksum=True), -1), code=1),
    "B35-lz4-bomb": lambda p: p.frame(0, zeros(32 * MIB), code=2),
    "B35-size-is-a-lie": lambda p: p.frame(0, lz4_declares(2**40) + lz4_frames(p)[LZ4_HEAD:], code=2),
    "B35-no-end-mark": lambda p: p.frame(0, lz4_frames(p)[:-4], code=2),
    "B36-block-of-2-GiB": lambda p: p.frame(0, lz4_block(p, 0x7FFFFFFF), code=2),
    "B36-block-of-4-GiB": lambda p: p.frame(0, lz4_block(p, 0xFFFFFFFF), code=2),
    "B36-negative-block": lambda p: p.frame(0, lz4_block(p, 0xFFFFFFFE), code=2),
}  # fmt: skip
"""They fit the file by their header and hold something else."""


def pieces_out_of_order(peer: SourcePeer) -> None:
    frame = peer.frame(0)
    for offset in (0, 128 * 1024):
        peer.binary(struct.pack(">4sIII", b"FFXP", peer.wire, 0, offset) + frame[offset : offset + 64 * 1024])


def total_that_changes(peer: SourcePeer) -> None:
    peer.binary(peer.frame(0))
    peer.binary(peer.frame(1, total=CHUNKS + 1))


SPOILED: dict[str, tuple[Callable[[SourcePeer], None], str]] = {
    "B8-one-more": (lambda p: p.binary(p.frame(0, zstd(p.chunk(0)), size=CHUNK + 1, code=1)), "bad_geometry"),
    "B9-says-less": (lambda p: p.binary(p.frame(0, zstd(p.chunk(0)), size=CHUNK - 1, code=1)), "bad_geometry"),
    "B15-another-total": (lambda p: p.binary(p.frame(0, total=CHUNKS + 1)), "bad_geometry"),
    "B15-total-changes": (total_that_changes, "bad_geometry"),
    "B37-10000-chunks": (
        lambda p: p.binary(b"".join(p.frame(0, b"tiny", index_=n, total=10_000, size=4) for n in range(10_000))),
        "bad_geometry",
    ),
    "B39-beyond-the-end": (lambda p: p.binary(p.frame(0, index_=8, total=9)), "bad_geometry"),
    "B39-longer-last-chunk": (lambda p: p.binary(p.frame(CHUNKS - 1, b"x" * (CHUNK + 1), size=CHUNK + 1)), "bad_geometry"),
    "pieces-out-of-order": (pieces_out_of_order, "piece_order"),
    "same-as-nothing": (lambda p: p.items("chunk_same", {"chunks": [[0, 0]]}), "bad_have"),
}  # fmt: skip
"""They show that the source does not send the file it offered."""
