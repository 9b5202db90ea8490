"""Who may send how much: the hub's byte budget and each destination's receive buffer, shared without ever being overdrawn.

Two rules make a stall impossible. A stream is admitted only when its largest frame fits into what the destination's buffer has not
promised to others, so every admitted stream can always finish a frame. The hub's own budget needs no such reserve: pieces drain one by one.

Where several want more than there is, each gets by its weight, which is its job's priority.

Both keep running totals, since they are asked for every piece of every stream: whoever changes a stream's counts calls ``update``.
"""

from __future__ import annotations

from fileflux.actors.stream import Stream
from fileflux.protocol.limits import Limits


class DestinationBuffer:
    """What one destination agent holds of chunks that are not yet acknowledged."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._promised: dict[int, int] = {}
        self._total = 0
        self._weights = _Weights()

    def __len__(self) -> int:
        return len(self._promised)

    def admit(self, stream: Stream) -> bool:
        """Take the stream in if its largest frame can be promised; a single stream is always admitted."""
        if self._promised and self._total + stream.frame_max > self.size:
            return False
        self._promised[stream.wire_id] = 0
        self._weights.put(stream.wire_id, stream.weight)
        self.update(stream)
        return True

    def reweigh(self, stream: Stream) -> None:
        """The stream has another weight."""
        if stream.wire_id in self._promised:
            self._weights.put(stream.wire_id, stream.weight)

    def update(self, stream: Stream) -> None:
        """The stream's counts have changed."""
        before = self._promised.get(stream.wire_id)
        if before is not None:
            now = max(stream.frame_max, stream.outstanding)
            self._promised[stream.wire_id] = now
            self._total += now - before

    def remove(self, wire_id: int) -> None:
        self._total -= self._promised.pop(wire_id, 0)
        self._weights.drop(wire_id)

    def limit(self, stream: Stream, window_max: int, *, crowded: bool) -> int:
        """Bytes that ``stream`` may have outstanding now. ``crowded``: others wait for admission, so nobody gets more than a frame."""
        minimum = stream.frame_max
        if crowded:
            # To the byte, so that it ends between two frames and others have their turn.
            begun = stream.received + stream.begun_left - stream.acked_bytes
            return min(minimum, begun) if stream.partial else stream.frame_plain
        target = max(minimum, min(window_max, self.size * stream.weight // max(stream.weight, self._weights.sum)))
        others = self._total - self._promised.get(stream.wire_id, 0)
        return max(minimum, min(target, self.size - others))


class Budget:
    """Bytes of pieces that the hub may hold, over all streams."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held: dict[int, int] = {}
        self._weights = _Weights()
        self._slow: set[int] = set()
        self.reserved = 0
        """Bytes granted to sources that are not yet in a destination's socket."""

    def add(self, stream: Stream) -> None:
        self._held[stream.wire_id] = 0
        self._weights.put(stream.wire_id, stream.weight)
        self.update(stream)

    def update(self, stream: Stream) -> None:
        """The stream's counts have changed."""
        before = self._held.get(stream.wire_id)
        if before is not None:
            self._held[stream.wire_id] = stream.reserved
            self.reserved += stream.reserved - before

    def remove(self, wire_id: int) -> None:
        self.reserved -= self._held.pop(wire_id, 0)
        self._weights.drop(wire_id)
        self._slow.discard(wire_id)

    def reweigh(self, stream: Stream) -> None:
        """The stream has another weight."""
        if stream.wire_id in self._held:
            self._weights.put(stream.wire_id, stream.weight)

    def set_slow(self, wire_ids: set[int]) -> None:
        """Streams whose destination has not drained for ``slow_destination_after``: together they get half of the budget."""
        self._slow = wire_ids & self._held.keys()

    def share(self, stream: Stream) -> int:
        """Bytes that ``stream`` may have in the hub now."""
        limits = self._limits
        part = limits.relay_budget * stream.weight // max(stream.weight, self._weights.sum)
        if stream.wire_id in self._slow:
            part = min(part, limits.relay_budget // 2 // len(self._slow))
        part = max(limits.piece_min, min(part, limits.relay_share_max))
        free = limits.relay_budget - (self.reserved - self._held.get(stream.wire_id, 0))
        return max(0, min(part, free))


class _Weights:
    """Weights of those that share something, and their sum."""

    __slots__ = ("_each", "sum")

    def __init__(self) -> None:
        self._each: dict[int, int] = {}
        self.sum = 0

    def put(self, wire_id: int, weight: int) -> None:
        self.sum += weight - self._each.get(wire_id, 0)
        self._each[wire_id] = weight

    def drop(self, wire_id: int) -> None:
        self.sum -= self._each.pop(wire_id, 0)


def next_grant(stream: Stream, outstanding_max: int, share: int) -> int | None:
    """The new ``up_to``, or None when the step is too small to be worth a message.

    Steps are a quarter of the smaller limit, except that a stream which can send nothing gets whatever there is.
    """
    up_to = min(stream.acked_bytes + outstanding_max, stream.drained + share, stream.received + stream.left_max)
    step = up_to - stream.up_to
    if step <= 0:
        return None
    if step * 4 < min(outstanding_max, share) and not stream.may_send_nothing:
        return None
    return up_to
