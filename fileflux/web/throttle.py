"""Counts attempts per key within a sliding window, in bounded memory. Pure: time comes in as an argument."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Final

MAX_KEYS: Final = 10_000
"""About 2 MiB. Forgetting the key unused for longest is safe: each address can only fill in a few keys per window."""


class Throttle:
    """At most ``attempts`` per key and ``window`` seconds."""

    def __init__(self, attempts: int, window: float) -> None:
        self._attempts = attempts
        self._window = window
        self._seen: OrderedDict[str, deque[float]] = OrderedDict()

    def take(self, keys: Sequence[str], now: float) -> float | None:
        """Count one attempt for all keys at once and return None; or count nothing and return the seconds to wait.

        It is counted before its outcome is known, so that attempts made at the same time cannot slip through together. After a
        good outcome call ``give_back``.
        """
        waits = [wait for key in keys if (wait := self._wait(key, now)) > 0]
        if waits:
            return max(waits)
        for key in keys:
            self._seen.setdefault(key, deque()).append(now)
            self._seen.move_to_end(key)
        while len(self._seen) > MAX_KEYS:
            self._seen.popitem(last=False)
        return None

    def give_back(self, keys: Sequence[str]) -> None:
        """The last attempt for these keys does not count."""
        for key in keys:
            times = self._seen.get(key)
            if times:
                times.pop()
                if not times:
                    del self._seen[key]

    def blocked(self, key: str, now: float) -> bool:
        """Whether an attempt for this key alone would be refused."""
        return self._wait(key, now) > 0

    def _wait(self, key: str, now: float) -> float:
        times = self._seen.get(key)
        if times is None:
            return 0.0
        while times and times[0] <= now - self._window:
            times.popleft()
        if not times:
            del self._seen[key]
            return 0.0
        return times[0] + self._window - now if len(times) >= self._attempts else 0.0
