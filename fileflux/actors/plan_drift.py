"""Compares a plan with what its run found, as soon as that has been listed. One actor for each such plan, gone when it has."""

from __future__ import annotations

from typing import Final

import structlog

from fileflux.actors import messages as a
from fileflux.actors.kernel.actor import Actor
from fileflux.errors import FluxError
from fileflux.jobs.status import RunStatus
from fileflux.storage import plan_drift, plans, runs
from fileflux.storage.plan_drift import SOURCE_CLASSES
from fileflux.storage.pool import Database

log = structlog.get_logger("fileflux.plan")

FIRST_LOOK_S: Final = 0.2
LOOK_S: Final = plans.SILENT_S / 10
BATCH: Final = 5000
"""Files compared in one statement, about 50 ms."""


class DriftFinder(Actor[a.Tick]):
    """What fails is tried again with the next look; a plan that is gone needs none."""

    mailbox_size = 10

    def __init__(self, plan_id: int, run_id: int, database: Database) -> None:
        super().__init__()
        self._plan_id = plan_id
        self._run_id = run_id
        self._database = database
        self._wait = FIRST_LOOK_S

    def on_start(self) -> None:
        self.after(self._wait, a.Tick())

    def receive(self, message: a.Tick) -> None:
        del message
        try:
            if self._done():
                self.stop_self()
                return
        except FluxError as error:
            log.warning("the drift of a plan waits", plan_id=self._plan_id, error=error.message)
        self._wait = min(2 * self._wait, LOOK_S)
        self.after(self._wait, a.Tick())

    def _done(self) -> bool:
        with self._database.transaction() as tx:
            run = runs.get(tx, self._run_id)
            if run is None:
                return True
            over = RunStatus(run.status).terminal and not run.planned
            if over or not plan_drift.hold(tx, self._plan_id, anew=run.planned):
                return True
        if run.planned:
            self._compare()
        return run.planned

    def _compare(self) -> None:
        after: int | None = 0
        while after is not None:
            with self._database.transaction() as tx:
                after = plan_drift.compare_found(tx, self._plan_id, self._run_id, after, BATCH)
        for of_class in SOURCE_CLASSES:
            after = 0
            while after is not None:
                with self._database.transaction() as tx:
                    after = plan_drift.compare_planned(tx, self._plan_id, self._run_id, of_class, after, BATCH)
        with self._database.transaction() as tx:
            plan_drift.finish(tx, self._plan_id)
