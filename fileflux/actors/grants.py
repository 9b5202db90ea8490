"""When which stream gets how much: admits streams to their destination's buffer, grants windows, and wakes those that wait for others.

Belongs to the relay, which calls in after every change of a stream's counts. The numbers are made in ``shares.py``.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from fileflux.actors import messages as a
from fileflux.actors.kernel.ref import ActorRef
from fileflux.actors.session_port import SessionPort
from fileflux.actors.shares import Budget, DestinationBuffer, next_grant
from fileflux.actors.stream import Stream
from fileflux.protocol import messages as m
from fileflux.protocol.limits import Limits


@dataclass(slots=True)
class Attempt:
    """A wire id in use: who may say what about it, and its stream once the size is known."""

    wire_id: int
    run: ActorRef[Any]
    token: int
    source: SessionPort
    destination: SessionPort
    hub_check: str
    stream: Stream | None = None
    reported_at: float = 0.0
    last_drain: float = 0.0
    fresh_acks: list[tuple[int, int]] = field(default_factory=list)


class Grants:
    """``attempts`` is the relay's own table of open attempts."""

    def __init__(self, limits: Limits, attempts: dict[int, Attempt]) -> None:
        self._limits = limits
        self._attempts = attempts
        self.budget = Budget(limits)
        self._buffers: dict[int, DestinationBuffer] = {}
        self._waiting: dict[int, deque[Attempt]] = {}
        # Streams that may send nothing and wait for others to free the budget.
        self._hungry: set[int] = set()

    def admit(self, attempt: Attempt, stream: Stream) -> None:
        """Start the stream now, or when its destination's buffer has room for its largest frame."""
        agent_id = attempt.destination.agent_id
        size = min(attempt.destination.receive_buffer or self._limits.receive_buffer, self._limits.receive_buffer)
        buffer = self._buffers.setdefault(agent_id, DestinationBuffer(size))
        if buffer.admit(stream):
            self._start(attempt, stream)
        else:
            self._waiting.setdefault(agent_id, deque()).append(attempt)

    def changed(self, attempt: Attempt, stream: Stream) -> None:
        """The stream's counts have changed: so have the totals."""
        self.budget.update(stream)
        buffer = self._buffers.get(attempt.destination.agent_id)
        if buffer is not None:
            buffer.update(stream)

    def grant(self, attempt: Attempt) -> None:
        """Tell the source how much more it may send, if that is worth a message."""
        stream = attempt.stream
        if stream is None or not stream.started:
            return
        up_to = self._next(attempt, stream)
        if up_to is None:
            self._note_hunger(stream)
            return
        stream.up_to = up_to
        self._note_hunger(stream)
        self.changed(attempt, stream)
        acked, attempt.fresh_acks = tuple(_merge(attempt.fresh_acks)), []
        attempt.source.post(a.PostItem(m.Window, m.WindowItem(attempt.wire_id, up_to, acked)))

    def regrant(self, attempt: Attempt, stream: Stream) -> None:
        """The counts were levelled for a new link: set ``up_to`` without a message, which the resume carries."""
        self.changed(attempt, stream)
        stream.up_to = max(stream.up_to, self._next(attempt, stream) or 0)
        self.changed(attempt, stream)

    def feed_hungry(self) -> None:
        """Something became free: serve the streams that wait for it."""
        for wire_id in tuple(self._hungry):
            attempt = self._attempts.get(wire_id)
            if attempt is None:
                self._hungry.discard(wire_id)
            else:
                self.grant(attempt)

    def admit_waiting(self, agent_id: int) -> None:
        """A destination's buffer became emptier: start the streams that waited for it, in their order."""
        queue = self._waiting.get(agent_id)
        buffer = self._buffers.get(agent_id)
        while queue and buffer is not None:
            attempt = queue[0]
            if self._attempts.get(attempt.wire_id) is not attempt or attempt.stream is None:
                queue.popleft()
                continue
            if not buffer.admit(attempt.stream):
                return
            queue.popleft()
            self._start(attempt, attempt.stream)
        self._waiting.pop(agent_id, None)

    def find_slow(self, now: float) -> None:
        """Streams that a destination takes nothing of get less of the budget."""
        slow = {
            wire_id
            for wire_id, attempt in self._attempts.items()
            if attempt.last_drain and now - attempt.last_drain > self._limits.slow_destination_after
        }
        self.budget.set_slow(slow)

    def close(self, attempt: Attempt) -> None:
        """The attempt is over: what it held is free."""
        self.budget.remove(attempt.wire_id)
        agent_id = attempt.destination.agent_id
        buffer = self._buffers.get(agent_id)
        if buffer is not None:
            buffer.remove(attempt.wire_id)
            self.admit_waiting(agent_id)
            if not buffer and agent_id not in self._waiting:
                del self._buffers[agent_id]
        self.feed_hungry()

    def _start(self, attempt: Attempt, stream: Stream) -> None:
        self.budget.add(stream)
        stream.started = True
        stream.up_to = self._next(attempt, stream) or 0
        self._note_hunger(stream)
        self.changed(attempt, stream)
        item = m.TransferResumeItem(attempt.wire_id, have_count=stream.have_seen, up_to=stream.up_to)
        attempt.source.post(a.PostItem(m.TransferResume, item))
        # A run that does not hear it is gone; it rebuilds from the store when it comes back.
        attempt.run.tell(a.RouteStarted(attempt.token, attempt.wire_id))

    def _next(self, attempt: Attempt, stream: Stream) -> int | None:
        buffer = self._buffers[attempt.destination.agent_id]
        crowded = bool(self._waiting.get(attempt.destination.agent_id))
        outstanding = buffer.limit(stream, self._limits.window_max, crowded=crowded)
        return next_grant(stream, outstanding, self.budget.share(stream))

    def _note_hunger(self, stream: Stream) -> None:
        if stream.stuck:
            self._hungry.add(stream.wire_id)
        else:
            self._hungry.discard(stream.wire_id)


def _merge(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged
