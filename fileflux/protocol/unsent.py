"""Keeps what the system holds unsent of a busy link at about ``piece_seconds`` of it.

A text overtakes what is queued in the link, and nothing that the system has taken already. A socket takes 70 KiB to several MiB ahead of the network: at
64 kB/s that is one second to a minute for each heartbeat and cancellation. TCP_NOTSENT_LOWAT bounds it; a fixed bound would be too
much for the thinnest link or too many wake-ups for the fastest, so it follows the rate at which the socket was seen to take bytes once it was full.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from fileflux.protocol.limits import KIB, MIB, Limits
from fileflux.protocol.link import Buffer, Cut

LEAST: Final = 16 * KIB
MOST: Final = 4 * MIB
START: Final = 64 * KIB
MEASURE_S: Final = 0.05
_TCP: Final = 6
_OPTION: Final = {"linux": 25, "darwin": 0x201}.get(sys.platform)
"""TCP_NOTSENT_LOWAT, by its number: this package imports no socket."""


@dataclass(slots=True, eq=False)
class Outgoing:
    """A binary message that waits in a link; ``cut`` makes smaller ones of it for a slow one."""

    data: Buffer
    size: int
    tag: int
    on_sent: Callable[[], None] | None
    cut: Cut | None = None


class Unsent:
    """Of one socket. Where the system does not know the option nothing is bounded but each single ``send``."""

    def __init__(self, sock: Any, limits: Limits) -> None:
        self._sock = sock
        self._limits = limits
        self._full_since: float | None = None
        self._taken = 0
        self.most = START
        """Bytes to offer to one ``send``."""
        self.seen = False
        """``most`` follows the link; before, it is a guess."""
        self._apply()

    def took(self, size: int) -> None:
        """The socket took so many bytes."""
        self._taken += size

    def full(self, now: float) -> None:
        """The socket takes no more for now."""
        if self._full_since is None:
            self._full_since, self._taken = now, 0
            return
        elapsed = now - self._full_since
        if elapsed >= MEASURE_S and self._taken:
            wanted = int(self._taken / elapsed * self._limits.piece_seconds)
            self._full_since, self._taken = now, 0
            self.seen = True
            wanted = max(LEAST, min(MOST, wanted))
            if not self.most * 3 // 4 <= wanted <= self.most * 5 // 4:
                self.most = wanted
                self._apply()

    def drained(self) -> None:
        """Nothing waits for the socket any more: the time until it is full again says nothing about the link."""
        self._full_since = None

    def _apply(self) -> None:
        if _OPTION is not None:
            with suppress(OSError, AttributeError):
                self._sock.setsockopt(_TCP, _OPTION, self.most)
