"""Frames, pieces, have pages: golden vectors, round trips, and every malformed header that can be judged here."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fileflux.errors import LocalProtocolError, RemoteProtocolError, TransferError
from fileflux.protocol.frames import (
    PART_HEADER_SIZE,
    ChunkAssembly,
    FrameHeader,
    HavePage,
    Piece,
    WholeFrame,
    check_geometry,
    chunk_length,
    encode_have_page,
    encode_piece,
    iter_binary,
    parse_frame_header,
    payload_max,
    total_chunks,
)
from fileflux.protocol.limits import DEFAULT_LIMITS, HEADER_SIZE, MAX_CHUNK_SIZE, MAX_CHUNKS, MIB
from fileflux.protocol.link import Buffer

pytestmark = pytest.mark.unit

GOLDEN = json.loads((Path(__file__).parent / "golden" / "binary.json").read_text())
SHA = hashlib.sha256(b"abc").digest()
GOOD = FrameHeader(transfer_id=7, index=2, total=5, sha256=SHA, size=3, payload_size=3, compression=0)


def items(data: Buffer) -> list[WholeFrame | Piece | HavePage]:
    return list(iter_binary(data, DEFAULT_LIMITS))


def refusal(data: Buffer) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        items(data)
    return caught.value.code


def raw(
    magic: bytes = b"FFXF",
    transfer_id: int = 7,
    index: int = 2,
    total: int = 5,
    size: int = 3,
    payload_size: int = 3,
    compression: int = 0,
    payload: bytes = b"abc",
) -> bytes:
    return struct.pack(">4sIII32sIIB", magic, transfer_id, index, total, SHA, size, payload_size, compression) + payload


# Golden vectors


@pytest.mark.parametrize("vector", GOLDEN["frames"], ids=lambda vector: vector["name"])
def test_golden_frames(vector: dict[str, object]) -> None:
    fields = dict(vector["header"])  # type: ignore[call-overload]  # JSON
    header = FrameHeader(**{**fields, "sha256": bytes.fromhex(fields["sha256"])})
    data = bytes.fromhex(str(vector["hex"]))
    assert header.pack() == data[:HEADER_SIZE]
    assert parse_frame_header(data) == header
    [item] = items(data)
    assert isinstance(item, WholeFrame)
    assert (item.header, bytes(item.frame)) == (header, data)


def test_golden_piece_and_have_page() -> None:
    vector = GOLDEN["piece"]
    data = bytes.fromhex(vector["hex"])
    assert encode_piece(vector["transfer_id"], vector["index"], vector["offset"], bytes.fromhex(vector["data"])) == data
    [piece] = items(data)
    assert isinstance(piece, Piece)
    assert (piece.transfer_id, piece.index, piece.offset, piece.header) == (7, 2, 57, None)
    vector = GOLDEN["have_page"]
    data = bytes.fromhex(vector["hex"])
    assert encode_have_page(vector["transfer_id"], vector["first"], bytes.fromhex(vector["hashes"])) == data
    [page] = items(data)
    assert isinstance(page, HavePage)
    assert (page.transfer_id, page.first, bytes(page.hashes).hex()) == (7, 3, vector["hashes"])


# Frames


@given(
    st.builds(
        FrameHeader,
        transfer_id=st.integers(1, 2**32 - 1),
        index=st.integers(0, 9),
        total=st.integers(10, MAX_CHUNKS),
        sha256=st.binary(min_size=32, max_size=32),
        size=st.integers(1, MAX_CHUNK_SIZE),
        payload_size=st.integers(1, 2000),
        compression=st.sampled_from((1, 2)),
    )
)
def test_headers_come_back(header: FrameHeader) -> None:
    header = replace(header, payload_size=min(header.payload_size, header.size))
    assert parse_frame_header(b"??" + header.pack(), 2) == header


@pytest.mark.parametrize("length", range(57))
def test_short_headers(length: int) -> None:
    assert refusal(raw()[:length]) in {"short_header", "bad_magic"}
    with pytest.raises(RemoteProtocolError, match="short header"):
        parse_frame_header(raw()[:length])


@pytest.mark.parametrize("bit", range(32))
def test_each_bit_of_the_magic_counts(bit: int) -> None:
    data = bytearray(raw())
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(RemoteProtocolError):
        parse_frame_header(data)
    assert refusal(data) in {"bad_magic", "short_header", "piece_order", "truncated", "too_large", "bad_geometry"}


BAD_HEADERS = [
    ("little-endian", struct.pack("<4sIII32sIIB", b"XFFF"[::-1], 7, 2, 5, SHA, 3, 3, 0) + b"abc", None),
    ("payload one longer", raw(payload_size=4), "bad_geometry"),
    ("payload one shorter", raw(payload_size=2), "bad_geometry"),
    ("payload 0", raw(payload_size=0), "bad_geometry"),
    ("compressed payload 0", raw(payload_size=0, compression=1, payload=b""), "bad_geometry"),
    ("payload 2**31 - 1", raw(payload_size=0x7FFFFFFF, compression=1), "too_large"),
    ("payload 2**32 - 1", raw(payload_size=0xFFFFFFFF, compression=1), "too_large"),
    ("compressed, one longer than the message", raw(payload_size=4, compression=1), "truncated"),
    ("trailing byte", raw() + b"x", "short_header"),
    ("trailing 100 KiB", raw() + bytes(100 << 10), "bad_magic"),
    ("size 64 MiB + 1", raw(size=MAX_CHUNK_SIZE + 1, compression=1), "too_large"),
    ("size 2**32 - 1", raw(size=0xFFFFFFFF, compression=1), "too_large"),
    ("size 2**31", raw(size=0x80000000, compression=1), "too_large"),
    ("compression 3", raw(compression=3), "bad_compression"),
    ("compression 0x7F", raw(compression=0x7F), "bad_compression"),
    ("compression 0xFF", raw(compression=0xFF), "bad_compression"),
    ("index = total", raw(index=5), "bad_index"),
    ("index = total + 1", raw(index=6), "bad_index"),
    ("index 2**32 - 1", raw(index=0xFFFFFFFF), "bad_index"),
    ("total 0", raw(total=0, index=0), "bad_geometry"),
    ("total 2**32 - 1", raw(total=0xFFFFFFFF), "bad_geometry"),
    ("total above the maximum", raw(total=MAX_CHUNKS + 1), "bad_geometry"),
    ("transfer id 0", raw(transfer_id=0), "bad_id"),
    ("empty chunk of many", raw(size=0, payload_size=0, payload=b""), "bad_geometry"),
    ("empty chunk, compressed", raw(index=0, total=1, size=0, payload_size=3, compression=1), "bad_geometry"),
]


@pytest.mark.parametrize(("name", "data", "code"), BAD_HEADERS, ids=[row[0] for row in BAD_HEADERS])
def test_bad_headers(name: str, data: bytes, code: str | None) -> None:
    assert refusal(data) == code or code is None


def test_the_empty_file_is_one_empty_chunk() -> None:
    data = raw(index=0, total=1, size=0, payload_size=0, payload=b"")
    [item] = items(data)
    assert isinstance(item, WholeFrame)
    check_geometry(item.header, 0, 8 * MIB)


def test_frames_before_a_bad_one_count() -> None:
    good = iter_binary(raw(index=0) + raw(index=1) + b"?" + raw(), DEFAULT_LIMITS)
    for index in (0, 1):
        item = next(good)
        assert isinstance(item, WholeFrame)
        assert item.header.index == index
    with pytest.raises(RemoteProtocolError, match="wrong magic"):
        next(good)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_frames_are_views_of_what_came_in(kind: type) -> None:
    data = kind(raw() * 3)
    frames = items(data)
    assert len(frames) == 3
    assert all(isinstance(item, WholeFrame) and item.frame.obj is memoryview(data).obj for item in frames)


def test_messages_above_the_limit_close_the_link() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        items(bytes(DEFAULT_LIMITS.max_binary_bytes + 1))
    assert (caught.value.code, caught.value.close) == ("too_large", True)


# Geometry


@pytest.mark.parametrize(
    ("size", "total", "last"), [(0, 1, 0), (1, 1, 1), (99, 1, 99), (100, 1, 100), (101, 2, 1), (200, 2, 100)]
)
def test_geometry(size: int, total: int, last: int) -> None:
    assert total_chunks(size, 100) == total
    assert chunk_length(total - 1, size, 100) == last
    assert sum(chunk_length(index, size, 100) for index in range(total)) == size
    for index in (-1, total):
        with pytest.raises(LocalProtocolError):
            chunk_length(index, size, 100)


def test_too_many_chunks() -> None:
    assert total_chunks(MAX_CHUNKS * 100, 100) == MAX_CHUNKS
    for size in (MAX_CHUNKS * 100 + 1, 2**32 * 8 * MIB, 2**63 - 1):
        with pytest.raises(TransferError) as caught:
            total_chunks(size, 100)
        assert caught.value.code == "too_large"
    with pytest.raises(LocalProtocolError):
        total_chunks(-1, 100)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"total": 4}, "bad_geometry"),
        ({"index": 5}, "bad_index"),
        ({"size": 99, "payload_size": 99}, "bad_geometry"),
        ({"size": 101, "payload_size": 101}, "bad_geometry"),
        ({"index": 4, "size": 100, "payload_size": 100}, "bad_geometry"),
        ({"payload_size": 99}, "bad_geometry"),
        ({"compression": 1, "payload_size": payload_max(100) + 1}, "too_large"),
        ({"compression": 1, "payload_size": 0}, "bad_geometry"),
    ],
)
def test_frames_that_do_not_fit_the_file(change: dict[str, int], code: str) -> None:
    fits = replace(GOOD, size=100, payload_size=100)
    check_geometry(fits, 450, 100)
    check_geometry(replace(fits, index=4, size=50, payload_size=50), 450, 100)
    check_geometry(replace(fits, compression=2, payload_size=payload_max(100)), 450, 100)
    with pytest.raises(RemoteProtocolError) as caught:
        check_geometry(replace(fits, **change), 450, 100)  # type: ignore[arg-type]  # integers only
    assert caught.value.code == code


# Pieces


def part(magic: bytes, first: int, second: int, third: int, data: bytes) -> bytes:
    return struct.pack(">4sIII", magic, first, second, third) + data


BAD_PARTS = [
    ("piece without data", part(b"FFXP", 7, 2, 60, b""), "short_header"),
    ("piece header cut", part(b"FFXP", 7, 2, 60, b"")[:10], "short_header"),
    ("piece of transfer 0", part(b"FFXP", 0, 2, 60, b"x"), "bad_id"),
    ("piece of chunk 2**32 - 1", part(b"FFXP", 7, 2**32 - 1, 60, b"x"), "bad_index"),
    ("piece at 2**32 - 1", part(b"FFXP", 7, 2, 2**32 - 1, b"x"), "too_large"),
    ("piece inside the header", part(b"FFXP", 7, 2, 56, b"x"), "piece_order"),
    ("piece 0 without the whole header", part(b"FFXP", 7, 2, 0, raw()[:56]), "short_header"),
    ("piece 0 of another transfer", part(b"FFXP", 8, 2, 0, raw()), "bad_geometry"),
    ("piece 0 of another chunk", part(b"FFXP", 7, 1, 0, raw()), "bad_geometry"),
    ("piece 0 longer than its frame", part(b"FFXP", 7, 2, 0, raw() + b"x"), "piece_order"),
    ("have page without hashes", part(b"FFXH", 7, 0, 0, b""), "too_large"),
    ("have page header cut", part(b"FFXH", 7, 0, 1, b"")[:10], "short_header"),
    ("have page of transfer 0", part(b"FFXH", 0, 0, 1, SHA), "bad_id"),
    ("have page of 8193", part(b"FFXH", 7, 0, 8193, SHA * 8193), "too_large"),
    ("have page of 2**32 - 1", part(b"FFXH", 7, 0, 2**32 - 1, SHA), "too_large"),
    ("have page beyond the last chunk", part(b"FFXH", 7, MAX_CHUNKS, 1, SHA), "bad_index"),
    ("have page cut", part(b"FFXH", 7, 0, 2, SHA + SHA[:31]), "truncated"),
    ("have page with more behind", part(b"FFXH", 7, 0, 1, SHA + b"x"), "truncated"),
]


@pytest.mark.parametrize(("name", "data", "code"), BAD_PARTS, ids=[row[0] for row in BAD_PARTS])
def test_bad_pieces_and_have_pages(name: str, data: bytes, code: str) -> None:
    assert refusal(data) == code


@given(st.binary(max_size=5000), st.integers(57, 700))
def test_pieces_assemble_to_the_frame(payload: bytes, step: int) -> None:
    header = FrameHeader(7, 0, 1, SHA, len(payload), len(payload), 0)
    frame = header.pack() + payload
    buffer = bytearray(len(frame) + 5)
    assembly = ChunkAssembly(buffer)
    done = False
    for offset in range(0, len(frame), step):
        assert not done
        [piece] = items(encode_piece(7, 0, offset, memoryview(frame)[offset : offset + step]))
        assert isinstance(piece, Piece)
        done = assembly.add(piece)
    assert done
    assert bytes(buffer[: len(frame)]) == frame
    assert assembly.header == header


def piece_at(offset: int, length: int, frame: bytes, index: int = 2) -> Piece:
    [piece] = items(encode_piece(7, index, offset, frame[offset : offset + length]))
    assert isinstance(piece, Piece)
    return piece


def test_pieces_out_of_order_are_refused() -> None:
    frame = replace(GOOD, size=200, payload_size=200).pack() + bytes(200)
    for wrong in (piece_at(60, 10, frame), piece_at(101, 10, frame), piece_at(0, 60, frame)):
        assembly = ChunkAssembly(bytearray(300))
        if wrong.offset != 60:
            assembly.add(piece_at(0, 100, frame))
        with pytest.raises(RemoteProtocolError) as caught:
            assembly.add(wrong)
        assert caught.value.code == "piece_order"
    assembly = ChunkAssembly(bytearray(300))
    assembly.add(piece_at(0, 100, frame))
    with pytest.raises(RemoteProtocolError, match="expected 100"):
        assembly.add(piece_at(100, 300, frame + b"beyond the end"))


def test_assembly_bounds() -> None:
    frame = replace(GOOD, size=200, payload_size=200).pack() + bytes(200)
    with pytest.raises(LocalProtocolError):
        ChunkAssembly(bytearray(256)).add(piece_at(0, 100, frame))
    assembly = ChunkAssembly(bytearray(257))
    assembly.add(piece_at(0, 100, frame))
    with pytest.raises(LocalProtocolError):
        assembly.add(piece_at(100, 10, frame, index=3))


def test_have_pages_are_bounded_at_the_sender() -> None:
    for wrong in (b"", SHA[:31], SHA * 8193):
        with pytest.raises(LocalProtocolError):
            encode_have_page(7, 0, wrong)
    assert len(encode_have_page(7, 0, SHA * 8192)) == PART_HEADER_SIZE + 8192 * 32 < DEFAULT_LIMITS.max_binary_bytes


# Anything


@given(
    st.one_of(
        st.binary(max_size=300),
        st.builds(
            lambda magic, rest: magic + rest, st.sampled_from([b"FFXF", b"FFXP", b"FFXH"]), st.binary(max_size=300)
        ),
        st.builds(
            lambda at, byte: raw()[:at] + bytes([byte]) + raw()[at + 1 :], st.integers(0, 59), st.integers(0, 255)
        ),
    )
)
@example(b"")
def test_any_bytes_are_items_or_a_refusal(data: bytes) -> None:
    try:
        got = items(data)
    except RemoteProtocolError:
        pass
    else:
        assert sum(len(item.frame) for item in got if isinstance(item, WholeFrame)) in (0, len(data))
