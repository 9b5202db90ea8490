"""How fast a number grows, over the last seconds."""

from __future__ import annotations

from collections import deque
from typing import Final

WINDOW_S: Final = 10.0
_LEAST_S: Final = 0.4
"""Two looks at almost the same time tell nothing."""


class Rate:
    """Add what is there each time you look; ``per_second`` is 0.0 until it can be told."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def add(self, now: float, count: int) -> None:
        if self._seen and count < self._seen[-1][1]:
            self._seen.clear()  # It began again: what came before says nothing.
        self._seen.append((now, count))
        while len(self._seen) > 2 and now - self._seen[0][0] > WINDOW_S:
            self._seen.popleft()

    @property
    def per_second(self) -> float:
        (first, had), (last, has) = (self._seen[0], self._seen[-1]) if self._seen else ((0.0, 0), (0.0, 0))
        return (has - had) / (last - first) if last - first >= _LEAST_S else 0.0
