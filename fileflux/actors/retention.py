"""Removes runs that are older than the hub is told to keep them, a little at a time. Owned by Housekeeping; blocks its caller's greenlet only."""

from __future__ import annotations

from typing import Final

import structlog

from fileflux.audit import log as audit
from fileflux.clock import Clock
from fileflux.errors import NotFoundError
from fileflux.storage import history, settings
from fileflux.storage.pool import Database

log = structlog.get_logger("fileflux.retention")

WORK_S: Final = 1.0
"""For one turn; the database has time for others until the next one."""
PAUSE_S: Final = 1.0
LOOK_EVERY_S: Final = 3600.0
"""How often the oldest runs are looked through from the beginning."""


class Retention:
    """``turn`` does some of it, and says when it wants to be called again."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._runs: list[int] = []
        self._place: history.Place | None = None
        self._looked = False

    def turn(self) -> float:
        """Work for about WORK_S; returns the seconds until the next turn. Raises FluxError when the database cannot be asked."""
        with self._database.transaction() as tx:
            term = history.Term.of(settings.hub(tx))
            done = history.to_report(tx)
            if done is not None:
                audit.append(tx, "hub", "history.removed", "runs", "ok", done)
        until = self._clock.monotonic() + WORK_S
        while self._clock.monotonic() < until:
            if not self._runs and not self._look(term):
                return LOOK_EVERY_S
            if self._runs:
                self._remove_some(term)
        return PAUSE_S

    def _look(self, term: history.Term) -> bool:
        """Find the next runs; False at the end."""
        if self._looked and self._place is None:
            self._looked = False
            return False
        with self._database.transaction() as tx:
            self._runs, self._place = history.old_runs(tx, term, self._place)
        self._looked = True
        return True

    def _remove_some(self, term: history.Term) -> None:
        run_id = self._runs[0]
        try:
            with self._database.transaction() as tx:
                removed = history.remove_some(tx, run_id, term)
        except NotFoundError as error:
            # Something refers to it that nobody has thought of here: the others go all the same.
            log.warning("a run stays in the history", run=run_id, error=error.message)
            removed = None
        if removed is None or removed.gone:
            self._runs.pop(0)
