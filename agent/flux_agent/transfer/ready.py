"""Frames in shared memory that wait for the link, and how much of them the window allows."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from fileflux.protocol.window import SendWindow
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


class ReadyFrames:
    """The frames of one source, in the order in which they were read."""

    def __init__(self, piece_min: int) -> None:
        self.window = SendWindow()
        self._piece_min = piece_min
        self._frames: deque[Frame] = deque()
        self._stalled_at: float | None = None

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, frame: Frame) -> None:
        self._frames.append(frame)

    def granted(self, up_to: int, now: float) -> float:
        """The window grew; for how many seconds it had held up what is ready."""
        self.window.grant(up_to)
        waited = 0.0 if self._stalled_at is None else now - self._stalled_at
        self._stalled_at = None
        return waited

    def take(self, piece_size: int, now: float) -> Outgoing | None:
        """The next bytes to send, at most ``piece_size`` and what the window allows. After sending them call ``taken``."""
        if not self._frames:
            return None
        frame = self._frames[0]
        left = frame.size - frame.sent
        length = min(piece_size, left, self.window.room)
        if length < min(left, self._piece_min, piece_size):
            # Crumbs of a window are left lying until there is a piece worth a message.
            if self._stalled_at is None:
                self._stalled_at = now
            return None
        data = frame.slot.view[frame.sent : frame.sent + length]
        return Outgoing(frame.index, frame.sent, data, whole=length == frame.size)

    def taken(self, out: Outgoing) -> bool:
        """The bytes of ``take`` are copied and queued on the link; whether that was the end of their frame."""
        frame = self._frames[0]
        length = len(out.data)
        out.data.release()
        self.window.add(length)
        frame.sent += length
        if frame.sent < frame.size:
            return False
        self._frames.popleft()
        frame.slot.release()
        return True

    def clear(self) -> None:
        """Forget what was not taken."""
        for frame in self._frames:
            frame.slot.release()
        self._frames.clear()
        self._stalled_at = None
