"""How long to wait before the next try to reach the hub (docs/protocol.md, Liveness). Pure: time and chance come in."""

from __future__ import annotations

from collections.abc import Callable

from fileflux.protocol.limits import Limits


class Backoff:
    """Full jitter: a random part of a bound that doubles, so that thousands of agents do not come back at once."""

    def __init__(self, limits: Limits, chance: Callable[[], float]) -> None:
        """``chance()`` is a random number in [0, 1)."""
        self._limits = limits
        self._chance = chance
        self._bound = limits.reconnect_initial
        self._duplicate = limits.duplicate_wait
        self._failing_since: float | None = None

    def connected(self) -> None:
        """The session is established."""
        self._bound = self._limits.reconnect_initial
        self._failing_since = None

    def settled(self) -> None:
        """The session has held for a while: an earlier duplicate identity is over."""
        self._duplicate = self._limits.duplicate_wait

    def failed(self, now: float) -> float:
        """Seconds to wait after a failure or a lost link."""
        if self._failing_since is None:
            self._failing_since = now
        late = now - self._failing_since >= self._limits.reconnect_late
        most = self._limits.reconnect_max_late if late else self._limits.reconnect_max
        wait = self._chance() * min(self._bound, most)
        self._bound = min(self._bound * 2, most)
        return wait

    def refused(self) -> float:
        """Seconds to wait after the hub refused the token: somebody has to act first."""
        return self._limits.reconnect_max * (0.5 + self._chance() / 2)

    def duplicate(self) -> float:
        """Seconds to wait after a newer session took over: doubling, so that two hosts with one token do not fight."""
        wait = self._duplicate
        self._duplicate = min(self._duplicate * 2, self._limits.reconnect_late)
        return wait
