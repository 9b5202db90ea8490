"""Plain sockets for the pump."""

from __future__ import annotations

import os
import socket
from typing import Any

from gevent import monkey


def plain_socket(connection: socket.socket) -> socket.socket:
    """A non-blocking standard socket over a duplicate of ``connection``'s descriptor.

    gevent's own sockets wait inside ``recv`` and ``send``; the pump needs calls that answer at once with BlockingIOError. The caller may
    close ``connection`` and owns the new socket.
    """
    original: Any = monkey.get_original("socket", "socket")
    plain: socket.socket = original(
        connection.family, connection.type, connection.proto, fileno=os.dup(connection.fileno())
    )
    plain.setblocking(False)
    return plain
