"""One connection seen as a plain socket or as a cooperative one: both are objects over a descriptor, and this makes either."""

from __future__ import annotations

import select
import socket
from typing import Any, Final

import gevent.socket
from gevent import monkey

_HAS_ENDED: Final = getattr(select, "POLLRDHUP", 0) | getattr(select, "POLLHUP", 0)


def peer_has_ended(connection: Any) -> bool:
    """The peer will send nothing more, whether or not what it sent before has been read; never waits. False where the system does not say."""
    try:
        # gevent's own knows of reading and writing only.
        poll: Any = monkey.get_original("select", "poll")()
        poll.register(connection.fileno(), _HAS_ENDED)
        return bool(poll.poll(0))
    except AttributeError:
        return False
    except (OSError, ValueError):
        # Closed at this end.
        return True


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
