"""How hard ``compression: auto`` works: by what the way to the destination carries, against what the processors make of a byte.

Sans-I/O. Compression pays where bytes wait for the link: it spends processor time to send fewer of them. Where frames are taken as fast as
they are made, it only costs. What carries little (a link, a limit, a slow destination) shows in the same way: frames wait.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import Final

from fileflux.protocol.limits import MIB


class Level(IntEnum):
    """From nothing to what only slow links are worth; ``protocol.compression.compress`` knows what each means."""

    NONE = 0
    LZ4 = 1
    FAST = 2
    MORE = 3


FAST_LINK: Final = 200e6
"""Bytes per second: a core compresses 465 MB/s with zstd 1, and the receiver has to decompress, so nothing is gained beyond (docs/performance.md)."""
SLOW_LINK: Final = 60e6
"""Below it even zstd 3 is faster than the link."""
MEASURE_S: Final = 0.25
MEASURE_BYTES: Final = 16 * MIB
ENOUGH_BYTES: Final = 4 * MIB
"""Fewer say nothing of the processors: there was little to do."""
WAITS: Final = 0.3
"""Frames that wait for less than this part of the time: the processors are what is slow, unless the link is a slow one and never idle."""
BUSY: Final = 0.3
"""A slow link that has something to carry for this part of the time is what is slow. On a quick one it says nothing: processors hold up both its ends.
A window that is full for so long says nothing on a slow one either: who is behind it may lack processors or a link.
"""
PAUSED_S: Final = 2 * MEASURE_S
"""A measure that took so long had a pause in it, such as the one between two files."""
GAP_S: Final = 1.0
"""Nothing was there to be sent for so long: what was measured before says nothing any more."""
HOLD_S: Final = 5.0
"""How long a level that was too much for the processors is not tried again; doubled each time."""
HOLD_MAX_S: Final = 300.0


class Effort:
    """Tell it of bytes that the link has carried, and whenever something begins or ceases to wait for it; read ``level``."""

    def __init__(self) -> None:
        self.level = Level.FAST
        self._began: float | None = None
        self._last = 0.0
        self._waiting = False
        self._waited_s = 0.0
        self._waited_bytes = 0
        self._busy = False
        self._busy_s = 0.0
        self._held_back = False
        self._held_back_s = 0.0
        self._bytes = 0
        self._ceiling = Level.MORE
        self._ceiling_until = -math.inf
        self._hold_s = HOLD_S

    def sent(self, length: int, now: float, *, waiting: bool, busy: bool, held_back: bool) -> None:
        """The link has carried ``length`` bytes more; from now on frames wait for it or the window, it has something to carry, the window allows
        no more to be read.
        """
        if not self._waiting and now - self._last > GAP_S:
            self.idle()
        if self._began is None:
            self._began = self._last = now
        if self._waiting:
            self._waited_s += now - self._last
            self._waited_bytes += length
        if self._busy:
            self._busy_s += now - self._last
        if self._held_back:
            self._held_back_s += now - self._last
        self._bytes += length
        self._last = now
        self._waiting, self._busy, self._held_back = waiting, busy, held_back
        if self._bytes >= MEASURE_BYTES or now - self._began >= MEASURE_S:
            self._decide(now)

    def idle(self) -> None:
        """Nothing is being sent any more: what was measured says nothing of the next time."""
        self._began = None
        self._waiting = self._busy = self._held_back = False
        self._waited_s = self._busy_s = self._held_back_s = 0.0
        self._waited_bytes = self._bytes = 0

    def _decide(self, now: float) -> None:
        if self._began is None:
            return
        took = now - self._began
        slow = self._bytes < SLOW_LINK * took
        if self._waited_s >= WAITS * took:
            self._choose(self._waited_bytes / max(self._waited_s, 1e-6), now)
        elif slow and self._busy_s >= BUSY * took:
            self._choose(self._bytes / took, now)
        elif not (slow and self._held_back_s >= BUSY * took) and self._bytes >= ENOUGH_BYTES and took < PAUSED_S:
            self._too_much(now)
        going_on = self._waiting, self._busy, self._held_back
        self.idle()
        self._began = self._last = now
        self._waiting, self._busy, self._held_back = going_on

    def _choose(self, rate: float, now: float) -> None:
        wanted = Level.NONE if rate >= FAST_LINK else Level.FAST if rate >= SLOW_LINK else Level.MORE
        if now >= self._ceiling_until:
            self._ceiling = Level.MORE
        self.level = min(wanted, self._ceiling)

    def _too_much(self, now: float) -> None:
        """The link waits for the processors."""
        if self.level is Level.NONE:
            return
        self.level = Level(self.level - 1)
        if now >= self._ceiling_until + self._hold_s:
            self._hold_s = HOLD_S
        elif now >= self._ceiling_until:
            # It was tried once more, and was too much once more.
            self._hold_s = min(2 * self._hold_s, HOLD_MAX_S)
        self._ceiling, self._ceiling_until = self.level, now + self._hold_s
