"""A connection for the pump, and back again, with and without TLS."""

from __future__ import annotations

import socket
import sys
from contextlib import suppress
from typing import Any, Final

from fileflux.actors.kernel.descriptors import cooperative, plain_duplicate
from fileflux.actors.kernel.tls import TlsSocket, TlsStream

_NOTSENT_LOWAT: Final = {"linux": 25, "darwin": 0x201}.get(sys.platform)
"""TCP_NOTSENT_LOWAT, which the socket module does not name."""


def plain_socket(connection: socket.socket | TlsSocket) -> socket.socket | TlsStream:
    """A non-blocking ``StreamSocket`` over a duplicate of ``connection``'s descriptor: ``recv`` and ``send`` answer at once.

    The caller may close ``connection`` and owns what is returned. Give ``take_unread`` of it to whoever reads from it next.
    """
    return connection.to_stream() if isinstance(connection, TlsSocket) else plain_duplicate(connection)


def take_unread(stream: socket.socket | TlsStream) -> bytes:
    """What was decrypted before ``stream`` was made and nobody has read: the pump does not know of it."""
    return stream.take_unread() if isinstance(stream, TlsStream) else b""


def blocking_socket(stream: socket.socket | TlsStream) -> socket.socket | TlsSocket:
    """The way back: a gevent socket in blocking style, or the TlsSocket, that takes over ``stream``'s descriptor.

    Take ``stream`` out of the pump first; it is of no more use.
    """
    return stream.to_socket() if isinstance(stream, TlsStream) else cooperative(stream)


def bound_unsent(connection: Any, most: int) -> None:
    """Have the system take ``most`` bytes ahead of the network, not megabytes: whoever waits for an answer waits for them as well,
    and a send that goes on shows that the peer takes bytes. Left out where the system does not offer it.
    """
    if _NOTSENT_LOWAT is not None:
        with suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, most)
