"""Cut messages say the same as the one they were cut from."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileflux.protocol.cutting import cut_binary
from fileflux.protocol.frames import (
    ChunkAssembly,
    FrameHeader,
    HavePage,
    Piece,
    WholeFrame,
    encode_have_page,
    encode_piece,
    iter_binary,
)
from fileflux.protocol.limits import DEFAULT_LIMITS, HASH_SIZE, KIB

pytestmark = pytest.mark.unit

SIZES = st.integers(128, 20_000)


def frame_of(payload: bytes) -> tuple[FrameHeader, bytes]:
    header = FrameHeader(7, 0, 1, hashlib.sha256(payload).digest(), len(payload), len(payload), 0)
    return header, header.pack() + payload


def items(messages):
    return [item for message in messages for item in iter_binary(message, DEFAULT_LIMITS)]


def test_what_is_small_enough_comes_back_as_it_is() -> None:
    _, frame = frame_of(b"x" * 1000)
    [same] = cut_binary(frame, len(frame))
    assert same is frame


@given(size=st.integers(1, 50_000), most=SIZES)
def test_a_frame_becomes_pieces_that_assemble_to_it(size: int, most: int) -> None:
    header, frame = frame_of(bytes(range(256)) * (size // 256 + 1))
    parts = cut_binary(frame, most)
    if len(parts) == 1:
        assert isinstance(items(parts)[0], WholeFrame)
        return
    assembly = ChunkAssembly(bytearray(header.frame_size))
    done = [assembly.add(item) for item in items(parts) if isinstance(item, Piece)]
    assert done == [False] * (len(parts) - 1) + [True]
    assert max(map(len, parts)) <= max(most, 57 + 16)


@given(length=st.integers(200, 50_000), offset=st.integers(57, 1 << 20), most=SIZES)
def test_a_piece_becomes_pieces_that_follow_each_other(length: int, offset: int, most: int) -> None:
    data = bytes(range(256)) * (length // 256 + 1)
    at = offset
    for item in items(cut_binary(encode_piece(3, 9, offset, data), most)):
        assert isinstance(item, Piece)
        assert (item.transfer_id, item.index, item.offset) == (3, 9, at)
        assert bytes(item.data) == data[at - offset : at - offset + len(item.data)]
        at += len(item.data)
    assert at == offset + len(data)


@given(count=st.integers(1, 3000), most=SIZES)
def test_a_have_page_becomes_pages_without_gaps(count: int, most: int) -> None:
    hashes = b"".join(number.to_bytes(HASH_SIZE, "big") for number in range(count))
    following = 5
    got = b""
    for item in items(cut_binary(encode_have_page(4, 5, hashes), most)):
        assert isinstance(item, HavePage)
        assert item.first == following
        got += bytes(item.hashes)
        following += len(item.hashes) // HASH_SIZE
    assert got == hashes


def test_what_is_none_of_them_is_left_alone() -> None:
    data = b"FFXE" + bytes(64 * KIB)
    assert cut_binary(data, 1000) == [data]
