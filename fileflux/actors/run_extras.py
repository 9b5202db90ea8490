"""What the destination has and the source has not (``delete_extra``): found when every file has ended, then removed.

First the whole destination is listed, with the job's own rules, and what the run has no row of is noted; only then anything is removed, so
that a listing is never made of a folder that changes under it. After a crash it begins again.
"""

from __future__ import annotations

import itertools
import os
from enum import Enum, auto
from typing import Any, Final

import structlog

from fileflux.actors import messages as a
from fileflux.actors.destination_listing import destination_request, named, troubles_of
from fileflux.actors.kernel.ref import ActorRef
from fileflux.actors.run_listing import Plan
from fileflux.actors.session_port import SessionPort
from fileflux.jobs.models import JobSpec
from fileflux.jobs.run import RunMachine
from fileflux.protocol import messages as m
from fileflux.protocol.limits import Limits
from fileflux.protocol.systems import falls_together
from fileflux.storage.deletions import Deletion, Extra, Outcome
from fileflux.storage.runs import RunRow

log = structlog.get_logger("fileflux.run")

BATCH: Final = 150
"""Paths of one request: with the longest names still below the size of a message."""
TRIES: Final = 3


class _Step(Enum):
    BEFORE = auto()
    LISTING = auto()
    REMOVING = auto()
    OVER = auto()


class Extras:
    """Owned by a run's actor; not an actor itself. Call ``go_on`` once every file has ended, until ``over``."""

    def __init__(
        self,
        row: RunRow,
        spec: JobSpec,
        limits: Limits,
        persistence: ActorRef[a.PersistenceMessage],
        ids: itertools.count[int],
    ) -> None:
        self._row = row
        self._spec = spec
        self._limits = limits
        self._persistence = persistence
        self._ids = ids
        self._step = _Step.BEFORE if spec.delete_extra else _Step.OVER
        self._request_id = 0
        self._page = 0
        self._asked: tuple[Deletion, ...] = ()
        self._busy = False
        self._asked_at = 0.0
        self._silences = 0
        self.refusal = ""
        """Why nothing is removed, for people."""
        self.deleted = 0
        self.failed = 0

    @property
    def doing(self) -> str:
        """For people."""
        if self._step is _Step.REMOVING:
            return "removing what the source has not"
        return "" if self.over else "looking for what the source has not"

    @property
    def over(self) -> bool:
        return self._step is _Step.OVER

    def lost(self) -> None:
        """The destination forgot what it was asked: begin this step again."""
        if self._step is _Step.LISTING:
            self._step, self._busy = _Step.BEFORE, False
        elif self._step is _Step.REMOVING and self._asked:
            self._asked, self._busy = (), False
        self._request_id = self._page = 0

    def go_on(
        self,
        machine: RunMachine,
        plan: Plan,
        port: SessionPort | None,
        owner: ActorRef[Any],
        now: float,
    ) -> None:
        """Do what comes next, unless something is on its way. ``plan``: of the run; ``port``: of the destination's agent."""
        if self._busy or self.over:
            return
        if self._step is _Step.BEFORE:
            self.refusal = self._unasked(machine, plan)
            doubt = "" if self.refusal else self._doubt(machine)
            if doubt:
                self._refuse(doubt)
            if self.refusal:
                self._step = _Step.OVER
                return
            self._busy = True
            self._persistence.tell(a.BeginDeletions(self._row.id, self._row.lease_epoch, owner))
        elif self._step is _Step.LISTING:
            self._ask_page(plan.base, port, owner, now)
        else:
            self._busy = True
            self._persistence.tell(a.FetchDeletions(self._row.id, BATCH, owner))

    def begun(self) -> None:
        """What an earlier try had found is forgotten."""
        self._busy = False
        if self._step is _Step.BEFORE:
            self._step, self._request_id, self._page = _Step.LISTING, 0, 0

    def listed(self, result: m.ListResult, owner: ActorRef[Any]) -> bool:
        """A page of the destination; False for one that is not ours."""
        if self._step is not _Step.LISTING or result.request_id != self._request_id or result.page != self._page:
            return False
        self._page += 1
        self._silences = 0
        troubles = troubles_of(result, self._spec)
        if troubles:
            # What could not be looked into may hold what the source has: then a directory is not known to be extra.
            self._refuse(f"the destination could not be listed: {troubles[0]}")
            self._step, self._busy = _Step.OVER, False
            return True
        found = tuple(
            Extra(os.fsencode(entry.path), os.fsencode(name), entry.kind == "directory", entry.size, entry.mtime_ns)
            for name, entry in named(result, self._spec)
            if entry.kind != "other"
        )
        self._persistence.tell(a.StoreExtras(self._row.id, self._row.lease_epoch, found, result.last, owner))
        return True

    def stored(self, *, last: bool) -> None:
        """A page is noted."""
        self._busy = False
        if last and self._step is _Step.LISTING:
            self._step, self._request_id = _Step.REMOVING, 0

    def due(
        self,
        rows: tuple[Deletion, ...],
        counts: tuple[int, int],
        port: SessionPort | None,
        owner: ActorRef[Any],
        now: float,
    ) -> None:
        """What is to be removed next; nothing: it is over."""
        if self._step is not _Step.REMOVING:
            return
        if not rows:
            self._busy = False
            self.deleted, self.failed = counts
            self._step = _Step.OVER
            return
        if port is None:
            self._busy = False
            return
        self._asked, self._asked_at, self._request_id = rows, now, next(self._ids)
        items = tuple(m.DeleteItem(os.fsdecode(row.path), row.directory, row.size, row.mtime_ns) for row in rows)
        port.post(a.Post(m.DeletePaths(self._request_id, self._spec.destination_path, items), reply_to=owner))

    def removed(self, result: m.PathsDeleted, owner: ActorRef[Any]) -> None:
        """The destination has done a batch."""
        if result.request_id != self._request_id or not self._asked:
            return
        said = {error.path: error for error in result.errors}
        self._settle(tuple(_outcome(row, said.get(os.fsdecode(row.path))) for row in self._asked), owner)
        self._silences = 0

    def settled(self) -> None:
        """The outcome of a batch is stored."""
        self._busy = False

    def heard(self, now: float) -> None:
        """What was asked before an agent was away may still be answered: its time begins anew."""
        self._asked_at = now

    def give_up_silent(self, now: float, owner: ActorRef[Any]) -> None:
        """Call only while the destination is there: ask it again if it does not answer, and in the end no more."""
        waits = self._busy and self._request_id and (self._step is _Step.LISTING or bool(self._asked))
        if not waits or now - self._asked_at <= self._limits.list_timeout:
            return
        self._silences += 1
        if self._silences < TRIES:
            self.lost()
        elif self._step is _Step.LISTING:
            self._refuse("the destination agent did not answer")
            self._step, self._busy = _Step.OVER, False
        else:
            self._settle(
                tuple((row.id, "failed", "the destination agent did not answer") for row in self._asked), owner
            )

    def _settle(self, outcomes: tuple[tuple[int, Outcome, str], ...], owner: ActorRef[Any]) -> None:
        self._asked, self._request_id = (), 0
        failed = [reason for _, outcome, reason in outcomes if outcome == "failed"]
        if failed:
            log.warning("extra files stay", files=len(failed), reason=failed[0])
        self._persistence.tell(a.SaveDeletions(self._row.id, self._row.lease_epoch, outcomes, owner))
        detail = {"deleted": sum(outcome == "deleted" for _, outcome, _ in outcomes), "failed": len(failed)}
        self._persistence.tell(a.SaveAudit("hub", "destination.deleted", f"run:{self._row.id}", "ok", detail))

    def _refuse(self, why: str) -> None:
        """Somebody should know: the destination is no mirror any more, whatever else the run did."""
        self.refusal = why
        message = f"nothing was removed at the destination of job {self._spec.name}: {why}. Look at its source and its destination"
        entry = a.SaveAudit("hub", "delete_extra.refused", f"run:{self._row.id}", "refused", {"reason": why})
        self._persistence.tell(a.SaveAlert("delete_refused", f"job:{self._row.job_id}", message, entry))

    def _ask_page(self, base: str, port: SessionPort | None, owner: ActorRef[Any], now: float) -> None:
        if port is None:
            return
        if self._request_id == 0:
            self._request_id = next(self._ids)
        self._busy, self._asked_at = True, now
        request = destination_request(self._spec, base, self._request_id, self._page, self._limits.list_page)
        port.post(a.Post(request, reply_to=owner))

    def _unasked(self, machine: RunMachine, plan: Plan) -> str:
        """Why this run is not one to remove anything; its status or its job says the rest."""
        if plan.path_type != "directory":
            return "the source is not a directory"
        if self._row.retry_of is not None or self._row.trigger == "watch":
            return "this run has only some of the source's files"
        if machine.files_failed or machine.files_cancelled:
            return "not every file has arrived"
        if falls_together(plan.system):
            return "the destination takes different names for one"
        return ""

    def _doubt(self, machine: RunMachine) -> str:
        """Why it must not be said that the source has not what the run has no row of."""
        if machine.listing_errors:
            return "the source's listing had errors"
        if machine.files_total == 0:
            return "the source is empty"
        return ""


def _outcome(row: Deletion, error: m.ListError | None) -> tuple[int, Outcome, str]:
    """What became of a row, by what the agent said of it."""
    if error is None:
        return row.id, "deleted", ""
    return row.id, "kept" if row.directory and error.code == "exists" else "failed", error.message
