"""Large binary frames without the library's copies (RFC 6455 §5.2; decision 17).

The library takes a frame through two buffers more at each end, which is a fifth of what a hop costs. What this module does not recognise
as a whole, final, large and acceptable binary frame is left to the library, and so are all errors.
"""

from __future__ import annotations

import os
import struct
import sys
from collections import deque
from typing import Final

from websockets.frames import apply_mask  # type: ignore[attr-defined]  # there it is the compiled one if there is one

from fileflux.protocol.limits import KIB
from fileflux.protocol.link import Buffer

LARGE: Final = 16 * KIB
_FINAL_BINARY: Final = 0x82
_MASKED: Final = 0x80
_MASK_BYTES: Final = 4
_SPARES_MAX: Final = 8
_UNUSED: Final = 3
"""References to memory that nobody uses: of the list of spares, of who looks, of the call that counts."""
_SHORT: Final = struct.Struct("!BBH")
_LONG: Final = struct.Struct("!BBQ")


def may_begin(data: memoryview, at: int) -> bool:
    """Whether ``LargeFrame.begin`` may find a frame at this place, where one begins."""
    if data[at] != _FINAL_BINARY or len(data) - at < _LONG.size:
        return False
    short = data[at + 1] & 0x7F
    return short == 127 or (short == 126 and data[at + 2] >= LARGE >> 8)


def binary_frame(data: Buffer, *, masked: bool) -> list[Buffer]:
    """A message as one frame, in the buffers to be sent one behind the other; ``data`` itself is one of them unless it is masked or small."""
    size = len(data)
    if size < 126:
        head = bytes((_FINAL_BINARY, size | (_MASKED if masked else 0)))
    elif size < 65_536:
        head = _SHORT.pack(_FINAL_BINARY, 126 | (_MASKED if masked else 0), size)
    else:
        head = _LONG.pack(_FINAL_BINARY, 127 | (_MASKED if masked else 0), size)
    if masked:
        # A new key for each frame, unknown to whoever made the data (RFC 6455 §5.3).
        key = os.urandom(_MASK_BYTES)
        head += key
        data = apply_mask(data, key)
    return [head, data] if size >= LARGE else [head + bytes(data)]


class Spares:
    """Memory of frames, used again once nobody holds it or a view of it any more: fresh memory is zeroed first, a tenth of what a hop costs."""

    def __init__(self) -> None:
        self._made: deque[bytearray] = deque()

    def take(self, size: int) -> bytearray:
        """With whatever a frame of before left in it."""
        for _ in range(len(self._made)):
            memory = self._made.popleft()
            self._made.append(memory)
            # A view counts as one that holds it.
            if len(memory) == size and sys.getrefcount(memory) == _UNUSED:
                return memory
        fresh = bytearray(size)
        self._made.append(fresh)
        if len(self._made) > _SPARES_MAX:
            self._made.popleft()
        return fresh


_spares: Final = Spares()


class LargeFrame:
    """One frame that is coming in. Fill ``room`` until nothing of it is left, then take ``data``.

    Its memory is taken when its header has come: at most one message of a link, whose peer has logged in.
    """

    __slots__ = ("_buffer", "_filled", "_key")

    def __init__(self, size: int, key: bytes) -> None:
        self._buffer = _spares.take(size)
        self._filled = 0
        self._key = key

    @classmethod
    def begin(cls, data: memoryview, *, masked: bool, most: int) -> tuple[LargeFrame, int] | None:
        """The frame whose header stands at the beginning of ``data``, and the header's length; None for whatever is the library's.

        ``most``: bytes that a message may have.
        """
        if len(data) < 2 or data[0] != _FINAL_BINARY or bool(data[1] & _MASKED) is not masked:
            return None
        layout = {126: _SHORT, 127: _LONG}.get(data[1] & 0x7F)
        if layout is None or len(data) < (head := layout.size + (_MASK_BYTES if masked else 0)):
            return None
        size: int = layout.unpack_from(data)[2]
        if not LARGE <= size <= most:
            return None
        return cls(size, bytes(data[layout.size : head])), head

    @property
    def room(self) -> memoryview:
        """Where its next bytes belong."""
        return memoryview(self._buffer)[self._filled :]

    def filled(self, count: int) -> None:
        """So many bytes were put into ``room``."""
        self._filled += count

    @property
    def whole(self) -> bool:
        return self._filled == len(self._buffer)

    def data(self) -> Buffer:
        """The message."""
        return apply_mask(self._buffer, self._key) if self._key else self._buffer
