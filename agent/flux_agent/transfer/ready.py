"""Frames in shared memory that wait for the link."""

from __future__ import annotations

from dataclasses import dataclass

from flux_agent.transfer.regions import Slot


@dataclass(slots=True)
class Frame:
    """A chunk's frame in its slot, ``sent`` bytes of which were taken."""

    index: int
    slot: Slot
    size: int
    sent: int = 0


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Bytes to send now. ``data`` is valid until the machine's next call; copy it, then call ``taken``."""

    index: int
    offset: int
    data: memoryview
    whole: bool
