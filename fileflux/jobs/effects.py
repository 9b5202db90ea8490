"""What the machines of transfers and bundles want done; whoever drives them carries it out, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fileflux.protocol import messages as m


@dataclass(frozen=True, slots=True)
class Send:
    """Send ``item`` in a message of class ``message`` to the agent that plays ``role``."""

    role: m.Role
    message: type[m.Message]
    item: Any


@dataclass(frozen=True, slots=True)
class OpenStream:
    """The size is known: no frame may pass before StartStream, have pages may."""

    wire_id: int
    size: int
    chunk_size: int
    total_chunks: int


@dataclass(frozen=True, slots=True)
class StartStream:
    """When ``have_count`` hashes went on to the source, let the source send and report ``have_forwarded``."""

    wire_id: int
    have_count: int


@dataclass(frozen=True, slots=True)
class RelinkStream:
    wire_id: int


@dataclass(frozen=True, slots=True)
class CloseStream:
    """The wire id is used no more; closing one that was never opened, or twice, is no error."""

    wire_id: int


@dataclass(frozen=True, slots=True)
class Persist:
    """Store what the machine shows now. ``confirm``: call ``stored`` when it is committed."""

    confirm: bool = False


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """Call ``begin`` again after this time, when both agents are there."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class Ended:
    """The transfer reached its terminal status; ``part_left``: a part may stand at the destination."""

    part_left: bool


Effect = Send | OpenStream | StartStream | RelinkStream | CloseStream | Persist | RetryAfter | Ended
