"""What a transfer waits for most, from the stage times that both agents report (docs/protocol.md, ``transfer_progress``).

Pure: the numbers are milliseconds since the transfer began, ``now`` is any clock's. A stage that is done by several workers at once may take
more than the time that passed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Final, Literal

from fileflux.protocol.limits import MIB
from fileflux.protocol.messages import StageTimes

Bottleneck = Literal["source_disk", "source_cpu", "uplink", "hub", "downlink", "destination_disk", "limit"]

MEASURE_S: Final = 2.0
"""A verdict is about so much at least: workers take whole chunks, which shows as bursts."""
FRESH_S: Final = 10.0
"""Older ones say nothing of now."""
STALLED: Final = 0.3
"""A source that may not send for this part of the time waits for what is behind it."""
BUSY: Final = 0.5
"""A stage that takes this part of the time holds up the others."""
QUEUED_BYTES: Final = 2 * MIB
"""What waits in the hub for the destination's link while that keeps up is less: two messages."""


@dataclass(slots=True)
class StageMeter:
    """Of one transfer. Tell it of every report, of either end; read ``verdict``."""

    _now: StageTimes = field(default_factory=StageTimes)
    _before: StageTimes = field(default_factory=StageTimes)
    _since: float | None = None
    _judged_at: float = 0.0
    _queued: int = 0
    _verdict: Bottleneck | None = None

    def told(self, times: StageTimes, queued: int, now: float) -> None:
        """``times``: of the end that reports, zero for the stages of the other one. ``queued``: bytes in the hub for the destination's link."""
        self._now = StageTimes(*(max(getattr(self._now, one.name), getattr(times, one.name)) for one in fields(times)))
        self._queued = max(self._queued, queued) if self._since is not None else queued
        if self._since is None:
            self._since, self._before = now, self._now
            return
        elapsed = now - self._since
        if elapsed < MEASURE_S:
            return
        spent = {
            one.name: (getattr(self._now, one.name) - getattr(self._before, one.name)) / 1000 / elapsed
            for one in fields(times)
        }
        self._verdict = judge(spent, self._queued)
        self._judged_at, self._since, self._before, self._queued = now, now, self._now, queued

    def verdict(self, now: float) -> Bottleneck | None:
        """None: too little is known."""
        return self._verdict if now - self._judged_at <= FRESH_S else None


def judge(spent: dict[str, float], queued: int) -> Bottleneck:
    """``spent``: the part of the time that each stage took."""
    if spent["window"] >= STALLED:
        if queued >= QUEUED_BYTES:
            return "downlink"
        return "destination_disk" if spent["write"] + spent["sync"] >= BUSY else "hub"
    computing = spent["hash"] + spent["compress"]
    if max(spent["read"], computing) >= BUSY:
        return "source_disk" if spent["read"] > computing else "source_cpu"
    return "uplink"
