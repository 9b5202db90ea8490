"""The live feed: what has changed in the hub, as people see it, for any number of listeners.

One ring holds the newest events, and a listener is a place in it and a flag: a thousand open tabs cost neither queues nor copies. Who falls
off the ring, or comes from another life of the feed, is told ``reset`` and reads the state anew. Changes are gathered for a tick and shown
once, in the state that the object has then, whoever listens; progress of live runs and of their transfers is looked at, not sent.
What is too much for a tick waits for the next ones. Beyond BACKLOG the oldest transfers are left out, since a run's own sums are right in any case;
of anything else so many changes are a ``reset``. Without listeners nothing is gathered and nothing is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import structlog

from fileflux.actors.feed_ring import Listener, Ring
from fileflux.actors.kernel import runtime
from fileflux.actors.messages import LiveProgress, LiveTransfer
from fileflux.bus import events as e
from fileflux.bus.bus import Bus, Subscription
from fileflux.clock import Clock
from fileflux.errors import FluxError, UnavailableError

log = structlog.get_logger("fileflux.feed")

Kind = Literal["agent", "run", "transfer", "job", "alert"]

TICK_S: Final = 0.25
LISTENER_S: Final = 0.001
"""A tick is at least so long for each listener: waking one and writing to it takes about a tenth of that, so the feed has at most that share of
the loop."""
PROGRESS_S: Final = 0.5
"""Between two events about the progress of one run or transfer."""
IDLE_S: Final = 60.0
"""Without listeners for so long: the feed rests. A page that is loaded anew finds its place again."""
PER_TICK: Final[Mapping[Kind, int]] = {"agent": 100, "job": 100, "alert": 20, "transfer": 50, "run": 50}
"""Events of a kind in one tick, in the order of telling: the end of a run comes after the ends of its files."""
BACKLOG: Final = 1000
"""Changed objects of a kind that wait for their tick."""
BUS_QUEUE: Final = 50_000
"""Several ticks of ten thousand small files a second."""
NOTED_IN_A_ROW: Final = 2000
"""About 2 ms of the loop."""

WATCHED: Final = (
    e.AgentOnline, e.AgentOffline, e.AgentChanged,
    e.RunStarted, e.RunChanged, e.RunEnded,
    e.TransferChanged, e.TransferCompleted, e.TransferFailed,
    e.JobChanged, e.AlertRaised,
)  # fmt: skip

_ID: Final = re.compile(r"([0-9a-f]{8})-([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Shown:
    """An object as the REST API shows it: one line of JSON. ``run_id`` is that of a run or of a transfer's run."""

    run_id: int | None
    data: str


class View(Protocol):
    """Shows objects as the REST API does."""

    def show(self, kind: Kind, ids: Sequence[int]) -> list[Shown]:
        """In the order of ``ids``, without those that do not exist; gives way to others in between. Raises UnavailableError."""
        ...


class LiveRuns(Protocol):
    """The runs that are driven here."""

    def ids(self) -> Collection[int]: ...

    def progress(self, run_id: int) -> LiveProgress | None: ...


class Feed:
    """A service: ``show_with`` and ``start`` before the first listener; ``end_listeners`` when the hub is told to stop, then ``stop``."""

    def __init__(self, bus: Bus, live_runs: LiveRuns, clock: Clock) -> None:
        self.ring = Ring()
        self.ended = False
        self._bus = bus
        self._live_runs = live_runs
        self._clock = clock
        self._view: View | None = None
        self._subscription: Subscription | None = None
        self._dropped = 0
        self._overflowed = False
        self._listeners: set[Listener] = set()
        self._left_at = 0.0
        self._woken = runtime.Event()
        self._task: runtime.Task | None = None
        self._changed: dict[Kind, dict[int, None]] = {kind: {} for kind in PER_TICK}
        self._failed: dict[int, None] = {}
        self._moving: dict[int, None] = {}
        self._jobs: dict[int, e.JobChanged] = {}
        self._seen: dict[int, LiveProgress] = {}
        self._looked_at = 0.0

    def show_with(self, view: View) -> None:
        """Who shows objects; once, before ``start``."""
        self._view = view

    def start(self) -> None:
        self.ended = False
        self._task = runtime.spawn(self._run, name="feed")

    def stop(self, timeout: float = 5.0) -> None:
        self.end_listeners()
        self._woken.set()
        if self._task is not None:
            self._task.join(timeout)
            if not self._task.dead:
                self._task.kill(block=False)
        self._rest()

    def end_listeners(self) -> None:
        """The hub stops: every listener has ended, and nobody can listen any more."""
        self.ended = True
        for listener in tuple(self._listeners):
            listener.wake()

    def listen(self, last_id: str | None = None, run_id: int | None = None) -> Listener:
        """What happens from now on, or from ``last_id`` (the id of an event, or a listener's ``position``) on; only what is about a run
        with ``run_id``. Raises UnavailableError while the hub stops.
        """
        if self.ended:
            raise UnavailableError("the hub is stopping; connect again in a moment")
        if self._subscription is None:
            self._wake()
        boot, seq = self.ring.boot, self.ring.last_seq
        if last_id:
            known = _ID.fullmatch(last_id)
            # What is no id of ours is like one that is too old.
            boot, seq = (known[1], int(known[2])) if known is not None else ("", 0)
        listener = Listener(self, boot, seq, run_id)
        self._listeners.add(listener)
        return listener

    def left(self, listener: Listener) -> None:
        """For listeners."""
        if listener in self._listeners:
            self._listeners.discard(listener)
            self._left_at = self._clock.monotonic()

    def __len__(self) -> int:
        return len(self._listeners)

    def tick(self) -> None:
        """One round: take what the bus brought, look at what moves, show what has changed. For the feed's own loop and for tests."""
        subscription = self._subscription
        if subscription is None:
            return
        if not self._listeners and self._clock.monotonic() - self._left_at >= IDLE_S:
            self._rest()
            return
        for number, event in enumerate(subscription.take_all(), 1):
            self._note(event)
            if number % NOTED_IN_A_ROW == 0:
                runtime.yield_loop()
        if self._clock.monotonic() - self._looked_at >= PROGRESS_S:
            self._look()
        before = self.ring.last_seq
        if subscription.dropped > self._dropped or self._overflowed:
            self._dropped, self._overflowed = subscription.dropped, False
            reason = "more happened than could be told: read the state anew"
            self.ring.append("reset", None, json.dumps({"reason": reason}))
        try:
            self._show()
        finally:
            if self.ring.last_seq > before:
                for listener in tuple(self._listeners):
                    listener.wake()

    def _run(self) -> None:
        failing = False
        while not self.ended:
            if self._subscription is None:
                self._woken.wait()
                self._woken.clear()
                continue
            try:
                self.tick()
                failing = False
            except Exception as error:  # noqa: BLE001  # a row that cannot be shown, a database that is away: the next tick tries again
                if not failing:
                    log.warning("the live feed waits", error=str(error), exc_info=not isinstance(error, FluxError))
                failing = True
            if self._woken.wait(max(TICK_S, len(self._listeners) * LISTENER_S)):
                self._woken.clear()

    def _wake(self) -> None:
        self.ring = Ring()
        self._subscription = self._bus.subscribe(WATCHED, BUS_QUEUE)
        self._dropped = 0
        self._seen = {
            run_id: progress for run_id in self._live_runs.ids() if (progress := self._live_runs.progress(run_id))
        }
        self._looked_at = self._left_at = self._clock.monotonic()
        self._woken.set()

    def _rest(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            subscription.close()
        for waiting in (*self._changed.values(), self._failed, self._moving, self._jobs, self._seen):
            waiting.clear()  # type: ignore[attr-defined]  # dictionaries all, of several types
        self.ring = Ring()

    def _note(self, event: e.Event) -> None:
        match event:
            case e.TransferFailed():
                self._failed[event.transfer_id] = None
                _bound(self._failed)
            case e.TransferChanged() | e.TransferCompleted():
                self._add("transfer", event.transfer_id)
            case e.RunStarted() | e.RunChanged() | e.RunEnded():
                self._add("run", event.run_id)
            case e.AgentOnline() | e.AgentOffline() | e.AgentChanged():
                self._add("agent", event.agent_id)
            case e.JobChanged():
                self._jobs[event.job_id] = event
                self._add("job", event.job_id)
            case e.AlertRaised():
                self._add("alert", event.alert_id)
            case _:
                pass

    def _add(self, kind: Kind, row_id: int) -> None:
        waiting = self._changed[kind]
        waiting.setdefault(row_id)
        if kind == "transfer":
            _bound(waiting)
        elif len(waiting) > BACKLOG:
            waiting.clear()
            self._overflowed = True

    def _look(self) -> None:
        """Which live runs and transfers have moved since the last look."""
        self._looked_at = self._clock.monotonic()
        now: dict[int, LiveProgress] = {}
        for number, run_id in enumerate(self._live_runs.ids(), 1):
            progress = self._live_runs.progress(run_id)
            if progress is None:
                continue
            now[run_id] = progress
            seen = self._seen.get(run_id)
            if progress != seen:
                self._add("run", run_id)
                self._add_moving(progress.transfers, seen.transfers if seen is not None else {})
            if number % 50 == 0:
                runtime.yield_loop()
        self._seen = now

    def _add_moving(self, now: Mapping[int, LiveTransfer], seen: Mapping[int, LiveTransfer]) -> None:
        for transfer_id, live in now.items():
            if live != seen.get(transfer_id):
                self._moving.setdefault(transfer_id)
        _bound(self._moving)

    def _show(self) -> None:
        for kind, most in PER_TICK.items():
            waiting = self._changed[kind]
            if kind == "transfer":
                # What failed is told first, what only moves last.
                several: tuple[dict[int, None], ...] = (self._failed, waiting, self._moving)
            else:
                several = (waiting,)
            ids = list(dict.fromkeys(row_id for one in several for row_id in tuple(one)[:most]))[:most]
            if not ids:
                continue
            for shown in self._shown(kind, ids):
                self.ring.append(kind, shown.run_id, shown.data)
            for row_id in ids:
                for one in several:
                    one.pop(row_id, None)

    def _shown(self, kind: Kind, ids: Sequence[int]) -> list[Shown]:
        if kind == "job":
            jobs = [self._jobs[job_id] for job_id in ids]
            if len(self._changed["job"]) == len(ids):
                self._jobs.clear()
            return [
                Shown(None, json.dumps({"id": job.job_id, "version": job.version, "deleted": job.deleted}))
                for job in jobs
            ]
        return self._view.show(kind, ids) if self._view is not None else []


def _bound(waiting: dict[int, None]) -> None:
    while len(waiting) > BACKLOG:
        del waiting[next(iter(waiting))]
