"""One watch: has its path scanned, hears of events in between, has candidates looked at, and hands over what is ready.

Lives in the agent's main process and touches no file: scans, events and looks are tasks of a worker. All methods are called in turns.
"""

from __future__ import annotations

import json
import math
import os
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from fileflux.clock import Clock
from fileflux.errors import FluxError
from fileflux.protocol import messages as m
from fileflux.protocol.limits import KIB, Limits
from flux_agent.transfer.machine import printable
from flux_agent.transfer.workers import Workers
from flux_agent.watch.candidates import MARKER_S, Candidates, Ready, Sight
from flux_agent.watch.native import ADDED, DELETED

LOOKS: Final = 200
"""Names of one look: some ten milliseconds of a worker."""
READY_MAX: Final = 5000
"""Files that are ready and not yet with the hub; then nothing is looked at until it takes some."""
BATCH: Final = 500
BATCH_BYTES: Final = 384 * KIB
_ENTRY_BYTES: Final = 150
SHARE: Final = 20
"""A scan takes at most this share of the time: one of a huge folder is repeated less often."""
POLL_SHARE: Final = 4
"""The same where nothing else tells of a file."""
TRY_EVENTS_AGAIN_S: Final = 300.0
OFFER_AGAIN_S: Final = 24 * 3600.0
"""The hub forgets what it has not heard of for a month."""

Send = Callable[[m.Message], None]


class Watcher:
    """``room``: whether the hub takes more now. Call ``step`` at ``next_step``, which is another time after ``moved_on``, and ``end`` once."""

    def __init__(
        self,
        order: m.WatchSet,
        number: int,
        workers: Workers,
        limits: Limits,
        clock: Clock,
        send: Send,
        room: Callable[[], bool],
        moved_on: Callable[[], None],
    ) -> None:
        """``number`` is this watch's own among all that this process ever had: a late answer must not reach another one."""
        self._order = order
        self._number = number
        self._workers = workers
        self._limits = limits
        self._clock = clock
        self._send = send
        self._room = room
        self._moved_on = moved_on
        self._candidates = Candidates(order.settle_s, order.marker, min(order.poll_s or MARKER_S, MARKER_S))
        self._ready: deque[Ready] = deque()
        self._base = ""
        self._path_type: m.PathType = "directory"
        self._ended = False
        self._said: m.WatchState | None = None
        self._scanning = self._looking = self._asking = self._opening = False
        self._scan_at = 0.0
        self._scan_began = 0.0
        self._scan_took = 0.0
        self._offered_at: float | None = None
        self._listening: tuple[str, ...] | None = None
        """The directories whose events are heard."""
        self._events_at = math.inf
        self._pace = 1.0
        self._no_events = ""
        self._try_events_at = 0.0

    def step(self, pace: float = 1.0) -> None:
        """Do what is due. ``pace``: so many times more rarely than usual events are asked for."""
        if self._ended:
            return
        now, self._pace = self._now, pace
        if not self._scanning and not self._opening and now >= self._scan_at:
            self._scan()
        if self._listening is not None and not self._asking and not self._opening and now >= self._events_at:
            self._asking = True
            self._submit("watch_events", {}, self._events)
        if not self._looking and len(self._ready) < READY_MAX:
            names = self._candidates.due(now, LOOKS)
            if names:
                self._looking = True
                self._submit("watch_look", {"paths": names}, lambda value, error: self._looks(names, now, value, error))
        self._offer()

    def next_step(self) -> float:
        """When ``step`` has something to do, as far as that is known now."""
        due = [math.inf]
        if not self._scanning and not self._opening:
            due.append(self._scan_at)
        if self._listening is not None and not self._asking and not self._opening:
            due.append(self._events_at)
        if not self._looking and len(self._ready) < READY_MAX:
            due.append(self._candidates.next_due())
        if self._ready:
            due.append(self._now + self._limits.watch_events)
        return min(due)

    def end(self) -> None:
        """Forget it."""
        self._ended = True
        self._workers.submit(self._key, "watch_end", {"watch": self._number}, _ignore)

    # Scans

    def _scan(self) -> None:
        now = self._now
        self._scanning, self._scan_began = True, now
        if self._offered_at is None or now - self._offered_at > OFFER_AGAIN_S:
            self._candidates.offer_again()
            self._offered_at = now
        self._candidates.overflowed = False
        self._page(first=True)

    def _page(self, *, first: bool) -> None:
        order, rules = self._order, self._order.rules
        args: dict[str, Any] = {"first": first}
        if first:
            args |= {
                "path": order.path,
                "rules": {
                    "include": list(rules.include),
                    "exclude": list(rules.exclude),
                    "recursive": rules.recursive,
                    "min_age_s": rules.min_age_s,
                    "symlinks": rules.symlinks,
                },
                "destination": order.destination,
                "on_success": order.on_success,
                "archive": order.archive,
                "marker": order.marker,
            }
        else:
            args["rules"] = {"symlinks": rules.symlinks}
        self._submit("watch_scan", args, self._scanned)

    def _scanned(self, value: dict[str, Any] | None, error: FluxError | None) -> None:
        now = self._now
        if value is None:
            self._scanning = False
            self._scan_failed(error)
            return
        for path, size, mtime_ns in value["files"]:
            self._candidates.scanned(path, size, mtime_ns, now)
        if not value["last"]:
            self._page(first=False)
            return
        self._scanning = False
        self._scan_took = now - self._scan_began
        if (value["base"], value["path_type"]) != (self._base, self._path_type):
            self._moved(value)
        self._plan(tuple(sorted(value["directories"])))

    def _moved(self, value: dict[str, Any]) -> None:
        """What is ready below another base is no file of this one."""
        if self._base:
            self._ready.clear()
            self._candidates.offer_again()
        self._base, self._path_type = value["base"], value["path_type"]

    def _plan(self, directories: tuple[str, ...]) -> None:
        """After a scan: how the watch goes on until the next."""
        now, poll = self._now, self._order.poll_s
        if poll is not None:
            self._state("ok", "looking")
        elif self._listening == directories:
            self._scan_at = now + max(self._limits.watch_rescan, SHARE * self._scan_took)
            if self._candidates.overflowed:
                self._scan_at = now + max(1.0, POLL_SHARE * self._scan_took)
            self._state("ok", "native")
            return
        elif now >= self._try_events_at:
            self._opening = True
            self._submit("watch_open", {"directories": directories}, lambda v, e: self._opened(directories, v, e))
            return
        else:
            self._state("degraded", "looking", self._no_events)
        self._scan_at = now + max(poll or self._limits.watch_poll, POLL_SHARE * self._scan_took)

    def _scan_failed(self, error: FluxError | None) -> None:
        """The path is not there, or not to be read: that may change."""
        self._listening = None
        if error is not None and error.code == "worker_died":
            self._scan_at = self._now + 1.0
            return
        self._scan_at = self._now + self._limits.watch_poll
        how: m.WatchHow = "native" if self._order.poll_s is None else "looking"
        self._state("failed", how, "no answer" if error is None else error.message)

    # Events

    def _opened(self, directories: tuple[str, ...], value: dict[str, Any] | None, error: FluxError | None) -> None:
        self._opening = False
        # What came between the scan and this moment shows in another scan only.
        self._scan_at = self._now + min(SHARE * self._scan_took, self._limits.watch_rescan)
        if value is not None:
            self._listening, self._events_at, self._no_events = directories, self._now, ""
            return
        self._listening = None
        if error is not None and error.code in ("worker_died", "not_found"):
            self._scan_at = self._now + 1.0
            return
        self._no_events = "no answer" if error is None else error.message
        self._try_events_at = self._now + TRY_EVENTS_AGAIN_S
        self._state("degraded", "looking", self._no_events)
        self._scan_at = self._now + max(self._limits.watch_poll, POLL_SHARE * self._scan_took)

    def _events(self, value: dict[str, Any] | None, error: FluxError | None) -> None:
        self._asking = False
        self._events_at = self._now + self._limits.watch_events * self._pace
        if value is None:
            if error is not None and error.code == "no_events":
                self._no_events, self._try_events_at = error.message, self._now + TRY_EVENTS_AGAIN_S
            self._listening = None
            self._scan_soon()
            return
        if value["more"]:
            self._scan_soon()
        for kind, path in value["events"]:
            self._event(kind, path)

    def _event(self, kind: int, path: str) -> None:
        if self._listening is not None and path in self._listening:
            if kind == DELETED or path == self._base:
                self._scan_soon()
            return
        if kind == DELETED:
            # A candidate that is gone is found out by its next look.
            return
        name = _below(self._base, path)
        if name:
            self._candidates.noticed(name, self._now, appeared=kind == ADDED)

    def _scan_soon(self) -> None:
        self._scan_at = min(self._scan_at, self._now + max(self._limits.watch_events, POLL_SHARE * self._scan_took))

    # Looks, and what comes of them

    def _looks(self, names: list[str], asked: float, value: dict[str, Any] | None, error: FluxError | None) -> None:
        del error
        self._looking = False
        now = self._now
        if value is None:
            self._candidates.unseen(names, now)
            self._scan_soon()
            return
        for name, row in zip(names, value["sights"], strict=True):
            sight = None if row is None else Sight(*row)
            if sight is not None and sight.kind == "directory":
                # A new one, with what was put into it before anybody listened.
                self._scan_soon()
                sight = None
            ready = self._candidates.looked(name, sight, asked, now)
            if ready is not None:
                self._ready.append(ready)
        if self._candidates.overflowed and self._candidates.has_room:
            self._scan_soon()

    def _offer(self) -> None:
        while self._ready and self._room():
            entries: list[m.Entry] = []
            room = BATCH_BYTES
            while self._ready and len(entries) < BATCH and room > 0:
                one = self._ready.popleft()
                entries.append(m.Entry(one.path, one.kind, one.size, one.mtime_ns, one.mode))
                room -= _ENTRY_BYTES + len(json.dumps(one.path))
            self._send(m.WatchReady(self._order.watch_id, self._base, self._path_type, tuple(entries)))

    # Inside

    @property
    def _now(self) -> float:
        return self._clock.monotonic()

    @property
    def _key(self) -> str:
        return f"watch:{self._number}"

    def _state(self, status: m.WatchStatus, how: m.WatchHow, reason: str = "") -> None:
        state = m.WatchState(self._order.watch_id, status, how, printable(reason))
        if state != self._said:
            self._said = state
            self._send(state)

    def _submit(
        self, task: str, args: dict[str, Any], done: Callable[[dict[str, Any] | None, FluxError | None], None]
    ) -> None:
        def unless_ended(value: dict[str, Any] | None, error: FluxError | None) -> None:
            if not self._ended:
                done(value, error)
                self._moved_on()

        self._workers.submit(self._key, task, {"watch": self._number, **args}, unless_ended)


def _ignore(value: dict[str, Any] | None, error: FluxError | None) -> None:
    """Nobody waits for this answer."""


def _below(base: str, path: str) -> str:
    """The name of a path below the base, with ``/`` between its components; empty for others."""
    prefix = base if base.endswith(os.sep) else base + os.sep
    return path[len(prefix) :].replace(os.sep, "/") if path.startswith(prefix) else ""
