"""Compression chooses well and decompression believes nothing: bombs, lies, cuts, junk."""

from __future__ import annotations

import hashlib
import json
import resource
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lz4.block
import lz4.frame
import psutil
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from fileflux.errors import LocalProtocolError, RemoteProtocolError
from fileflux.protocol.compression import LZ4, NONE, ZSTD, compress, compression_code, decompress
from fileflux.protocol.limits import HEADER_SIZE, MAX_CHUNK_SIZE, MIB
from fileflux.protocol.messages import Compression

pytestmark = pytest.mark.unit

TEXT = b"".join(b"line %d of a text that compresses\n" % number for number in range(4000))
RANDOM = hashlib.shake_128(b"seed").digest(MIB)
CHOICES: tuple[Compression, ...] = ("auto", "zstd", "lz4", "none")
GOLDEN = json.loads((Path(__file__).parent / "golden" / "binary.json").read_text())


def zstd(data: bytes, **options: Any) -> bytes:
    return zstandard.ZstdCompressor(level=1, **options).compress(data)


def refused(code: int, payload: bytes, size: int) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        decompress(code, payload, size)
    assert caught.value.code == "bad_payload"


@pytest.mark.parametrize("vector", GOLDEN["frames"], ids=lambda vector: vector["name"])
def test_golden_payloads(vector: dict[str, Any]) -> None:
    header = vector["header"]
    payload = bytes.fromhex(vector["hex"])[HEADER_SIZE:]
    data = decompress(header["compression"], payload, header["size"])
    assert bytes(data).hex() == vector["uncompressed"]
    assert hashlib.sha256(data).hexdigest() == header["sha256"]


@given(st.binary(max_size=3000), st.sampled_from(CHOICES), st.integers(1, 40))
def test_what_is_compressed_comes_back(data: bytes, choice: Compression, times: int) -> None:
    data *= times
    code, payload = compress(memoryview(data), choice)
    assert len(payload) <= len(data)
    assert bytes(decompress(code, payload, len(data))) == data


@pytest.mark.parametrize(
    ("data", "choice", "code"),
    [
        (TEXT, "auto", ZSTD),
        (TEXT, "zstd", ZSTD),
        (TEXT, "lz4", LZ4),
        (TEXT, "none", NONE),
        (RANDOM, "auto", NONE),
        (RANDOM, "zstd", NONE),
        (RANDOM, "lz4", NONE),
        (RANDOM[:200], "auto", NONE),
        (b"", "auto", NONE),
        (b"\0" * 8, "zstd", NONE),
        (bytes(8 * MIB), "auto", ZSTD),
        (bytes(8 * MIB), "lz4", ZSTD),
        (bytes(3 * MIB + 1), "zstd", ZSTD),
        (bytes(8 * MIB), "none", NONE),
        (bytes(MIB) + b"x" + bytes(MIB), "lz4", LZ4),
        (RANDOM + TEXT * 6, "auto", ZSTD),
    ],
)
def test_choice(data: bytes, choice: Compression, code: int) -> None:
    assert compress(data, choice)[0] == code


def test_zeros_are_a_small_constant_frame() -> None:
    payload = compress(bytes(8 * MIB), "auto")[1]
    assert len(payload) < 1024
    assert payload == compress(bytearray(8 * MIB), "zstd")[1]


def test_none_is_the_same_buffer() -> None:
    assert compress(RANDOM, "none")[1] is RANDOM
    assert decompress(NONE, RANDOM, len(RANDOM)) is RANDOM


def test_names() -> None:
    assert [compression_code(name) for name in ("none", "zstd", "lz4")] == [0, 1, 2]
    with pytest.raises(LocalProtocolError):
        compression_code("auto")


def zstd_bomb(declared: int) -> bytes:
    """256 MiB of zeros; ``declared`` -1: the frame does not say so."""
    maker = zstandard.ZstdCompressor(level=1).compressobj(size=declared)
    return b"".join([*(maker.compress(bytes(MIB)) for _ in range(256)), maker.flush()])


def lz4_bomb() -> bytes:
    maker = lz4.frame.LZ4FrameCompressor(block_size=lz4.frame.BLOCKSIZE_MAX4MB)
    return b"".join([maker.begin(), *(maker.compress(bytes(MIB)) for _ in range(256)), maker.flush()])


CHECKED = zstd(TEXT, write_checksum=True)
SKIPPABLE = struct.pack("<II", 0x184D2A50, 4) + b"skip"
LZ4_TEXT = lz4.frame.compress(TEXT)
LZ4_HEAD = 15
"""Bytes of a frame's header with a content size; the first block's size follows."""


def lz4_declares(content: int) -> bytes:
    """The frame of TEXT under a right header that declares another content size."""
    return bytes(lz4.frame.LZ4FrameCompressor().begin(source_size=content)) + LZ4_TEXT[LZ4_HEAD:]


LZ4_FIRST_BLOCK = struct.unpack_from("<I", LZ4_TEXT, LZ4_HEAD)[0]


def lz4_block(size: int) -> bytes:
    """The frame of TEXT whose first block says that it has so many bytes."""
    return LZ4_TEXT[:LZ4_HEAD] + struct.pack("<I", size) + LZ4_TEXT[LZ4_HEAD + 4 :]


BAD: list[tuple[str, int, bytes, int]] = [
    ("none, shorter", NONE, TEXT[:-1], len(TEXT)),
    ("none, longer", NONE, TEXT + b"x", len(TEXT)),
    ("unknown code", 3, TEXT, len(TEXT)),
    ("zstd bomb with an honest header", ZSTD, zstd_bomb(256 * MIB), 8 * MIB),
    ("zstd without a size, expanding for ever", ZSTD, zstd_bomb(-1), 8 * MIB),
    ("zstd declares 4 GiB", ZSTD, bytes.fromhex("28B52FFDE0") + struct.pack("<Q", 1 << 32) + b"\1\0\0", 100),
    ("zstd declares 2**40", ZSTD, bytes.fromhex("28B52FFDE0") + struct.pack("<Q", 1 << 40) + b"\1\0\0", 100),
    ("zstd window log 31", ZSTD, bytes.fromhex("28B52FFD00A8010000"), 100),
    ("zstd window of 128 MiB", ZSTD, bytes.fromhex("28B52FFD0088010000"), 100),
    ("zstd of fewer bytes", ZSTD, zstd(TEXT), len(TEXT) + 1),
    ("zstd of more bytes", ZSTD, zstd(TEXT), len(TEXT) - 1),
    ("zstd of fewer, unsaid", ZSTD, zstd(TEXT, write_content_size=False), len(TEXT) + 1),
    ("zstd of more, unsaid", ZSTD, zstd(TEXT, write_content_size=False), len(TEXT) - 1),
    ("zstd with a byte behind", ZSTD, zstd(TEXT) + b"x", len(TEXT)),
    ("zstd twice", ZSTD, zstd(TEXT) + zstd(b""), len(TEXT)),
    ("zstd in two frames", ZSTD, zstd(TEXT[:100]) + zstd(TEXT[100:]), len(TEXT)),
    ("zstd with a skippable frame behind", ZSTD, zstd(TEXT) + SKIPPABLE, len(TEXT)),
    ("zstd with a skippable frame before", ZSTD, SKIPPABLE + zstd(TEXT), len(TEXT)),
    ("zstd, wrong checksum", ZSTD, CHECKED[:-1] + bytes([CHECKED[-1] ^ 1]), len(TEXT)),
    ("zstd, checksum missing", ZSTD, CHECKED[:-4], len(TEXT)),
    ("zstd is raw", ZSTD, TEXT, len(TEXT)),
    ("zstd is LZ4", ZSTD, LZ4_TEXT, len(TEXT)),
    ("zstd of nothing", ZSTD, b"", 1),
    ("zstd for an empty chunk", ZSTD, zstd(b""), 0),
    ("zstd for more than a chunk", ZSTD, zstd(b"x"), MAX_CHUNK_SIZE + 1),
    ("LZ4 bomb", LZ4, lz4_bomb(), 8 * MIB),
    ("LZ4 of fewer bytes", LZ4, LZ4_TEXT, len(TEXT) + 1),
    ("LZ4 of more bytes", LZ4, LZ4_TEXT, len(TEXT) - 1),
    ("LZ4 of more, unsaid", LZ4, lz4.frame.compress(TEXT, store_size=False), len(TEXT) - 1),
    ("LZ4 of fewer, unsaid", LZ4, lz4.frame.compress(TEXT, store_size=False), len(TEXT) + 1),
    ("LZ4 without its end mark", LZ4, LZ4_TEXT[:-4], len(TEXT)),
    ("LZ4 with a byte behind", LZ4, LZ4_TEXT + b"x", len(TEXT)),
    ("LZ4 twice", LZ4, LZ4_TEXT * 2, len(TEXT)),
    ("LZ4 with a skippable frame before", LZ4, SKIPPABLE + LZ4_TEXT, len(TEXT)),
    ("LZ4 is raw", LZ4, TEXT, len(TEXT)),
    ("LZ4 is zstd", LZ4, zstd(TEXT), len(TEXT)),
    ("LZ4 of nothing", LZ4, b"", 1),
    ("LZ4 declares 2**40", LZ4, lz4_declares(1 << 40), len(TEXT)),
    ("LZ4 declares 2**64 - 1", LZ4, lz4_declares((1 << 64) - 1), len(TEXT)),
    ("LZ4 declares one less", LZ4, lz4_declares(len(TEXT) - 1), len(TEXT)),
    ("LZ4 declares one more", LZ4, lz4_declares(len(TEXT) + 1), len(TEXT)),
    ("LZ4 block of 2**31 - 1 bytes", LZ4, lz4_block(0x7FFFFFFF), len(TEXT)),
    ("LZ4 block of -1 bytes, or 2**31 - 1 stored ones", LZ4, lz4_block(0xFFFFFFFF), len(TEXT)),
    ("LZ4 block of -2 bytes", LZ4, lz4_block(0xFFFFFFFE), len(TEXT)),
    ("LZ4 block of -2**31 bytes, or 0 stored ones", LZ4, lz4_block(0x80000000), len(TEXT)),
    ("LZ4 block of one byte more than a block may have", LZ4, lz4_block(64 * 1024 + 1), len(TEXT)),
    ("LZ4 block of one byte less than it has", LZ4, lz4_block(LZ4_FIRST_BLOCK - 1), len(TEXT)),
    ("LZ4 without a frame", LZ4, lz4.block.compress(TEXT, store_size=False), len(TEXT)),
    ("LZ4, content checksum wrong", LZ4, lz4.frame.compress(TEXT, content_checksum=True)[:-1] + b"?", len(TEXT)),
    ("LZ4 header only", LZ4, LZ4_TEXT[:15], len(TEXT)),
]


def test_the_lies_are_lies_in_one_field_alone() -> None:
    assert lz4_declares(len(TEXT)) == LZ4_TEXT == lz4_block(LZ4_FIRST_BLOCK)
    assert bytes(decompress(LZ4, LZ4_TEXT, len(TEXT))) == TEXT


@pytest.mark.parametrize(("name", "code", "payload", "size"), BAD, ids=[row[0] for row in BAD])
def test_bad_payloads(name: str, code: int, payload: bytes, size: int) -> None:
    # The codecs' own memory is not Python's: an address space without room for more shows what they ask for.
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    tracemalloc.start()
    try:
        resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + 128 * MIB, hard))
        refused(code, payload, size)
        assert tracemalloc.get_traced_memory()[1] < 18 * MIB
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        tracemalloc.stop()


@pytest.mark.parametrize("code", [ZSTD, LZ4])
@pytest.mark.parametrize("make", [zstd, lz4.frame.compress, lambda data: zstd(data, write_content_size=False)])
def test_every_cut_is_refused(code: int, make: Callable[[bytes], bytes]) -> None:
    payload = make(TEXT[:3000])
    for length in range(len(payload)):
        refused(code, payload[:length], 3000)


@pytest.mark.parametrize("linked", [True, False])
def test_other_encoders_settings_are_fine(linked: bool) -> None:
    for payload in (
        lz4.frame.compress(TEXT, block_linked=linked, block_size=lz4.frame.BLOCKSIZE_MAX4MB, content_checksum=True),
        lz4.frame.compress(TEXT, block_linked=linked, block_checksum=True, store_size=False),
    ):
        assert decompress(LZ4, memoryview(payload), len(TEXT)) == TEXT
    for payload in (CHECKED, zstd(TEXT, write_content_size=False), zstandard.ZstdCompressor(level=19).compress(TEXT)):
        assert decompress(ZSTD, memoryview(payload), len(TEXT)) == TEXT


@given(st.sampled_from([ZSTD, LZ4]), st.data())
def test_a_changed_byte_is_refused_or_gives_the_right_length(code: int, data: st.DataObject) -> None:
    good = bytearray(zstd(TEXT[:2000]) if code == ZSTD else lz4.frame.compress(TEXT[:2000]))
    at = data.draw(st.integers(0, len(good) - 1))
    good[at] ^= data.draw(st.integers(1, 255))
    try:
        length = len(decompress(code, bytes(good), 2000))
    except RemoteProtocolError:
        return
    assert length == 2000
