"""zstd, LZ4 or nothing, behind one bounded interface.

Decompression never trusts a size inside the codec's own frame: the obvious calls do. ``max_output_size`` of zstandard is ignored when
the frame declares a size, trailing bytes and second frames are accepted unless forbidden, and LZ4's one-shot call has no cap at all.
So the frame's declarations are compared with what the 57-byte header promised before anything is allocated, and what comes out is
measured afterwards.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import lz4.frame
import zstandard

from fileflux.errors import LocalProtocolError, RemoteProtocolError
from fileflux.protocol.limits import KIB, MAX_CHUNK_SIZE, MIB
from fileflux.protocol.link import Buffer
from fileflux.protocol.messages import Compression

NONE: Final = 0
ZSTD: Final = 1
LZ4: Final = 2
CODE_NAMES: Final = {NONE: "none", ZSTD: "zstd", LZ4: "lz4"}

_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_LZ4_MAGIC: Final = b"\x04\x22\x4d\x18"
_WINDOW_MAX: Final = MAX_CHUNK_SIZE
"""A window larger than the largest chunk helps nobody; the decoder allocates it."""
_ZSTD_LEVEL: Final = 1
_ZSTD_MORE: Final = 3
"""A quarter slower for 10 to 20 % fewer bytes (docs/performance.md); above level 3 the processor is the bottleneck of any link."""
_SAMPLE: Final = 16 * KIB
_SAMPLES: Final = 4
_WORTH_IT: Final = 0.95
"""Less than 5 % saved does not pay for the destination's decompression."""
_TINY: Final = 64
"""Below this the codecs' own headers eat what they save."""
_ZEROS: Final = bytes(MIB)


class _Codecs(threading.local):
    """Codec objects are costly to make and not safe to share between threads."""

    def __init__(self) -> None:
        self.compressors = {
            level: zstandard.ZstdCompressor(level=level, write_content_size=True, write_checksum=False)
            for level in (_ZSTD_LEVEL, _ZSTD_MORE)
        }
        self.decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_MAX)


_codecs = _Codecs()


def compress(data: Buffer, choice: Compression, effort: int = 2) -> tuple[int, Buffer]:
    """``(code, payload)`` of a chunk; the payload is never longer than ``data``, and is ``data`` itself for the code NONE.

    ``auto`` looks at a sample first and compresses if that pays, as hard as ``effort`` says: 0 not at all, 1 LZ4, 2 zstd 1, 3 zstd 3. A chunk
    of zeros becomes a few hundred bytes of zstd for every choice but ``none``. What a codec does not shrink is sent as NONE.
    """
    if choice == "none" or len(data) < _TINY:
        return NONE, data
    if _is_zero(data):
        return _if_shorter(ZSTD, _zstd(data), data)
    if choice == "lz4":
        return _if_shorter(LZ4, _lz4(data), data)
    if choice == "auto":
        if effort == 0 or not _compressible(data):
            return NONE, data
        if effort == 1:
            return _if_shorter(LZ4, _lz4(data), data)
        return _if_shorter(ZSTD, _zstd(data, _ZSTD_MORE if effort > 2 else _ZSTD_LEVEL), data)
    return _if_shorter(ZSTD, _zstd(data), data)


@dataclass(frozen=True, slots=True)
class Zeros:
    """A chunk of zeros: its hash, and the frame of zstd that stands for it (docs/protocol.md, Frames)."""

    sha256: bytes
    payload: bytes


@lru_cache(maxsize=64)
def zeros(size: int) -> Zeros:
    """Of a chunk of 1 to MAX_CHUNK_SIZE bytes, all zero. Made once for each size: a sparse file has thousands of them."""
    data = bytes(size)
    return Zeros(hashlib.sha256(data).digest(), _zstd(data))


def stands_for_zeros(code: int, payload: Buffer, size: int) -> bool:
    """Whether this is the frame of ``zeros(size)``, of a chunk for which it pays to know; nothing has to be decompressed or hashed then."""
    return code == ZSTD and size >= _SAMPLE * _SAMPLES and len(payload) * 1000 < size and payload == zeros(size).payload


def decompress(code: int, payload: Buffer, size: int) -> Buffer:
    """The ``size`` bytes of a chunk; for the code NONE this is ``payload`` itself.

    ``payload`` must be exactly one whole codec frame that holds exactly ``size`` bytes. Never allocates more than twice ``size``
    bytes and a window of 64 MiB. Raises RemoteProtocolError(bad_payload). After this, compare the SHA-256.
    """
    if code == NONE:
        if len(payload) != size:
            raise _bad(f"{len(payload)} bytes for a chunk of {size}")
        return payload
    if not 0 < size <= MAX_CHUNK_SIZE:
        raise _bad(f"a compressed chunk has 1 to {MAX_CHUNK_SIZE} bytes, not {size}")
    if code == ZSTD:
        return _unzstd(payload, size)
    if code == LZ4:
        return _unlz4(payload, size)
    raise _bad(f"unknown compression {code}")


def compression_code(name: str) -> int:
    """The code on the wire of ``none``, ``zstd`` or ``lz4``."""
    for code, known in CODE_NAMES.items():
        if known == name:
            return code
    raise LocalProtocolError(f"no code for the compression {name!r}")


def _bad(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"bad payload: {what}", code="bad_payload")


def _if_shorter(code: int, payload: bytes, data: Buffer) -> tuple[int, Buffer]:
    return (code, payload) if len(payload) < len(data) else (NONE, data)


def _zstd(data: Buffer, level: int = _ZSTD_LEVEL) -> bytes:
    return _codecs.compressors[level].compress(data)


def _lz4(data: Buffer) -> bytes:
    payload: bytes = lz4.frame.compress(data, store_size=True)
    return payload


def _is_zero(data: Buffer) -> bool:
    view = memoryview(data)
    if view[0] or view[-1]:
        return False
    # startswith takes any buffer and compares with memcmp; a comparison of memoryviews goes byte by byte.
    return all(_ZEROS.startswith(view[at : at + MIB]) for at in range(0, len(view), MIB))


def _compressible(data: Buffer) -> bool:
    if len(data) <= _SAMPLE * _SAMPLES:
        return True
    view = memoryview(data)
    step = (len(view) - _SAMPLE) // (_SAMPLES - 1)
    sample = b"".join(view[at * step : at * step + _SAMPLE] for at in range(_SAMPLES))
    return len(_zstd(sample)) < len(sample) * _WORTH_IT


def _unzstd(payload: Buffer, size: int) -> bytes:
    if bytes(payload[:4]) != _ZSTD_MAGIC:
        raise _bad("no zstd frame")
    try:
        parameters = zstandard.get_frame_parameters(payload)
        if parameters.content_size not in (size, zstandard.CONTENTSIZE_UNKNOWN):
            raise _bad(f"the zstd frame declares {parameters.content_size} bytes, the chunk has {size}")
        if parameters.window_size > _WINDOW_MAX or parameters.dict_id:
            raise _bad("zstd window above 64 MiB, or a dictionary")
        # The declared size is either right or unknown, and only then max_output_size counts.
        data = _codecs.decompressor.decompress(
            payload, max_output_size=size, read_across_frames=False, allow_extra_data=False
        )
    except zstandard.ZstdError as error:
        raise _bad(str(error)[:200]) from None
    if len(data) != size:
        raise _bad(f"{len(data)} bytes came out, the chunk has {size}")
    return data


def _unlz4(payload: Buffer, size: int) -> bytes:
    if bytes(payload[:4]) != _LZ4_MAGIC:
        raise _bad("no LZ4 frame")
    try:
        info: dict[str, Any] = lz4.frame.get_frame_info(payload)
        if info["content_size"] not in (0, size):
            raise _bad(f"the LZ4 frame declares {info['content_size']} bytes, the chunk has {size}")
        decoder = lz4.frame.LZ4FrameDecompressor()
        data: bytes = decoder.decompress(payload, max_length=size + 1)
    except RuntimeError as error:
        raise _bad(str(error)[:200]) from None
    if len(data) != size or not decoder.eof or decoder.unused_data:
        raise _bad("the LZ4 frame is cut, has bytes behind it, or does not hold the chunk's size")
    return data
