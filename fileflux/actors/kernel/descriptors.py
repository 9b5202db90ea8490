"""One connection seen as a plain socket or as a cooperative one: both are objects over a descriptor, and this makes either."""

from __future__ import annotations

import socket
from typing import Any

import gevent.socket
from gevent import monkey


def plain_duplicate(connection: Any) -> socket.socket:
    """A non-blocking standard socket over a duplicate of ``connection``'s descriptor; each of the two is closed on its own.

    gevent's own sockets wait inside ``recv`` and ``send``; this one answers at once with BlockingIOError, also in a patched process.
    """
    original: Any = monkey.get_original("socket", "socket")
    plain: socket.socket = original(
        connection.family, connection.type, connection.proto, fileno=socket.dup(connection.fileno())
    )
    plain.setblocking(False)
    return plain


def cooperative(plain: socket.socket) -> socket.socket:
    """A gevent socket in blocking style that takes over ``plain``'s descriptor; ``plain`` is closed afterwards."""
    family, kind, proto = plain.family, plain.type, plain.proto
    waiting: Any = gevent.socket.socket(family, kind, proto, fileno=plain.detach())
    waiting.setblocking(True)
    taken: socket.socket = waiting
    return taken
