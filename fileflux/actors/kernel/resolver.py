"""Looks names up beside the loop, and never for longer than the caller wants to wait.

A system's resolver blocks, for 30 s and more when the name servers are silent, and cannot be interrupted. So it runs in the loop's thread
pool; who has waited long enough goes away, and the next one who asks for the same name waits for the look-up that still runs. There is never
more than one for a name, so a dead name server cannot fill the pool.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from gevent import monkey

from fileflux.actors.kernel.runtime import Result, begin_in_thread
from fileflux.errors import UnavailableError

Address = tuple[int, tuple[Any, ...]]
"""Family and socket address, for ``socket.socket`` and its ``connect``."""
LookUp = Callable[[str, int], list[Address]]


class Resolver:
    """Belongs to the thread of the loop. Works patched and unpatched."""

    def __init__(self, look_up: LookUp | None = None) -> None:
        """``look_up`` is called in another thread; it may block and raises OSError. The system's otherwise."""
        self._look_up = look_up or _system_look_up
        self._running: dict[tuple[str, int], Result[list[Address]]] = {}

    def addresses(self, host: str, port: int, timeout: float) -> list[Address]:
        """Where ``host`` is, in the order of the system's preference.

        Raises socket.gaierror when there is no such name or no name server, TimeoutError after ``timeout``.
        """
        name = (host, port)
        running = self._running.get(name)
        if running is None:
            running = self._running[name] = begin_in_thread(self._look_up, host, port)
        try:
            return running.get(timeout)
        except UnavailableError:
            raise TimeoutError(f"no answer from the name servers within {timeout:g} s") from None
        finally:
            if running.ready and self._running.get(name) is running:
                del self._running[name]


def _system_look_up(host: str, port: int) -> list[Address]:
    # In the pool's threads there is no loop: the patched call would make one.
    original: Any = monkey.get_original("socket", "getaddrinfo")
    found = original(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found if family in (socket.AF_INET, socket.AF_INET6)]
