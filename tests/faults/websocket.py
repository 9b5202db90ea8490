"""Finds WebSocket messages in a stream of bytes, in order to lose some of them."""

from __future__ import annotations

CONTINUATION, TEXT, BINARY, CONTROL = 0x0, 0x1, 0x2, 0x8


class FrameFilter:
    """One direction's frames. They pass byte for byte, or vanish whole: binary messages with all their continuations."""

    def __init__(self) -> None:
        self.swallowed = 0
        self._header = b""
        self._payload = 0
        self._dropping = False
        self._message_dropped = False

    def feed(self, data: bytes, *, swallow: bool) -> bytes:
        """What passes of these bytes. ``swallow`` counts for messages that begin now."""
        passed = bytearray()
        position = 0
        while position < len(data):
            if self._payload:
                step = min(self._payload, len(data) - position)
                if not self._dropping:
                    passed += data[position : position + step]
                self._payload -= step
                position += step
                continue
            needed = header_size(self._header) - len(self._header)
            self._header += data[position : position + needed]
            position += needed
            if len(self._header) < header_size(self._header):
                continue
            self._begin(swallow=swallow)
            if not self._dropping:
                passed += self._header
            self._header = b""
        return bytes(passed)

    def _begin(self, *, swallow: bool) -> None:
        """A frame's header is complete."""
        opcode = self._header[0] & 0x0F
        self._payload = payload_size(self._header)
        if opcode in {TEXT, BINARY}:
            self._message_dropped = swallow and opcode == BINARY
            self.swallowed += self._message_dropped
        self._dropping = self._message_dropped and opcode < CONTROL


def header_size(start: bytes) -> int:
    """Bytes of the header that begins so, as far as that can be known."""
    if len(start) < 2:
        return 2
    mask = 4 if start[1] & 0x80 else 0
    return 2 + {126: 2, 127: 8}.get(start[1] & 0x7F, 0) + mask


def payload_size(header: bytes) -> int:
    short = header[1] & 0x7F
    if short == 126:
        return int.from_bytes(header[2:4], "big")
    if short == 127:
        return int.from_bytes(header[2:10], "big")
    return short
