"""Where the rows of a run come from: the pages of its listing or, for a retry, the rows of the run before it, batch by batch."""

from __future__ import annotations

import base64
import itertools
import os
from collections.abc import Sequence
from typing import Any

from fileflux.actors import messages as a
from fileflux.actors.kernel.ref import ActorRef
from fileflux.actors.run_listing import Listing, Plan
from fileflux.actors.session_port import SessionPort
from fileflux.jobs.explain import show
from fileflux.jobs.models import JobSpec
from fileflux.protocol import messages as m
from fileflux.protocol.limits import Limits
from fileflux.protocol.systems import falls_together
from fileflux.storage.directories import NewDirectory
from fileflux.storage.runs import RunRow
from fileflux.storage.transfers import NewTransfer
from fileflux.storage.values import safe_text

LIST_TRIES = 3
BATCH = 500
"""Rows of the run before that are taken over at once."""
PAGES_STORING = 2
"""Pages that are stored at once: the next one is asked for, and listed, while one is stored."""
TROUBLES_KEPT = 50
TROUBLE_CHARACTERS = 300
"""Errors of the listing that stay with the run, for whoever asks why it never saw a path."""


class Intake:
    """Owned by a run's actor; not an actor itself. ``storing``: rows are on their way to the store."""

    def __init__(
        self,
        row: RunRow,
        spec: JobSpec,
        limits: Limits,
        persistence: ActorRef[a.PersistenceMessage],
        ids: itertools.count[int],
    ) -> None:
        self._row = row
        self._limits = limits
        self._persistence = persistence
        self._ids = ids
        self.listing = Listing(spec, limits.list_page)
        self.storing = 0
        """Pages on their way to the database."""
        self.late = False
        """Rows may be written later: every page was listed for the first time."""
        self._again = False
        self._reached: a.RowsTakenOver | None = None
        self._answered = True
        self._asked_at = 0.0
        self._silences = self._lost = 0
        plan = row.plan
        if plan is None:
            return
        self.listing.finished = row.planned
        if row.planned:
            self.listing.errors = plan.get("errors", 0)
        elif "rows_of" in plan:
            self._reached = a.RowsTakenOver(0, 0, b"", last=False)

    @property
    def finished(self) -> bool:
        """Every row is stored, or on its way."""
        return self.listing.finished

    @property
    def role(self) -> m.Role:
        """Which agent is asked now."""
        return self.listing.role

    def stored_plan(self) -> Plan | None:
        """The plan that the row has."""
        plan = self._row.plan
        if plan is None:
            return None
        base, system = os.fsdecode(base64.b64decode(plan["base"])), plan.get("system", self.listing.system)
        return Plan(base, plan["path_type"], system)

    def to_store(self, plan: Plan) -> dict[str, Any]:
        """For the row: how names map to the destination, and how much is missing from the listing."""
        base = base64.b64encode(os.fsencode(plan.base)).decode()
        stored = {"base": base, "path_type": plan.path_type, "system": plan.system, "errors": self.listing.errors}
        texts = [safe_text(show(text))[:TROUBLE_CHARACTERS] for text in self.listing.error_texts[:TROUBLES_KEPT]]
        return stored | ({"troubles": texts} if texts else {})

    def ask(self, port: SessionPort | None, owner: ActorRef[Any], now: float) -> None:
        """Ask for what comes next, unless something is on its way. ``port`` is that of the agent with ``role``."""
        if self.finished or self.storing >= PAGES_STORING or not self._answered:
            return
        if self._reached is not None:
            if self.storing:
                return
            reached, origin = self._reached, (self._row.plan or {})["rows_of"]
            self.storing += 1
            self._persistence.tell(
                a.TakeOverRows(self._row.id, origin, reached.after, reached.after_directory, BATCH, owner)
            )
        elif port is not None:
            self._answered = False
            self._asked_at = now
            port.post(a.Post(self.listing.request(next(self._ids)), reply_to=owner))

    def take(self, result: m.ListResult) -> tuple[list[NewTransfer], list[NewDirectory]] | None:
        """As ``Listing.take``, with its errors. A listing that died with the agent's worker is begun again, LIST_TRIES times at most."""
        lost = any(error.path == "" and error.code == "worker_died" for error in result.errors)
        if lost and result.request_id == self.listing.request_id and self._lost < LIST_TRIES:
            self._lost += 1
            self.restart()
            return None
        rows = self.listing.take(result)
        if rows is not None:
            self._answered = True
        return rows

    def store(
        self, files: Sequence[NewTransfer], folders: Sequence[NewDirectory], owner: ActorRef[Any], *, late: bool
    ) -> None:
        """Store a page; answered with ListingStored. ``late``: rows of small files may be written when these have ended."""
        self.storing += 1
        self.late = late and not self._again and not falls_together(self.listing.system)
        listing = self.listing
        self._persistence.tell(
            a.StoreListing(
                self._row.id,
                self._row.lease_epoch,
                tuple(files),
                tuple(folders),
                owner,
                listing.system,
                listing.spec.names,
                self.late,
            )
        )

    def took_over(self, batch: a.RowsTakenOver) -> None:
        """A batch of the run before is stored."""
        self._reached = batch
        self.listing.finished = batch.last

    def heard(self, now: float) -> None:
        """What was asked before an agent was away may still be answered: its time begins anew."""
        self._asked_at = now

    def restart(self) -> None:
        """The asked agent forgot what it was asked, or shall: ask again."""
        if not self.finished:
            self._again = self._again or self.listing.request_id != 0
            self.listing.restart()
            self._answered = True

    def cancel(self, port: SessionPort | None) -> None:
        """The agent need not list any more."""
        if port is not None and self.listing.request_id and not self.finished:
            port.post(a.Post(m.ListCancel(self.listing.request_id)))

    def give_up_silent(self, now: float) -> str | None:
        """Call only while both agents are there: ask an agent again that does not answer; in the end, why the run has failed."""
        timeout = self._limits.list_timeout
        if self._answered or self.finished or now - self._asked_at <= timeout:
            return None
        self._silences += 1
        if self._silences >= LIST_TRIES:
            return f"the {self.role} agent does not answer: no listing within {timeout:.0f} s"
        self.restart()
        return None
