"""Records cut into slices anywhere come out as they went in, and what cannot be a record is refused before anything is kept for it."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileflux.errors import RemoteProtocolError
from fileflux.protocol.limits import DEFAULT_LIMITS, KIB, MIB
from fileflux.protocol.records import (
    COPY_BELOW,
    HEAD,
    REASON_BYTES,
    Kind,
    RecordReader,
    close_record,
    cut_reason,
    head_of,
)

pytestmark = pytest.mark.unit

SMALL = replace(DEFAULT_LIMITS, max_text_bytes=300, max_binary_bytes=200 * KIB)

RECORDS = st.lists(
    st.one_of(
        st.tuples(st.just(Kind.TEXT), st.text(max_size=70).map(str.encode)),
        st.tuples(st.just(Kind.BINARY), st.binary(max_size=300)),
        # On both sides of what is cut out of a slice without a copy.
        st.tuples(st.just(Kind.BINARY), st.integers(COPY_BELOW - 2, COPY_BELOW + 300).map(lambda size: b"\xa5" * size)),
    ),
    max_size=12,
)


def pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """``data`` cut at ``cuts``, which may lie anywhere."""
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(edges)]


def wire(kind: int, data: bytes, reserved: int = 0) -> bytes:
    return struct.pack(">BBI", kind, reserved, len(data)) + data


def read(reader: RecordReader, data: bytes) -> list[tuple[Kind, bytes]]:
    reader.feed(data)
    found = []
    while (record := reader.next()) is not None:
        found.append((record.kind, bytes(record.data)))
    assert not reader.behind
    return found


def read_all(parts: Iterable[bytes]) -> list[tuple[Kind, bytes]]:
    reader = RecordReader(SMALL)
    return [record for part in parts for record in read(reader, part)]


@given(RECORDS, st.lists(st.integers(0, 1 << 20), max_size=40))
def test_records_cut_anywhere_come_out_whole_and_in_order(records: list[tuple[Kind, bytes]], cuts: list[int]) -> None:
    stream = b"".join(head_of(kind, len(data)) + data for kind, data in records)
    assert read_all(pieces(stream, cuts)) == records


@given(RECORDS)
def test_each_byte_may_come_alone(records: list[tuple[Kind, bytes]]) -> None:
    stream = b"".join(head_of(kind, len(data)) + data for kind, data in records if len(data) < 1000)
    reader = RecordReader(SMALL)
    found = [record for at in range(len(stream)) for record in read(reader, stream[at : at + 1])]
    assert found == [record for record in records if len(record[1]) < 1000]


def test_several_slices_may_be_fed_before_the_first_is_read() -> None:
    reader = RecordReader(SMALL)
    for part in pieces(wire(1, b"one") + wire(2, b"two") + wire(2, b""), range(0, 100, 4)):
        reader.feed(part)
    assert read(reader, b"") == [(Kind.TEXT, b"one"), (Kind.BINARY, b"two"), (Kind.BINARY, b"")]


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        *[(f"kind {kind}", wire(kind, b""), "bad_record") for kind in (0, 4, 5, 127, 128, 255)],
        *[(f"reserved {bit}", wire(1, b"x", reserved=1 << bit), "bad_record") for bit in range(8)],
        ("text of its bound and 1", HEAD.pack(1, 0, 301), "too_large"),
        ("binary of its bound and 1", HEAD.pack(2, 0, 200 * KIB + 1), "too_large"),
        ("text of 4 GiB", HEAD.pack(1, 0, 0xFFFFFFFF), "too_large"),
        ("binary of 4 GiB", HEAD.pack(2, 0, 0xFFFFFFFF), "too_large"),
        ("sign bit", HEAD.pack(2, 0, 0x80000000), "too_large"),
        ("long farewell", HEAD.pack(3, 0, 2 + REASON_BYTES + 1), "too_large"),
        ("farewell without a code", wire(3, b""), "bad_record"),
        ("half a code", wire(3, b"\x03"), "bad_record"),
        ("little-endian length", struct.pack("<BBI", 2, 0, 10), "too_large"),
    ],
)
def test_what_cannot_be_is_refused_on_its_head(name: str, data: bytes, code: str) -> None:
    for cuts in ((), range(len(data))):
        with pytest.raises(RemoteProtocolError) as caught:
            read_all(pieces(data, cuts))
        assert (caught.value.code, caught.value.close) == (code, True)


def test_the_largest_of_each_kind_is_taken() -> None:
    for kind, size in ((1, 300), (2, 200 * KIB), (3, 2 + REASON_BYTES)):
        assert read(RecordReader(SMALL), wire(kind, b"\x04" * size)) == [(Kind(kind), b"\x04" * size)]


def test_nothing_is_kept_for_a_length_that_was_only_said() -> None:
    reader = RecordReader(replace(DEFAULT_LIMITS, max_binary_bytes=512 * MIB))
    tracemalloc.start()
    try:
        reader.feed(HEAD.pack(2, 0, 512 * MIB) + b"x")
        assert reader.next() is None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 * KIB


def test_a_small_record_does_not_keep_its_slice() -> None:
    reader = RecordReader(DEFAULT_LIMITS)
    large = wire(2, bytes(COPY_BELOW))
    reader.feed(wire(2, b"small") + large + wire(2, b"rest"))
    small, whole = reader.next(), reader.next()
    assert small is not None
    assert whole is not None
    assert isinstance(small.data, bytearray)
    assert isinstance(whole.data, memoryview), "a large one costs no copy"
    assert len(whole.data.obj) > len(whole.data)


def test_clear_forgets_a_begun_record_and_what_waits() -> None:
    for begun in (wire(2, b"abcdef")[:3], wire(2, b"abcdef")[:-1], wire(2, b"a") + wire(1, b"b")):
        reader = RecordReader(SMALL)
        reader.feed(begun)
        reader.next()
        reader.clear()
        assert not reader.behind
        assert read(reader, wire(1, b"new")) == [(Kind.TEXT, b"new")]


@pytest.mark.parametrize("data", [b"\xff\xfe", b"\xc0\xaf", b"\xed\xa0\x80", b"\xe2\x82", b"x\x80"])
def test_a_text_is_utf_8(data: bytes) -> None:
    reader = RecordReader(SMALL)
    reader.feed(wire(1, data))
    record = reader.next()
    assert record is not None
    with pytest.raises(RemoteProtocolError) as caught:
        record.text()
    assert (caught.value.code, caught.value.close) == ("bad_text", True)


def test_a_farewell_says_code_and_reason() -> None:
    for reason, heard in (("", ""), ("bye", "bye"), ("é" * 100, "é" * 61), ("\ud800", "?")):
        reader = RecordReader(SMALL)
        reader.feed(close_record(4409, reason))
        record = reader.next()
        assert record is not None
        assert record.farewell() == (4409, heard)
        assert cut_reason(reason) == heard


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535])
def test_codes_that_no_peer_may_say(code: int) -> None:
    reader = RecordReader(SMALL)
    reader.feed(wire(3, struct.pack(">H", code) + b"bye"))
    record = reader.next()
    assert record is not None
    with pytest.raises(RemoteProtocolError) as caught:
        record.farewell()
    assert (caught.value.code, caught.value.close) == ("bad_record", True)


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=8))
def test_any_bytes_are_records_or_a_refusal(data: bytes, cuts: list[int]) -> None:
    try:
        records = read_all(pieces(data, cuts))
    except RemoteProtocolError as error:
        records, refused = [], error
    else:
        refused = None
    assert refused is None or refused.close
    assert sum(HEAD.size + len(content) for _, content in records) <= len(data)
