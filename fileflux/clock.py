"""The only place that reads a clock. Rules and machines take ``now`` as an argument instead."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Time as the program sees it."""

    def monotonic(self) -> float:
        """Seconds that never go back; for deadlines and rates."""
        ...

    def utc_now(self) -> datetime:
        """Wall time in UTC, aware; for what people read."""
        ...


class SystemClock:
    """The machine's clocks."""

    def monotonic(self) -> float:
        return time.monotonic()

    def utc_now(self) -> datetime:
        return datetime.now(UTC)


class FakeClock:
    """A clock that moves only when told to; for tests of rules and machines."""

    def __init__(self, monotonic: float = 1000.0, wall: datetime | None = None) -> None:
        self._monotonic = monotonic
        self._wall = wall or datetime(2026, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return self._monotonic

    def utc_now(self) -> datetime:
        return self._wall

    def advance(self, seconds: float) -> None:
        from datetime import timedelta

        self._monotonic += seconds
        self._wall += timedelta(seconds=seconds)
