"""Has the system itself look for peers that are gone: the second line behind a session's own silence time-out.

A link notices 60 s of silence by itself, and a peer that takes no bytes for as long. What it cannot see is an idle connection below it that nobody
reads from just then: a request that waits for its answer, a handshake, a process that is stopped. Keep-alive finds a host that is gone there.

Not chosen: TCP_USER_TIMEOUT. Where a proxy slows a link down by its receive window, Linux counts small windows as no progress: it ended a link that
moved 64 kB/s steadily after exactly that time.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any, Final

# macOS has another name for the first one.
_IDLE: Final = getattr(socket, "TCP_KEEPIDLE", None) or getattr(socket, "TCP_KEEPALIVE", None)
_INTERVAL: Final = getattr(socket, "TCP_KEEPINTVL", None)
_COUNT: Final = getattr(socket, "TCP_KEEPCNT", None)


def watch_peer(connection: Any, silence: float) -> None:
    """End an idle TCP connection whose peer has been silent for ``silence`` seconds and answers no probe.

    What the system does not offer is left out. Sets TCP_NODELAY too.
    """
    third = max(1, int(silence / 3))
    for level, option, value in (
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, _IDLE, third),
        (socket.IPPROTO_TCP, _INTERVAL, third),
        (socket.IPPROTO_TCP, _COUNT, 2),
    ):
        if option is not None:
            with suppress(OSError):
                connection.setsockopt(level, option, value)
