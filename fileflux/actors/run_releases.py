"""What becomes of a run's source files once they have arrived: deleted or archived, batch by batch, while others still move.

What is due stands in the rows, stored together with the end of each transfer: a source's file is never touched before that, and after a
crash of anything the rows are asked again. So a file may be released twice, which the agent takes for done.
"""

from __future__ import annotations

import itertools
import os
from typing import Any

import structlog

from fileflux.actors import messages as a
from fileflux.actors.kernel.ref import ActorRef
from fileflux.actors.session_port import SessionPort
from fileflux.jobs.models import JobSpec
from fileflux.protocol import messages as m
from fileflux.protocol.limits import Limits
from fileflux.storage.releases import DueRelease, Released
from fileflux.storage.runs import RunRow

log = structlog.get_logger("fileflux.run")

BATCH = 150
"""Files of one request: with the longest names still below the size of a message."""
TRIES = 3
PAST = {"delete": "deleted", "archive": "archived"}


class Releases:
    """Owned by a run's actor; not an actor itself."""

    def __init__(
        self,
        row: RunRow,
        spec: JobSpec,
        limits: Limits,
        persistence: ActorRef[a.PersistenceMessage],
        ids: itertools.count[int],
        *,
        adopted: bool,
    ) -> None:
        self._row = row
        self._spec = spec
        self._limits = limits
        self._persistence = persistence
        self._ids = ids
        self._wanted = spec.on_success != "keep"
        self._more = self._wanted
        self._fetching = False
        self._request_id = 0
        self._asked: dict[int, DueRelease] = {}
        self._asked_at = 0.0
        self._silences = 0
        # An earlier request may have been carried out without its answer having come.
        self._again = adopted

    @property
    def pending(self) -> bool:
        """Something may be due still."""
        return self._more or self._fetching or bool(self._asked)

    @property
    def word(self) -> str:
        """What is done to the files, for people."""
        return PAST.get(self._spec.on_success, "released")

    def look(self) -> None:
        """The end of a transfer is stored: its source may be due."""
        self._more = self._wanted

    def lost(self) -> None:
        """The source forgot what it was asked."""
        if self._asked:
            self._asked.clear()
            self._again = self._more = True

    def fetch(self, owner: ActorRef[Any]) -> None:
        """Ask the rows for what is due, unless something is on its way; answered with DueReleases."""
        if self._more and not self._fetching and not self._asked:
            self._more, self._fetching = False, True
            self._persistence.tell(a.FetchReleases(self._row.id, BATCH, owner))

    def arrived(
        self, rows: tuple[DueRelease, ...], port: SessionPort | None, base: str, owner: ActorRef[Any], now: float
    ) -> None:
        """What is due. ``port``: of the source's agent."""
        self._fetching = False
        if not rows:
            return
        self._more = True
        if port is None:
            return
        self._asked = {next(self._ids): row for row in rows}
        self._asked_at = now
        self._request_id = next(self._ids)
        items = tuple(
            m.TransferReleaseItem(wire_id, self._spec.on_success, os.fsdecode(row.path), row.identity)
            for wire_id, row in self._asked.items()
        )
        archive = self._spec.archive_path if self._spec.on_success == "archive" else ""
        request = m.TransferRelease(items, self._request_id, base, archive, self._again)
        port.post(a.Post(request, reply_to=owner))

    def answered(self, result: m.TransferReleased, owner: ActorRef[Any]) -> None:
        """Store what became of the batch. An agent that leaves something out has not done it."""
        if result.request_id != self._request_id or not self._asked:
            return
        said = {item.transfer_id: item for item in result.items}
        self._settle({wire_id: _problem(said.get(wire_id), self.word) for wire_id in self._asked}, owner)
        self._silences = 0

    def heard(self, now: float) -> None:
        """What was asked before an agent was away may still be answered: its time begins anew."""
        self._asked_at = now

    def give_up_silent(self, now: float, owner: ActorRef[Any]) -> None:
        """Call only while the source is there: ask it again if it does not answer, and in the end no more."""
        if not self._asked or now - self._asked_at <= self._limits.request_timeout:
            return
        self._silences += 1
        if self._silences < TRIES:
            self.lost()
            return
        problem = f"the source's file was not {self.word}: its agent did not answer"
        self._settle(dict.fromkeys(self._asked, problem), owner)

    def give_up(self, problem: str, owner: ActorRef[Any]) -> None:
        """The run ends, and the source is away: what is due stays."""
        self._more, self._asked = False, {}
        text = f"the source's file was not {self.word}: {problem}"
        self._persistence.tell(a.GiveUpReleases(self._row.id, self._row.lease_epoch, text, owner))

    def _settle(self, problems: dict[int, str], owner: ActorRef[Any]) -> None:
        answers = tuple(Released(self._asked[wire_id].id, problem) for wire_id, problem in problems.items())
        self._asked = {}
        failed = [answer for answer in answers if answer.problem]
        if failed:
            log.warning("source files stay", files=len(failed), reason=failed[0].problem)
        row = self._row
        self._persistence.tell(a.SaveReleased(row.id, row.lease_epoch, answers, owner))
        detail = {"on_success": self._spec.on_success, "files": len(answers) - len(failed), "failed": len(failed)}
        self._persistence.tell(a.SaveAudit("hub", "source.released", f"run:{row.id}", "ok", detail))


def _problem(item: m.TransferReleasedItem | None, word: str) -> str:
    if item is None:
        return f"the source's file was not {word}: its agent did not say why"
    return "" if item.code == "ok" else f"the source's file was not {word}: {item.message or item.code}"
