"""When which stream gets how much: admits streams to their destination's buffer, grants windows, and wakes those that wait for others.

Belongs to the relay, which calls in after every change of a stream's counts. The numbers are made in ``shares.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fileflux.actors import messages as a
from fileflux.actors.kernel.ref import ActorRef
from fileflux.actors.pacing import Pacing, Path
from fileflux.actors.session_port import SessionPort
from fileflux.actors.shares import Budget, DestinationBuffer, next_grant
from fileflux.actors.stream import PIECE_MIN, Stream
from fileflux.clock import Clock
from fileflux.jobs.bandwidth import Turns
from fileflux.jobs.bottleneck import StageMeter
from fileflux.protocol import messages as m
from fileflux.protocol.limits import Limits

HELD_SHOWN_S = 2.0
"""Between two grants a transfer is still one that waits for bandwidth."""


@dataclass(slots=True)
class Attempt:
    """A wire id in use: who may say what about it, and its stream once the size is known."""

    wire_id: int
    run: ActorRef[Any]
    token: int
    source: SessionPort
    destination: SessionPort
    hub_check: str
    job_id: int = 0
    job: a.JobLimits = field(default_factory=a.JobLimits)
    """As the run knew it; the relay may have heard of other ones since."""
    path: Path = ()
    """The limits that every byte of it is taken from."""
    held_at: float = 0.0
    """When it last had to wait for one of them."""
    stream: Stream | None = None
    reported_at: float = 0.0
    last_drain: float = 0.0
    fresh_acks: list[tuple[int, int]] = field(default_factory=list)
    stages: StageMeter = field(default_factory=StageMeter)
    """What its agents spend their time on."""


class Grants:
    """``attempts`` is the relay's own table of open attempts. ``wake``: call ``pacing.serve`` in so many seconds."""

    def __init__(
        self, limits: Limits, attempts: dict[int, Attempt], clock: Clock, wake: Callable[[float], None]
    ) -> None:
        self._limits = limits
        self._attempts = attempts
        self._clock = clock
        self.budget = Budget(limits)
        self.pacing = Pacing(limits, clock, self._give, wake)
        self._buffers: dict[int, DestinationBuffer] = {}
        self._waiting: dict[int, Turns[None, int]] = {}
        # Streams that may send nothing and wait for others to free the budget.
        self._hungry: set[int] = set()

    def admit(self, attempt: Attempt, stream: Stream) -> None:
        """Start the stream now, or in its turn, when its destination's buffer has room for its largest frame."""
        if attempt.path and not self.pacing.enter(attempt.wire_id, attempt.job_id, stream.frame_max):
            return
        self._line_up(attempt, stream)

    def _line_up(self, attempt: Attempt, stream: Stream) -> None:
        agent_id = attempt.destination.agent_id
        size = min(attempt.destination.receive_buffer or self._limits.receive_buffer, self._limits.receive_buffer)
        buffer = self._buffers.setdefault(agent_id, DestinationBuffer(size))
        if buffer.admit(stream):
            self._begin_or_go_on(attempt, stream)
        else:
            waiting = self._waiting.setdefault(agent_id, Turns())
            waiting.add(attempt.wire_id, None, attempt.job_id, stream.weight, stream.frame_max)

    def _park(self, attempt: Attempt, stream: Stream) -> None:
        """Others wait for the destination's buffer: after each frame it is the next one's turn, or whoever came first would be done first."""
        agent_id = attempt.destination.agent_id
        stream.parked = True
        self.budget.remove(attempt.wire_id)
        self._hungry.discard(attempt.wire_id)
        self._buffers[agent_id].remove(attempt.wire_id)
        self._waiting[agent_id].add(attempt.wire_id, None, attempt.job_id, stream.weight, stream.frame_max)
        self.admit_waiting(agent_id)

    def _begin_or_go_on(self, attempt: Attempt, stream: Stream) -> None:
        if not stream.parked:
            self._start(attempt, stream)
            return
        stream.parked = False
        attempt.last_drain = self._clock.monotonic()
        self.budget.add(stream)
        # At least a frame before it may lose its place again.
        if attempt.path:
            self._queue(attempt, stream)
        else:
            self._extend(attempt, stream)

    def changed(self, attempt: Attempt, stream: Stream) -> None:
        """The stream's counts have changed: so have the totals."""
        self.budget.update(stream)
        buffer = self._buffers.get(attempt.destination.agent_id)
        if buffer is not None:
            buffer.update(stream)

    def grant(self, attempt: Attempt) -> None:
        """Tell the source how much more it may send, if that is worth a message."""
        stream = attempt.stream
        if stream is None or not stream.started or stream.parked:
            return
        if attempt.path:
            self._queue(attempt, stream)
            return
        if stream.between_frames and self._waiting.get(attempt.destination.agent_id):
            self._park(attempt, stream)
        else:
            self._extend(attempt, stream)

    def _extend(self, attempt: Attempt, stream: Stream) -> None:
        up_to = self._next(attempt, stream)
        if up_to is None:
            self._note_hunger(stream)
            return
        stream.up_to = up_to
        self._note_hunger(stream)
        self.changed(attempt, stream)
        self._tell(attempt, stream)

    def regrant(self, attempt: Attempt, stream: Stream) -> None:
        """The counts were levelled for a new link: set ``up_to`` without a message, which the resume carries. Call ``grant`` behind that."""
        self.changed(attempt, stream)
        if attempt.path or stream.parked:
            return
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
        """A destination's buffer became emptier: start the streams that waited for it, by their jobs' priorities."""
        waiting, buffer = self._waiting.get(agent_id), self._buffers.get(agent_id)
        if not waiting or buffer is None:
            return

        def fits(_: None, wire_id: int) -> bool:
            stream = self._attempts[wire_id].stream
            return stream is not None and buffer.admit(stream)

        for _, wire_id in waiting.drain(fits):
            attempt = self._attempts[wire_id]
            if attempt.stream is not None:
                self._begin_or_go_on(attempt, attempt.stream)
        if not waiting:
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
        unused = 0 if attempt.stream is None else max(0, attempt.stream.told - attempt.stream.received)
        self._begin(self.pacing.close(attempt.wire_id, attempt.job_id, unused))
        waiting = self._waiting.get(agent_id)
        if waiting is not None:
            waiting.discard(attempt.wire_id)
            if not waiting:
                del self._waiting[agent_id]
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
        if not attempt.path:
            stream.up_to = self._next(attempt, stream) or 0
            self._note_hunger(stream)
        self.changed(attempt, stream)
        item = m.TransferResumeItem(attempt.wire_id, have_count=stream.have_seen, up_to=stream.up_to)
        attempt.source.post(a.PostItem(m.TransferResume, item))
        # A run that does not hear it is gone; it rebuilds from the store when it comes back.
        attempt.run.tell(a.RouteStarted(attempt.token, attempt.wire_id))
        if attempt.path:
            self._queue(attempt, stream)

    def _next(self, attempt: Attempt, stream: Stream) -> int | None:
        buffer = self._buffers[attempt.destination.agent_id]
        crowded = bool(self._waiting.get(attempt.destination.agent_id))
        outstanding = buffer.limit(stream, self._limits.window_max, crowded=crowded)
        return next_grant(stream, outstanding, self.budget.share(stream))

    def _tell(self, attempt: Attempt, stream: Stream, *, lower: bool = False) -> None:
        acked, attempt.fresh_acks = tuple(_merge(attempt.fresh_acks)), []
        attempt.source.post(a.PostItem(m.Window, m.WindowItem(attempt.wire_id, stream.told, acked, lower=lower)))

    # Where limits hold

    def set_limits(self, limits: a.SetLimits) -> None:
        """Other limits and priorities from now on, also for what moves already."""
        if not self.pacing.set(limits):
            return
        for attempt in self._attempts.values():
            limited = bool(attempt.path)
            self.find_path(attempt)
            stream = attempt.stream
            if stream is None:
                continue
            self._reweigh(attempt, stream)
            if not stream.started:
                continue
            if attempt.path:
                self._take_back(attempt, stream)
            elif limited and stream.held_back:
                stream.held_back = 0
                self._tell(attempt, stream)
            self.grant(attempt)
        for waiting in self._waiting.values():
            self._queue_anew(waiting)
        for job_id in self.pacing.held():
            self._begin(self.pacing.freed(job_id))

    def find_path(self, attempt: Attempt) -> None:
        """Which limits an attempt is under; it joins those that share them."""
        job = self.pacing.job(attempt.job_id, attempt.job)
        ends = (attempt.source.agent_id, attempt.destination.agent_id)
        attempt.path = self.pacing.path(attempt.wire_id, attempt.job_id, job, ends)

    def held_back(self, attempt: Attempt) -> bool:
        """Whether a limit makes it wait, or did a moment ago."""
        if not attempt.path or attempt.stream is None:
            return False
        just_now = self._clock.monotonic() - attempt.held_at < HELD_SHOWN_S
        return just_now or self.pacing.holds(attempt.wire_id, attempt.job_id, attempt.path)

    def _reweigh(self, attempt: Attempt, stream: Stream) -> None:
        weight = self.pacing.job(attempt.job_id, attempt.job).priority
        if weight != stream.weight:
            stream.weight = weight
            self.budget.reweigh(stream)
            buffer = self._buffers.get(attempt.destination.agent_id)
            if buffer is not None:
                buffer.reweigh(stream)

    def _queue_anew(self, waiting: Turns[None, int]) -> None:
        for _, wire_id in tuple(waiting.drain(lambda _group, _key: True)):
            attempt = self._attempts[wire_id]
            if attempt.stream is not None:
                waiting.add(wire_id, None, attempt.job_id, attempt.stream.weight, attempt.stream.frame_max)

    def _begin(self, wire_ids: list[int]) -> None:
        for wire_id in wire_ids:
            attempt = self._attempts.get(wire_id)
            if attempt is not None and attempt.stream is not None:
                self._line_up(attempt, attempt.stream)

    def _take_back(self, attempt: Attempt, stream: Stream) -> None:
        """A limit was set or lowered: what was granted before would go on at the old rate, for half a minute on a slow link."""
        ahead = self.pacing.ahead(attempt.wire_id, attempt.path)
        if stream.told - stream.received - ahead >= PIECE_MIN and "limits" in attempt.source.features:
            stream.held_back = stream.up_to - stream.received - ahead
            self._tell(attempt, stream, lower=True)

    def _queue(self, attempt: Attempt, stream: Stream) -> None:
        if self.pacing.waits(stream.wire_id):
            return
        if self._wanted(attempt, stream):
            self._hungry.discard(stream.wire_id)
            self.pacing.join(stream.wire_id)
        else:
            self._note_hunger(stream)

    def _wanted(self, attempt: Attempt, stream: Stream) -> int:
        """Bytes that buffers and the limits' look-ahead would allow now; 0 for less than a message's worth."""
        buffer = self._buffers[attempt.destination.agent_id]
        crowded = bool(self._waiting.get(attempt.destination.agent_id))
        farthest = min(
            stream.acked_bytes + buffer.limit(stream, self._limits.window_max, crowded=crowded),
            stream.drained + self.budget.share(stream),
            stream.received + min(stream.left_max, self.pacing.ahead(attempt.wire_id, attempt.path)),
        )
        wanted = farthest - stream.told
        if wanted <= 0:
            # With a limit of 0 nothing is wanted, and what there is waits for that limit.
            return 0
        whole = farthest >= stream.received + stream.left_max
        return wanted if wanted >= PIECE_MIN or whole or stream.may_send_nothing else 0

    def _give(self, wire_id: int, most: int) -> tuple[int, bool]:
        attempt = self._attempts[wire_id]
        stream = attempt.stream
        if stream is None:
            return 0, False
        wanted = self._wanted(attempt, stream)
        given = min(wanted, most)
        if not given:
            self._note_hunger(stream)
            return 0, False
        attempt.held_at = self._clock.monotonic()
        told = stream.told + given
        stream.up_to = max(stream.up_to, told)
        stream.held_back = stream.up_to - told
        self._note_hunger(stream)
        self.changed(attempt, stream)
        self._tell(attempt, stream)
        return given, self._wanted(attempt, stream) > 0

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
