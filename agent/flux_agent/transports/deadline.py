"""One end for a number of steps that each wait."""

from __future__ import annotations

from fileflux.clock import Clock


class Deadline:
    """``seconds`` from now on."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.seconds = seconds
        self._clock = clock
        self._end = clock.monotonic() + seconds

    def left(self) -> float:
        """Seconds left, above 0. Raises TimeoutError when there are none."""
        left = self._end - self._clock.monotonic()
        if left <= 0:
            raise TimeoutError(f"not within {self.seconds:g} s")
        return left
