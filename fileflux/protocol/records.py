"""Records: text and binary messages in one ordered stream of bytes, for a transport that carries the stream in slices.

One record is u8 kind, u8 reserved 0, u32 length, and that many bytes (docs/protocol.md, Long-polling). A record may begin in one slice and
end in another, so slices can have any size.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from fileflux.errors import RemoteProtocolError
from fileflux.protocol.limits import KIB, Limits
from fileflux.protocol.link import Buffer

HEAD: Final = struct.Struct(">BBI")
_CLOSE: Final = struct.Struct(">H")
REASON_BYTES: Final = 123
"""As in a WebSocket's close frame, so that a link says the same over either transport."""
_CODES: Final = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)})
"""RFC 6455 §7.4: the others are not for the wire."""
COPY_BELOW: Final = 64 * KIB
"""A small record that was cut out of a slice without a copy would keep the whole slice in memory."""


class Kind(IntEnum):
    """What a record holds."""

    TEXT = 1
    BINARY = 2
    CLOSE = 3


@dataclass(frozen=True, slots=True)
class Record:
    """One whole message."""

    kind: Kind
    data: Buffer

    def text(self) -> str:
        """The text of a TEXT record. Raises RemoteProtocolError for what is not UTF-8."""
        try:
            return str(self.data, "utf-8")
        except UnicodeDecodeError:
            raise RemoteProtocolError("a text is not UTF-8", code="bad_text", close=True) from None

    def farewell(self) -> tuple[int, str]:
        """Code and reason of a CLOSE record. Raises RemoteProtocolError for a code that is not for the wire."""
        (code,) = _CLOSE.unpack_from(self.data)
        if not may_be_said(code):
            raise RemoteProtocolError(f"a farewell with code {code}", code="bad_record", close=True)
        return code, str(self.data[2:], "utf-8", "replace")


def head_of(kind: Kind, length: int) -> bytes:
    """What goes before the bytes of a record."""
    return HEAD.pack(kind, 0, length)


def close_record(code: int, reason: str) -> bytes:
    """A whole CLOSE record; a longer reason is cut."""
    data = _CLOSE.pack(code) + cut_reason(reason).encode()
    return head_of(Kind.CLOSE, len(data)) + data


def may_be_said(code: int) -> bool:
    """``code`` may stand in a farewell."""
    return code in _CODES


def cut_reason(reason: str) -> str:
    """What fits into a farewell."""
    return reason.encode("utf-8", "replace")[:REASON_BYTES].decode("utf-8", "ignore")


class RecordReader:
    """From slices, in their order, to whole records. Holds one record at most, and the slices that were fed and not read."""

    def __init__(self, limits: Limits) -> None:
        self._most = {
            Kind.TEXT: limits.max_text_bytes,
            Kind.BINARY: limits.max_binary_bytes,
            Kind.CLOSE: _CLOSE.size + REASON_BYTES,
        }
        self._waiting: deque[memoryview] = deque()
        self._head = bytearray()
        self._kind = Kind.TEXT
        self._body: bytearray | None = None
        self._length = 0

    @property
    def behind(self) -> bool:
        """``next`` may have something to give."""
        return bool(self._waiting)

    def feed(self, data: Buffer) -> None:
        """The next slice; it must not change any more. After this, call ``next`` until it gives None."""
        if len(data):
            self._waiting.append(memoryview(data))

    def clear(self) -> None:
        """Forget everything: the link is gone."""
        self._waiting.clear()
        self._body = None
        self._head.clear()

    def next(self) -> Record | None:
        """The next whole record, or None until more is fed.

        Raises RemoteProtocolError (closing) for an unknown kind, a reserved byte that is not 0, and a length above the kind's bound, before
        anything is allocated for it.
        """
        while self._waiting:
            if self._body is None and not self._take_head():
                return None
            if (record := self._take_body()) is not None:
                return record
        return None

    def _take_head(self) -> bool:
        while self._waiting and len(self._head) < HEAD.size:
            self._head += self._pop(HEAD.size - len(self._head))
        if len(self._head) < HEAD.size:
            return False
        kind, reserved, length = HEAD.unpack(self._head)
        self._head.clear()
        if kind not in Kind.__members__.values() or reserved:
            raise RemoteProtocolError(f"a record of kind {kind}", code="bad_record", close=True)
        if length > self._most[Kind(kind)]:
            raise RemoteProtocolError(
                f"a {Kind(kind).name.lower()} record of {length} bytes", code="too_large", close=True
            )
        if kind == Kind.CLOSE and length < _CLOSE.size:
            raise RemoteProtocolError("a close record without a code", code="bad_record", close=True)
        self._kind, self._length, self._body = Kind(kind), length, bytearray()
        return True

    def _take_body(self) -> Record | None:
        body = self._body
        if body is None or (not self._waiting and self._length):
            return None
        if not body and self._length >= COPY_BELOW and len(self._waiting[0]) >= self._length:
            self._body = None
            return Record(self._kind, self._pop(self._length))
        while self._waiting and len(body) < self._length:
            body += self._pop(self._length - len(body))
        return self._whole() if len(body) == self._length else None

    def _whole(self) -> Record:
        body, self._body = self._body, None
        return Record(self._kind, body if body is not None else b"")

    def _pop(self, most: int) -> memoryview:
        view = self._waiting[0]
        part = view[:most]
        if len(view) > most:
            self._waiting[0] = view[most:]
        else:
            self._waiting.popleft()
        return part
