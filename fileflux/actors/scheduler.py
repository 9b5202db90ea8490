"""Starts what is due. The database has the times and decides (``storage/schedules.py``); this actor looks, and tells those concerned.

Every hub does it, none leads: a hub that is gone or hangs is missed by nobody. A tick of the scheduler's clock has it look at the very moment;
besides, it looks every LOOK_S seconds, since jobs change at other hubs too and clocks are set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import structlog

from fileflux.actors import messages as a
from fileflux.actors.kernel import runtime
from fileflux.actors.kernel.actor import SLICE_S, Actor
from fileflux.actors.kernel.ref import ActorRef
from fileflux.actors.scheduler_clock import WakeUp
from fileflux.audit import log as audit
from fileflux.bus.bus import Bus
from fileflux.bus.events import AlertRaised, RunChanged
from fileflux.clock import Clock
from fileflux.errors import FluxError
from fileflux.storage import expectations, schedules
from fileflux.storage.pool import Database, Transaction
from fileflux.storage.schedules import Entry

log = structlog.get_logger("fileflux.scheduler")

LOOK_S: Final = 1.0
AGAIN_S: Final = 0.05
"""What is due and was not taken is locked by another hub, or by somebody who edits the job."""


class Scheduler(Actor[a.Tick]):
    """``live``: the actors of the runs that this hub drives."""

    mailbox_size = 100

    def __init__(
        self, database: Database, runs: ActorRef[a.RunsMessage], live: Mapping[int, Any], bus: Bus, clock: Clock
    ) -> None:
        super().__init__()
        self._database = database
        self._runs = runs
        self._live = live
        self._bus = bus
        self._clock = clock
        self._wake_up = WakeUp(lambda: self.ref.tell_control(a.Tick("due")))
        self._waits = False
        self._zones_known = False

    def on_start(self) -> None:
        self._wake_up.start()
        self.after(0, a.Tick("look"))

    def on_stop(self) -> None:
        self._wake_up.stop()

    def receive(self, message: a.Tick) -> None:
        try:
            self._look()
            self._waits = False
        except FluxError as error:
            if not self._waits:
                log.warning("schedules wait", error=error.message)
            self._waits = True
        if message.what == "look":
            self.after(LOOK_S, a.Tick("look"))

    def _look(self) -> None:
        if not self._zones_known:
            self._compare_zones()
        seconds = self._seconds_to_next()
        if seconds is not None and seconds <= 0:
            while self._fire():
                runtime.yield_loop()
            while self._check():
                runtime.yield_loop()
            seconds = self._seconds_to_next()
        if seconds is not None and seconds < LOOK_S:
            self._wake_up.after(max(seconds, AGAIN_S if seconds <= 0 else 0))

    def _seconds_to_next(self) -> float | None:
        with self._database.transaction() as tx:
            return schedules.seconds_to_next(tx)

    def _compare_zones(self) -> None:
        with self._database.transaction() as tx:
            changed = schedules.zones_changed(tx)
        last: int | None = 0
        while changed and last is not None:
            with self._database.transaction() as tx:
                last = schedules.recompute(tx, last, self._breather())
            runtime.yield_loop()
        if changed:
            with self._database.transaction() as tx:
                schedules.zones_known(tx)
        self._zones_known = True

    def _fire(self) -> bool:
        """One batch; True when there may be more."""
        with self._database.transaction() as tx:
            fired = schedules.fire_due(tx, self._breather())
            _write(tx, fired.entries)
        if fired.made:
            self._runs.tell(a.StartRuns(tuple(fired.made)))
            log.info("runs by schedule", runs=len(fired.made))
        for run_id in fired.waiting:
            self._bus.publish(RunChanged(run_id, "queued"))
        for run_id in fired.cancelled:
            run = self._live.get(run_id)
            if run is not None:
                run.ref.tell_control(a.LookAgain())
        return fired.jobs == schedules.BATCH

    def _check(self) -> bool:
        with self._database.transaction() as tx:
            checked = expectations.check_due(tx, self._breather())
            _write(tx, checked.entries)
        for alert in checked.alerts:
            self._bus.publish(AlertRaised(alert.id, alert.kind, alert.message))
        return checked.jobs == schedules.BATCH

    def _breather(self) -> schedules.Breathe:
        """Gives way once it has computed for a slice; while the database answers others run anyway."""
        began = self._clock.monotonic()

        def breathe() -> None:
            nonlocal began
            if self._clock.monotonic() - began >= SLICE_S:
                runtime.yield_loop()
                began = self._clock.monotonic()

        return breathe


def _write(tx: Transaction, entries: tuple[Entry, ...] | list[Entry]) -> None:
    if entries:
        audit.append_many(
            tx, [audit.NewEntry(schedules.BY, one.action, one.object, one.outcome, one.detail) for one in entries]
        )
