"""The channel between a process and its worker: JSON messages with a length in front.

JSON is ASCII only, so file names with bytes that are not UTF-8 survive as escaped surrogates. Large data never comes this way: it lies in a
slot of the arena. How the two ends come to be is ``posix.py`` and ``windows.py``.
"""

from __future__ import annotations

import json
import socket
import struct
from typing import Any, Final

from fileflux.errors import LocalProtocolError

MAX_MESSAGE: Final = 4 * 1024 * 1024
"""Four pages of the largest control message; more would be data and belongs into a slot."""
_LENGTH: Final = struct.Struct("!I")
_RECEIVE: Final = 64 * 1024


def encode(message: dict[str, Any]) -> bytes:
    """The bytes of a message. Raises LocalProtocolError when it cannot be JSON or is longer than MAX_MESSAGE."""
    try:
        body = json.dumps(message, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise LocalProtocolError(f"not a message for a worker: {error}") from None
    if len(body) > MAX_MESSAGE:
        raise LocalProtocolError(f"a message of {len(body)} bytes for a worker; at most {MAX_MESSAGE} are allowed")
    return _LENGTH.pack(len(body)) + body


class WorkerLink:
    """One end of the channel, over a stream socket in blocking style. One thread may send while another receives."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._received = bytearray()

    def send(self, message: dict[str, Any]) -> None:
        """Send one message, waiting until it is on its way. Raises LocalProtocolError like ``encode``, OSError when the other end is gone."""
        self.send_encoded(encode(message))

    def send_encoded(self, data: bytes) -> None:
        """Send what ``encode`` made."""
        self._sock.sendall(data)

    def receive(self) -> dict[str, Any] | None:
        """The next message, waiting for it; None when the other end is gone. Raises LocalProtocolError for what is no message."""
        head = self._read(_LENGTH.size)
        if head is None:
            return None
        (length,) = _LENGTH.unpack(head)
        if length > MAX_MESSAGE:
            raise LocalProtocolError(f"a message of {length} bytes from the other end of a worker's channel")
        body = self._read(length)
        if body is None:
            return None
        try:
            message = json.loads(body)
        except (ValueError, RecursionError):
            raise LocalProtocolError("what came through a worker's channel is not JSON") from None
        if not isinstance(message, dict):
            raise LocalProtocolError("what came through a worker's channel is not a message")
        return message

    def finish(self) -> None:
        """Send nothing more: the other end gets None after what it has still to read."""
        self._shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """End both directions; a ``receive`` that waits returns None."""
        self._shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def _shutdown(self, how: int) -> None:
        try:
            self._sock.shutdown(how)
        except OSError:
            # The other end went first, or this one is closed already.
            return

    def _read(self, size: int) -> bytes | None:
        while len(self._received) < size:
            try:
                part = self._sock.recv(_RECEIVE)
            except OSError:
                return None
            if not part:
                return None
            self._received += part
        data = bytes(self._received[:size])
        del self._received[:size]
        return data
