"""What a fault proxy does to the connections that go through it, as values: a rule is the whole state of a connection's faults.

``up`` is from the client to the server, ``down`` the way back. Offsets and counts are of one direction, from the connection's first byte.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Self

KIB = 1024


class Mode(enum.Enum):
    """How one direction is carried."""

    PASS = "pass"
    STOP = "stop"
    """A black hole: nothing is read and nothing delivered, ends neither; the sender fills its buffers. Lifted, it goes on where it was."""
    HOLD = "hold"
    """Read on and kept (up to ``hold_max``), nothing delivered; back to ``PASS``: all of it is delivered, even when its sender has long gone."""
    DISCARD = "discard"
    """Read on and thrown away: the sender believes that all is well."""


class End(enum.Enum):
    """How the proxy ends a connection."""

    FIN = "fin"
    """In order, to both sides; what still comes in is thrown away."""
    RESET = "reset"
    """RST to both sides."""
    HALF = "half"
    """FIN to the receiver of that direction alone: what the sender says afterwards is thrown away, the other direction goes on."""
    SILENCE = "silence"
    """No sign to anybody, as a NAT box that forgot the connection."""


@dataclass(frozen=True, slots=True)
class Way:
    """One direction of a connection. The defaults do nothing to it."""

    latency: float = 0.0
    """Seconds from one end to the other; a round trip takes both directions' latencies."""
    jitter: float = 0.0
    """Up to so many seconds more, drawn by the proxy's seed. The order is kept."""
    bandwidth: float | None = None
    """Bytes per second of all connections that follow the same rule together. What waits for the link waits in the sender."""
    line_max: int | None = None
    """Bytes that are on their way at most; None: what bandwidth by latency needs and a quarter."""
    slice: int | None = None
    """Delivered in segments of so many bytes, each sent by itself."""
    gap: float = 0.0
    """Seconds between two slices; below a millisecond: kept on the average."""
    flip_at: int | None = None
    """The byte at this offset is changed by ``flip``."""
    flip: int = 0x01
    mode: Mode = Mode.PASS
    hold_max: int = 64 * KIB * KIB
    end_after: int | None = None
    """So many bytes are delivered, then ``end``. Counts that have been passed already: at once."""
    end: End = End.FIN

    def __post_init__(self) -> None:
        if self.bandwidth is not None and self.bandwidth <= 0:
            raise ValueError("bandwidth is above 0; a dead link is Mode.STOP")
        if min(self.latency, self.jitter, self.gap, self.end_after or 0, self.flip_at or 0) < 0 or self.slice == 0:
            raise ValueError(f"nothing of a direction is negative, and no slice is empty: {self}")

    @property
    def capacity(self) -> int:
        """Bytes that are read ahead of their delivery."""
        if self.mode is Mode.HOLD:
            return self.hold_max
        if self.line_max is not None:
            return self.line_max
        in_flight = int((self.bandwidth or 400e6) * (self.latency + self.jitter) * 1.25)
        return max(64 * KIB if self.bandwidth else 256 * KIB, in_flight)

    @property
    def queue(self) -> int:
        """Bytes that wait in front of the link: ten milliseconds of it, and never less than TCP needs to run smoothly."""
        return int(min(max((self.bandwidth or 1e9) * 0.01, 8 * KIB), 128 * KIB))


class Swallow(enum.Flag):
    """Directions in which binary WebSocket messages vanish."""

    NONE = 0
    UP = enum.auto()
    DOWN = enum.auto()
    BOTH = UP | DOWN


@dataclass(frozen=True, slots=True)
class Http:
    """What a proxy that understands HTTP does. ``Http()`` looks on, so that requests and upgrades are recorded."""

    refuse_upgrade: int | None = None
    """Requests with ``Upgrade: websocket`` are answered with this status and never reach the server; 200 comes with an HTML page."""
    hang_upgrade: bool = False
    """They are not answered at all, and the connection stays open."""
    cut_after_101: int | None = None
    """So many bytes of ``cut_way`` pass after the 101's head, then ``cut_end``. 0: right after the 101."""
    cut_way: Swallow = Swallow.DOWN
    """``UP`` or ``DOWN``."""
    cut_end: End = End.FIN
    swallow: Swallow = Swallow.NONE
    body_max: int | None = None
    """A request with a longer ``Content-Length`` is answered with 413, the connection closed once the client has seen that."""

    def __post_init__(self) -> None:
        if self.cut_way not in {Swallow.UP, Swallow.DOWN}:
            raise ValueError("bytes after the 101 are counted in one direction: Swallow.UP or Swallow.DOWN")


@dataclass(frozen=True, slots=True)
class Rule:
    """All that happens to a connection. Both directions do nothing by default."""

    up: Way = field(default_factory=Way)
    down: Way = field(default_factory=Way)
    http: Http | None = None
    """Taken when the connection opens: a connection that opened without one is never looked into."""
    refuse: bool = False
    """Reset as soon as it is accepted."""
    idle_kill: float | None = None
    """A connection without a byte in either direction for so many seconds is ended by ``idle_end``."""
    idle_end: End = End.FIN

    @classmethod
    def both(cls, way: Way) -> Self:
        return cls(way, way)

    @classmethod
    def link(cls, *, rtt: float = 0.0, bandwidth: float | None = None, jitter: float = 0.0) -> Self:
        """A symmetric link; ``rtt`` is both ways together."""
        return cls.both(Way(latency=rtt / 2, jitter=jitter, bandwidth=bandwidth))
